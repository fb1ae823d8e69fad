from datetime import UTC, datetime, timedelta

import pytest

from campaigns import tracking
from campaigns.models import Campaign
from notifications.signals import KnownMail
from prospects.signals import unsubscribed
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db

MAILED = datetime(2026, 11, 1, 12, 0, 0, 12000, tzinfo=UTC)


def record(send, *names, **changes):
    tracking.record([events.event(name, **events.about(send) | changes) for name in names])
    send.refresh_from_db()


@pytest.fixture
def send():
    return EmailSendFactory(accepted=True)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("send", "sent"),
        ("delivery", "delivered"),
        ("delivery_delay", "sent"),
        ("open", "opened"),
        ("click", "clicked"),
        ("bounce", "bounced"),
        ("complaint", "complained"),
        ("reject", "failed"),
        ("rendering_failure", "failed"),
        ("subscription", "sent"),
    ],
)
def test_each_event_gives_the_send_its_status(send, name, status):
    record(send, name)

    assert send.status == status


@pytest.mark.parametrize(
    ("name", "column"),
    [("delivery", "delivered_at"), ("delivery_delay", "delayed_at"), ("open", "opened_at"), ("click", "clicked_at")],
)
def test_a_fact_holds_the_events_own_time(send, name, column):
    record(send, name)

    assert getattr(send, column) == events.event(name).occurred_at


def test_of_two_times_of_a_fact_the_earlier_one_stays(send):
    record(send, "open", timestamp="2026-11-01T15:00:00Z")
    record(send, "open", timestamp="2026-11-01T14:00:00Z")
    record(send, "open", timestamp="2026-11-01T16:00:00Z")

    assert send.opened_at == datetime(2026, 11, 1, 14, tzinfo=UTC)


def test_a_late_send_event_lowers_nothing(send):
    record(send, "click")
    record(send, "delivery")
    record(send, "send")

    assert send.status == "clicked"


def test_a_bounce_after_the_delivery_is_the_last_word(send):
    record(send, "delivery", "bounce")
    record(send, "delivery", timestamp="2026-11-02T00:00:00Z")

    assert (send.status, send.error) == ("bounced", "smtp; 550 5.1.1 user unknown")


def test_a_transient_bounce_changes_nothing(send):
    record(send, "bounce", bounceType="Transient", bounceSubType="MailboxFull")

    assert (send.status, send.bounced_at, send.error) == ("sent", None, "")


def test_praise_is_no_complaint(send):
    record(send, "complaint", complaintFeedbackType="not-spam")

    assert send.status == "sent"


def test_an_event_settles_an_unknown_send_by_its_tag():
    send = EmailSendFactory(unsettled=True)

    record(send, "delivery")

    assert (send.status, send.message_id) == ("delivered", f"message-of-{send.pk}")
    assert send.sent_at == MAILED


def test_a_rejected_mail_has_failed_also_when_its_outcome_was_unknown():
    send = EmailSendFactory(unsettled=True)

    record(send, "reject")

    assert (send.status, send.error) == ("failed", "Bad content")


def test_an_event_before_the_outcome_is_stored_leaves_the_lease_alone(now):
    lease = {"claimed_by": "00000000-0000-0000-0000-000000000001", "lease_until": now + timedelta(seconds=30)}
    send = EmailSendFactory(call_started_at=now, **lease)

    record(send, "send")

    assert (send.status, str(send.claimed_by), send.lease_until) == ("sent", lease["claimed_by"], lease["lease_until"])


def test_without_a_tag_the_message_id_is_enough(send):
    record(send, "delivery", tags=False)

    assert send.status == "delivered"


@pytest.mark.parametrize(
    "send_id", ["0123456789ab-{pk}", "{key}-{other}", "{key}", "{key}-x", "{key}-²", "-{pk}", "{key}-" + "9" * 19]
)
def test_a_tag_that_is_not_exactly_this_sends_names_nobody(send_id):
    send = EmailSendFactory(unsettled=True)
    send_id = send_id.format(pk=send.pk, other=send.pk + 1, key=send.campaign.key)

    record(send, "delivery", send_id=send_id)

    assert send.status == "unknown"
    assert not tracking.look_up([events.event("delivery", send_id=send_id)])


