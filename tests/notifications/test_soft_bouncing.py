import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from campaigns.models import EmailSend
from notifications import recording, signals, soft_bouncing, suppressing
from notifications.models import SoftBounce, Suppression, SuppressionLift
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import EmailSendFactory, ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(hour):
    return NOON + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("bounces", "deliveries", "end"),
    [
        ([], [], None),
        ([1, 2], [], None),
        ([1, 2, 3], [], 3),
        ([1, 2, 3, 4], [], 3),
        ([3, 1, 2], [], 3),
        ([1, 2, 3], [0, 4], 3),
        ([1, 2, 3], [2.5], None),
        # In doubt for the address.
        ([1, 2, 3], [2], None),
        ([1, 2, 3], [3], None),
        ([1, 2, 3, 4], [1.5], 4),
        ([1, 2, 3, 4, 5], [1.5, 4.5], 4),
        ([1, 1, 1], [], 1),
    ],
)
def test_a_run_ends_with_the_third_bounce_that_no_delivery_parts(bounces, deliveries, end):
    ends = soft_bouncing.run_ends([at(hour) for hour in bounces], [at(hour) for hour in deliveries], limit=3)

    assert ends == (None if end is None else at(end))


hours = st.lists(st.integers(0, 30).map(at), max_size=12)


@given(hours, hours, st.lists(st.integers(0, 30).map(at), max_size=4), st.integers(1, 5))
def test_more_bounces_never_spare_and_more_deliveries_never_cost(bounces, deliveries, more, limit):
    never = datetime.max.replace(tzinfo=UTC)
    end = soft_bouncing.run_ends(bounces, deliveries, limit=limit) or never

    assert (soft_bouncing.run_ends(bounces + more, deliveries, limit=limit) or never) <= end
    assert (soft_bouncing.run_ends(bounces, deliveries + more, limit=limit) or never) >= end


def test_a_limit_of_nought_loses_nobody():
    assert soft_bouncing.run_ends([at(n) for n in range(50)], [], limit=0) is None


@pytest.fixture
def person():
    return ProspectFactory()


@pytest.fixture
def tell(person, settings, now):
    """Apply what happened to mails of this person: `soft` or any other name of an event, and the hour."""
    settings.SOFT_BOUNCE_LIMIT = 3
    mails = {}

    def run(*told, **part):
        for name, hour in told:
            send = mails.setdefault(hour, EmailSendFactory(accepted=True, prospect=person))
            stamp = {"timestamp": at(hour).isoformat()} | part
            if name == "soft":
                stamp = {"bounceType": "Transient", "bounceSubType": "MailboxFull", "feedbackId": f"f-{hour}"} | stamp
                stamp |= {"bouncedRecipients": [{"emailAddress": person.email, "status": "4.2.2"}]} | part
            events.post(events.envelope("bounce" if name == "soft" else name, **events.about(send), **stamp))
            while recording.apply_events(now=now):
                pass

    return run


def listed(person):
    return list(Suppression.objects.filter(email=person.email).values_list("reason", "suppressed_at", "source"))


def state(person):
    return Prospect.objects.values_list("status", "bounced_at").get(pk=person.pk)


def test_soft_bounces_in_a_row_suppress_and_mark_the_person(person, tell):
    tell(("soft", 1), ("soft", 2), ("soft", 3))

    assert listed(person) == [("bounce", at(3), suppressing.SOFT_BOUNCES)]
    assert state(person) == ("bounced", at(3))
    assert set(EmailSend.objects.values_list("status", flat=True)) == {"sent"}
    assert EmailSend.objects.filter(soft_bounced_at__isnull=False).count() == 3
    assert not Unsubscribe.objects.exists()


def test_fewer_than_the_limit_cost_nobody_anything(person, tell):
    tell(("soft", 1), ("soft", 2))

    assert (listed(person), state(person)) == ([], ("active", None))


def test_a_delivery_between_begins_a_new_row(person, tell):
    tell(("soft", 1), ("soft", 2), ("delivery", 2.5), ("soft", 3), ("soft", 4))

    assert (listed(person), state(person)) == ([], ("active", None))


def test_a_delivery_that_is_told_late_gives_the_address_back(person, tell):
    tell(("soft", 1), ("soft", 2), ("soft", 3), ("delivery", 2.5))

    assert (listed(person), state(person)) == ([], ("active", None))


def test_a_late_delivery_may_leave_a_later_run(person, tell):
    tell(("soft", 1), ("soft", 2), ("soft", 3), ("soft", 4), ("delivery", 1.5))

    assert listed(person) == [("bounce", at(4), suppressing.SOFT_BOUNCES)]
    assert state(person) == ("bounced", at(4))


@pytest.mark.parametrize("order", [("soft", "bounce"), ("bounce", "soft")])
def test_a_permanent_bounce_outweighs_them_and_stays_when_they_are_taken_back(person, tell, order):
    told = {"soft": [("soft", 1), ("soft", 2), ("soft", 3)], "bounce": [("bounce", 9)]}
    tell(*told[order[0]], *told[order[1]], ("delivery", 2.5))

    assert listed(person) == [("bounce", at(9), "SES")]
    assert state(person) == ("bounced", at(9))


