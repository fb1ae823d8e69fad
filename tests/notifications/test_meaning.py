from dataclasses import replace
from datetime import UTC, datetime

import pytest

from notifications import meaning
from notifications.meaning import Effect
from tests.events import event

ADA = "ada@example.com"
MAILED = datetime(2026, 11, 1, 12, 0, 0, 12000, tzinfo=UTC)

# https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
BOUNCES = [
    ("Permanent", "General", Effect.BOUNCE),
    ("Permanent", "NoEmail", Effect.BOUNCE),
    ("Permanent", "Suppressed", Effect.BOUNCE),
    ("Permanent", "OnAccountSuppressionList", Effect.BOUNCE),
    ("Permanent", "OnTenantSuppressionList", Effect.BOUNCE),
    ("Permanent", "EmailValidationSuppressed", Effect.BOUNCE),
    ("Permanent", "UnsubscribedRecipient", Effect.UNSUBSCRIBE),
    ("Permanent", "SomethingNew", Effect.BOUNCE),
    ("Permanent", None, Effect.BOUNCE),
    ("Undetermined", "Undetermined", Effect.NOTHING),
    # Out-of-office replies are among these.
    ("Transient", "General", Effect.NOTHING),
    ("Transient", "MailboxFull", Effect.NOTHING),
    ("Transient", "MessageTooLarge", Effect.NOTHING),
    ("Transient", "ContentRejected", Effect.NOTHING),
    ("Transient", "AttachmentRejected", Effect.NOTHING),
    ("Transient", "CustomTimeoutExceeded", Effect.NOTHING),
    ("Transient", "SomethingNew", Effect.NOTHING),
    ("SomethingNew", "General", Effect.NOTHING),
    (None, None, Effect.NOTHING),
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


@pytest.mark.parametrize(("bounce_type", "sub_type", "effect"), BOUNCES)
def test_a_bounce_suppresses_by_its_type_alone(bounce_type, sub_type, effect):
    bounce = event("bounce", to=ADA, bounceType=bounce_type, bounceSubType=sub_type)

    assert meaning.decide(bounce) is effect
    assert ("bounced_at" in meaning.facts(bounce, ADA)) == (effect is not Effect.NOTHING)


@pytest.mark.parametrize("status", ["4.4.7", "5.1.1", "5.4.4", "5.7.1"])
def test_the_smtp_status_of_a_transient_bounce_says_nothing(status):
    who = {"emailAddress": ADA, "action": "failed", "status": status, "diagnosticCode": f"smtp; 550 {status}"}

    assert meaning.decide(event("bounce", bounceType="Transient", bouncedRecipients=[who])) is Effect.NOTHING


@pytest.mark.parametrize(("feedback", "sub_type", "effect"), COMPLAINTS)
def test_every_complaint_counts_but_praise(feedback, sub_type, effect):
    complaint = event("complaint", to=ADA, complaintFeedbackType=feedback, complaintSubType=sub_type)

    assert meaning.decide(complaint) is effect
    assert ("complained_at" in meaning.facts(complaint, ADA)) == (effect is not Effect.NOTHING)


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
