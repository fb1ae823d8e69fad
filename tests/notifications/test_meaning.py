from dataclasses import replace
from datetime import UTC, datetime

import pytest

from notifications import meaning
from notifications.meaning import Effect
from tests.events import event

ADA = "ada@example.com"
MAILED = datetime(2026, 11, 1, 12, 0, 0, 12000, tzinfo=UTC)

NO, SOFT = False, True

# https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
# type, sub-type, what it costs the person, whether it counts towards a run of soft bounces, whether SES tried at all
BOUNCES = [
    ("Permanent", "General", Effect.BOUNCE, NO, True),
    ("Permanent", "NoEmail", Effect.BOUNCE, NO, True),
    # SES' global list: not delivered either, but SES counts it in its bounce rate, and so do we.
    ("Permanent", "Suppressed", Effect.BOUNCE, NO, True),
    ("Permanent", "OnAccountSuppressionList", Effect.BOUNCE, NO, False),
    ("Permanent", "OnTenantSuppressionList", Effect.BOUNCE, NO, False),
    ("Permanent", "EmailValidationSuppressed", Effect.BOUNCE, NO, False),
    ("Permanent", "UnsubscribedRecipient", Effect.UNSUBSCRIBE, NO, False),
    ("Permanent", "SomethingNew", Effect.BOUNCE, NO, True),
    ("Permanent", None, Effect.BOUNCE, NO, True),
    ("Undetermined", "Undetermined", Effect.NOTHING, NO, True),
    # Out-of-office replies are among these; the delivery before each keeps them from making a run.
    ("Transient", "General", Effect.NOTHING, SOFT, True),
    ("Transient", "MailboxFull", Effect.NOTHING, SOFT, True),
    ("Transient", "MessageTooLarge", Effect.NOTHING, NO, True),
    ("Transient", "ContentRejected", Effect.NOTHING, NO, True),
    ("Transient", "AttachmentRejected", Effect.NOTHING, NO, True),
    # The time-out is our own choice.
    ("Transient", "CustomTimeoutExceeded", Effect.NOTHING, NO, True),
    ("Transient", "SomethingNew", Effect.NOTHING, SOFT, True),
    ("SomethingNew", "General", Effect.NOTHING, NO, True),
    (None, None, Effect.NOTHING, NO, True),
]

COMPLAINTS = [
    ("abuse", None, Effect.COMPLAINT),
    ("auth-failure", None, Effect.COMPLAINT),
    ("fraud", None, Effect.COMPLAINT),
    ("other", None, Effect.COMPLAINT),
    ("virus", None, Effect.COMPLAINT),
    (None, None, Effect.COMPLAINT),
    ("something-new", None, Effect.COMPLAINT),
    # SES did not attempt delivery, because of an earlier complaint: mirrored.
    (None, "OnAccountSuppressionList", Effect.COMPLAINT),
    # The recipient moved it out of the spam folder.
    ("not-spam", None, Effect.NOTHING),
    ("Not-Spam", None, Effect.NOTHING),
]


def mailbox_bounce(**part):
    """A bounce whose status accuses nobody's policy."""
    return event("bounce", to=ADA, bouncedRecipients=[{"emailAddress": ADA, "status": "5.2.2"}], **part)


@pytest.mark.parametrize(("bounce_type", "sub_type", "effect", "soft", "tried"), BOUNCES)
def test_a_bounce_costs_what_its_type_says_alone(bounce_type, sub_type, effect, soft, tried):
    bounce = mailbox_bounce(bounceType=bounce_type, bounceSubType=sub_type)

    assert meaning.decide(bounce) is effect
    assert meaning.is_soft(bounce) is soft
    assert meaning.was_attempted(bounce) is tried


@pytest.mark.parametrize(("bounce_type", "sub_type", "effect", "soft", "tried"), BOUNCES)
def test_a_bounce_ends_the_mail_and_is_one_for_good_by_its_type(bounce_type, sub_type, effect, soft, tried):
    bounce = mailbox_bounce(bounceType=bounce_type, bounceSubType=sub_type)

    fact = "bounced_at" if effect is not Effect.NOTHING else "soft_bounced_at"
    listed = {} if tried else {"not_attempted_at": bounce.occurred_at}
    assert meaning.facts(bounce, ADA) == {"sent_at": MAILED, fact: bounce.occurred_at} | listed


@pytest.mark.parametrize(
    ("status", "diagnostic", "soft"),
    [
        ("4.2.2", "smtp; 452 4.2.2 over quota", True),
        ("4.4.7", "smtp; 550 4.4.7 message expired", True),
        ("5.4.4", "smtp; 550 5.4.4 unable to look up host", True),
        ("", "", True),
        # Our own DMARC, SPF, DKIM, or an address of SES on a block list: nothing about the mailbox.
        ("5.7.1", "", False),
        ("4.7.0", "", False),
        ("2.7.1", "", False),
        ("", "smtp; 550 5.7.26 This mail is unauthenticated", False),
        ("5.0.0", "smtp; 554 blocked using Spamhaus", False),
        ("5.0.0", "smtp; 550 rejected by DMARC policy", False),
        # Only looks like it.
        ("15.7.1", "smtp; 452 quota of 15.7.12 MB", True),
    ],
)
def test_our_own_policy_is_no_soft_bounce(status, diagnostic, soft):
    who = {"emailAddress": ADA, "status": status, "diagnosticCode": diagnostic}

    assert meaning.is_soft(event("bounce", bounceType="Transient", bounceSubType="General", bouncedRecipients=[who])) is soft