def test_what_a_member_of_staff_listed_stays_when_they_are_taken_back(person, tell):
    SuppressionFactory(email=person.email, reason="manual", suppressed_at=at(0), source="ada")

    tell(("soft", 1), ("soft", 2), ("soft", 3), ("delivery", 2.5))

    assert listed(person) == [("manual", at(0), "ada")]


def test_a_no_shows_again_when_they_are_taken_back(person, tell):
    SuppressionFactory(email=person.email, reason="unsubscribe", suppressed_at=at(0))

    tell(("soft", 1), ("soft", 2), ("soft", 3))
    covered = listed(person)
    tell(("delivery", 2.5))

    assert [reason for reason, *_ in covered] == ["bounce"]
    assert [row[:2] for row in listed(person)] == [("unsubscribe", at(0))]


def test_of_several_bounces_of_one_mail_each_counts(person, tell):
    send = EmailSendFactory(accepted=True, prospect=person)
    soft = {"bounceType": "Transient", "bouncedRecipients": [{"emailAddress": person.email}]}
    told = [events.envelope("bounce", **events.about(send), **soft, feedbackId=f"f-{n}") for n in (1, 2, 2, 2)]

    events.post(*told)
    tell(("soft", 3))

    assert SoftBounce.objects.count() == 3
    assert len(listed(person)) == 1


# Whatever is about the mail or about our own set-up says nothing about the mailbox.
@pytest.mark.parametrize(
    "part",
    [
        {"bounceSubType": "ContentRejected"},
        {"bounceSubType": "MessageTooLarge"},
        {"bounceSubType": "AttachmentRejected"},
        {"bounceSubType": "CustomTimeoutExceeded"},
        {"bounceType": "Undetermined", "bounceSubType": "Undetermined"},
        {"bouncedRecipients": [{"emailAddress": "{email}", "status": "5.7.1"}]},
        {"bouncedRecipients": [{"emailAddress": "{email}", "status": "4.7.26"}]},
        {"bouncedRecipients": [{"emailAddress": "{email}", "diagnosticCode": "smtp; 550 5.7.26 unauthenticated"}]},
        {"bouncedRecipients": [{"emailAddress": "{email}", "diagnosticCode": "smtp; 421 blocked by DMARC policy"}]},
        {"bouncedRecipients": [{"emailAddress": "{email}", "action": "delayed"}]},
    ],
)
def test_what_is_not_about_the_mailbox_never_counts(person, tell, part):
    for who in part.get("bouncedRecipients", []):
        who["emailAddress"] = person.email

    tell(*(("soft", hour) for hour in range(1, 9)), **part)

    assert (SoftBounce.objects.count(), listed(person)) == (0, [])


@pytest.mark.parametrize("sub_type", ["General", "MailboxFull", "SomethingNew", None])
def test_what_is_about_the_mailbox_counts(person, tell, sub_type):
    tell(("soft", 1), ("soft", 2), ("soft", 3), bounceSubType=sub_type)

    assert len(listed(person)) == 1


def test_what_a_person_has_taken_off_the_list_takes_a_new_run(person, tell):
    tell(("soft", 1), ("soft", 2), ("soft", 3))
    suppressing.lift(Suppression.objects.get(), by="ada", why="mailbox works again", now=events.RECEIVED)
    Prospect.objects.update(bounced_at=None)

    tell(("soft", 4))
    after_one = listed(person), state(person)
    SuppressionLift.objects.update(lifted_at=events.RECEIVED - timedelta(days=1))
    tell(("soft", 5))

    assert after_one == ([], ("active", None))
    assert len(listed(person)) == 1


def test_others_are_left_alone(person, tell):
    other = ProspectFactory()

    tell(("soft", 1), ("soft", 2), ("soft", 3))

    assert (listed(other), state(other)) == ([], ("active", None))


def test_a_rehearsals_address_is_never_suppressed(tell, person):
    Prospect.objects.filter(pk=person.pk).update(email="bounce@simulator.amazonses.com")
    person.refresh_from_db()

    tell(("soft", 1), ("soft", 2), ("soft", 3))

    assert (listed(person), state(person)[0]) == ([], "bounced")


@pytest.mark.django_db(transaction=True)
def test_a_delivery_that_is_applied_at_the_same_moment_is_not_missed(settings):
    settings.SOFT_BOUNCE_LIMIT = 3
    person = ProspectFactory()
    mails = [EmailSendFactory(accepted=True, prospect=person) for _ in range(3)]
    inside, applied = threading.Event(), threading.Event()

    def linger(events, **_):
        if any(event.event_type == "Bounce" for event in events):
            inside.set()
            applied.wait(2)

    def deliver():
        inside.wait(60)
        events.post(events.envelope("delivery", **events.about(mails[0]), timestamp=at(1.5).isoformat()))
        recording.apply_events(now=NOON)
        applied.set()
        connection.close()

    for hour, send in enumerate(mails, 1):
        soft = {"bounceType": "Transient", "feedbackId": str(hour), "timestamp": at(hour).isoformat()}
        soft["bouncedRecipients"] = [{"emailAddress": person.email}]
        events.post(events.envelope("bounce", **events.about(send), **soft))
    signals.email_events.connect(linger)
    other = threading.Thread(target=deliver)
    other.start()
    recording.apply_events(now=NOON)
    other.join()
    signals.email_events.disconnect(linger)

    assert (listed(person), state(person)) == ([], ("active", None))