def test_a_tag_never_moves_an_event_to_a_send_with_another_message(send):
    record(send, "bounce", message_id="another")

    assert (send.status, send.message_id != "another") == ("sent", True)
    assert not tracking.look_up([events.event("bounce", send_id=send.send_id, message_id="another")])


def test_the_row_that_stores_the_message_id_comes_before_the_one_that_the_tag_names(send):
    tagged = EmailSendFactory(unsettled=True)

    record(send, "delivery", send_id=tagged.send_id)
    tagged.refresh_from_db()

    assert (send.status, tagged.status) == ("delivered", "unknown")


def test_of_two_messages_with_one_tag_the_send_takes_one():
    send = EmailSendFactory(unsettled=True)
    one, two = (events.event("delivery", **events.about(send) | {"message_id": name}) for name in ("one", "two"))

    assert list(tracking.look_up([one, two])) == [one.fingerprint]


def test_events_without_a_tag_follow_a_tagged_one_of_the_same_batch():
    send = EmailSendFactory(unsettled=True)
    about = events.about(send)
    untagged = events.event("open", message_id=about["message_id"], tags=False)
    tagged = events.event("delivery", **about)

    tracking.record([untagged, tagged])
    send.refresh_from_db()

    assert send.status == "opened"


def test_the_mail_is_told_with_its_recipient_and_campaign(send):
    event = events.event("bounce", **events.about(send))

    assert tracking.look_up([event]) == {event.fingerprint: KnownMail(send.email, send.campaign.key)}


def test_looking_up_changes_nothing():
    send = EmailSendFactory(unsettled=True)

    tracking.look_up([events.event("bounce", **events.about(send))])
    send.refresh_from_db()

    assert (send.status, send.message_id) == ("unknown", "")


def test_the_earliest_bounce_gives_the_error(send):
    def bounce(words, at):
        who = {"emailAddress": send.email, "diagnosticCode": words}
        return {"bouncedRecipients": [who], "timestamp": at}

    record(send, "bounce", **bounce("second", "2026-11-01T12:00:02Z"))
    record(send, "bounce", **bounce("first", "2026-11-01T12:00:01Z"))
    record(send, "bounce", **bounce("third", "2026-11-01T12:00:03Z"))
    record(send, "reject")

    assert send.error == "first"


def test_a_batch_of_five_hundred_takes_few_statements(django_assert_max_num_queries):
    campaign = CampaignFactory()
    sends = [EmailSendFactory(accepted=True, campaign=campaign) for _ in range(50)]
    batch = [
        events.event("open", timestamp=f"2026-11-01T14:00:{n:02}Z", **events.about(send)) for send in sends for n in range(10)
    ]

    with django_assert_max_num_queries(3):
        tracking.record(batch)


def test_no_events_take_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        tracking.record([])


def test_who_leaves_through_a_campaign_is_noted_on_its_send(now):
    person = ProspectFactory()
    through, other = (EmailSendFactory(accepted=True, prospect=person) for _ in range(2))

    for moment in (now, now + timedelta(days=1)):
        unsubscribed.send(sender=None, prospect_ids=[person.pk], campaign_key=through.campaign.key, now=moment)
    through.refresh_from_db()
    other.refresh_from_db()

    assert (through.unsubscribed_at, other.unsubscribed_at) == (now, None)


def test_who_leaves_through_no_campaign_is_noted_nowhere(now):
    send = EmailSendFactory(accepted=True, campaign=CampaignFactory())
    Campaign.objects.update(key="")

    tracking.record_unsubscribes([send.prospect_id], campaign_key="", now=now)
    send.refresh_from_db()

    assert send.unsubscribed_at is None


@pytest.mark.parametrize(
    "name",
    ["send", "delivery", "delivery_delay", "open", "click", "bounce", "complaint", "reject", "rendering_failure", "subscription"],
)
def test_every_event_that_carries_our_tag_settles_an_unknown_send(name):
    send = EmailSendFactory(unsettled=True)

    record(send, name)

    assert send.status not in {"unknown", "queued", "sending"}
    assert send.message_id == f"message-of-{send.pk}"


def test_a_bounce_that_may_pass_settles_an_unknown_send_as_sent():
    send = EmailSendFactory(unsettled=True)

    record(send, "bounce", bounceType="Transient")

    assert send.status == "sent"