@pytest.mark.parametrize("status", ["4.4.7", "5.1.1", "5.4.4", "5.7.1"])
def test_the_smtp_status_of_a_transient_bounce_says_nothing(status):
    who = {"emailAddress": ADA, "action": "failed", "status": status, "diagnosticCode": f"smtp; 550 {status}"}

    assert meaning.decide(event("bounce", bounceType="Transient", bouncedRecipients=[who])) is Effect.NOTHING


@pytest.mark.parametrize(("feedback", "sub_type", "effect"), COMPLAINTS)
def test_every_complaint_counts_but_praise(feedback, sub_type, effect):
    complaint = event("complaint", to=ADA, complaintFeedbackType=feedback, complaintSubType=sub_type)

    assert meaning.decide(complaint) is effect
    assert ("complained_at" in meaning.facts(complaint, ADA)) == (effect is not Effect.NOTHING)


@pytest.mark.parametrize(("sub_type", "tried"), [(None, True), ("OnAccountSuppressionList", False), ("SomethingNew", True)])
def test_a_complaint_of_before_says_that_ses_did_not_try(sub_type, tried):
    complaint = event("complaint", to=ADA, complaintSubType=sub_type)

    assert meaning.was_attempted(complaint) is tried
    assert ("not_attempted_at" in meaning.facts(complaint, ADA)) is not tried


# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html (the delivery delay object)
@pytest.mark.parametrize(
    ("delay_type", "worrying"),
    [
        ("InternalFailure", False),
        ("General", False),
        ("MailboxFull", False),
        ("SpamDetected", True),
        ("RecipientServerError", False),
        ("IPFailure", True),
        ("TransientCommunicationFailure", False),
        ("BYOIPHostNameLookupUnavailable", False),
        ("Undetermined", False),
        ("SendingDeferral", False),
        ("SomethingNew", False),
        (None, False),
    ],
)
def test_a_delay_is_told_and_costs_nobody_anything(delay_type, worrying):
    delay = event("delivery_delay", to=ADA, delayType=delay_type)

    assert meaning.decide(delay) is Effect.NOTHING
    assert not meaning.is_soft(delay)
    assert meaning.is_worrying(delay) is worrying
    assert meaning.facts(delay, ADA) == {"sent_at": MAILED, "delayed_at": delay.occurred_at}


@pytest.mark.parametrize("name", ["send", "delivery", "reject", "open", "click", "rendering_failure", "delivery_delay"])
def test_other_events_cost_nobody_anything(name):
    assert meaning.decide(event(name)) is Effect.NOTHING


def test_leaving_a_list_of_ses_is_an_unsubscription():
    assert meaning.decide(event("subscription")) is Effect.UNSUBSCRIBE


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("delivery", "delivered_at"),
        ("delivery_delay", "delayed_at"),
        ("open", "opened_at"),
        ("click", "clicked_at"),
        ("bounce", "bounced_at"),
        ("complaint", "complained_at"),
        ("subscription", "unsubscribed_at"),
    ],
)
def test_each_event_states_its_fact_and_that_the_mail_was_accepted(name, fact):
    told = event(name, to=ADA)

    assert meaning.facts(told, ADA) == {"sent_at": MAILED, fact: told.occurred_at}


def test_a_send_event_states_no_more_than_that_the_mail_was_accepted():
    assert meaning.facts(event("send"), ADA) == {"sent_at": MAILED}


@pytest.mark.parametrize("name", ["reject", "rendering_failure"])
def test_a_refusal_does_not_state_that_the_mail_left(name):
    assert meaning.facts(event(name), ADA) == {"rejected_at": MAILED}


def bounce(*recipients, destination=(ADA,)):
    named = [dict(zip(("emailAddress", "action"), recipient, strict=False)) for recipient in recipients]
    return replace(event("bounce", to=ADA, bouncedRecipients=named), destination=destination)


@pytest.mark.parametrize(
    ("told", "about_ada"),
    [
        (bounce((ADA, "failed")), True),
        (bounce(("ADA@Example.com",)), True),
        # AWS' own example mixes failed and delayed recipients in one Permanent bounce.
        (bounce((ADA, "delayed")), False),
        (bounce((ADA, "delayed"), ("eve@example.com", "failed")), False),
        (bounce((ADA, "delayed"), (ADA, "failed")), True),
        # The only recipient had the mail forwarded.
        (bounce(("ada@forwarded.example", "failed")), True),
        (bounce(("ada@forwarded.example", "delayed")), False),
        (bounce(), True),
        (bounce(("eve@example.com", "failed"), destination=(ADA, "eve@example.com")), False),
        (bounce((ADA, "failed"), destination=(ADA, "eve@example.com")), True),
        (bounce(("eve@example.com", "failed"), destination=()), True),
    ],
)
def test_a_bounce_concerns_only_whom_it_can_mean(told, about_ada):
    assert meaning.concerns(told, ADA) is about_ada
    assert ("bounced_at" in meaning.facts(told, ADA)) is about_ada


def test_the_reason_is_the_remote_servers_or_the_kind_of_bounce():
    assert meaning.reason(event("bounce")) == "smtp; 550 5.1.1 user unknown"
    assert meaning.reason(event("bounce", bouncedRecipients=[])) == "Bounce Permanent General"


def test_the_reason_is_that_of_the_recipient_who_failed():
    late = {"emailAddress": "b@example.com", "action": "delayed", "diagnosticCode": "late"}
    failed = {"emailAddress": "a@example.com", "action": "failed", "diagnosticCode": "gone"}

    assert meaning.reason(event("bounce", bouncedRecipients=[late, failed])) == "gone"
