import json
import threading
from datetime import UTC, datetime

import pytest
from django.db import DataError, InterfaceError, OperationalError, connection

from campaigns.models import EmailSend
from notifications import recording, signals
from notifications.models import EmailEvent, Suppression
from notifications.tasks import apply_events
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def send():
    return EmailSendFactory(accepted=True)


@pytest.fixture
def apply(now):
    def run(*envelopes, limit=500):
        events.post(*envelopes)
        return recording.apply_events(now=now, limit=limit)

    return run


def statuses(send):
    return EmailSend.objects.get(pk=send.pk).status, Prospect.objects.get(pk=send.prospect_id).status


def test_an_applied_event_says_when_and_with_what_effect(send, apply, now):
    apply(events.envelope("bounce", **events.about(send)), events.envelope("open", **events.about(send)))

    rows = EmailEvent.objects.order_by("id").values_list("state", "applied_at", "outcome")
    assert list(rows) == [("applied", now, "bounce"), ("applied", now, "")]


def test_applying_takes_the_oldest_first_and_says_how_many(apply, send):
    letters = [events.envelope("open", **events.about(send), timestamp=f"2026-11-01T14:00:0{n}Z") for n in range(5)]

    assert apply(*letters, limit=3) == 3
    assert list(EmailEvent.objects.order_by("id").values_list("state", flat=True)) == ["applied"] * 3 + ["pending"] * 2
    assert (apply(limit=3), apply(limit=3)) == (2, 0)


def test_an_event_about_an_unknown_mail_is_parked(apply):
    apply(events.envelope("bounce", to="stranger@example.com"))

    assert EmailEvent.objects.get().state == "parked"
    assert not Suppression.objects.exists()


def test_a_parked_event_applies_when_its_mail_is_known(apply):
    send = EmailSendFactory(unsettled=True)
    apply(events.envelope("bounce", message_id="m-1", to=send.email, tags=False))

    EmailSend.objects.filter(pk=send.pk).update(message_id="m-1")
    unparked = recording.unpark(message_ids=["m-1", "m-2", ""])
    apply()

    assert unparked == 1
    assert statuses(send) == ("bounced", "bounced")


def test_unparking_touches_parked_events_only(apply, send):
    apply(events.envelope("open", **events.about(send)))

    assert recording.unpark(message_ids=[send.message_id]) == 0


def test_a_tagged_event_brings_the_parked_ones_of_its_mail_back(apply):
    send = EmailSendFactory(unsettled=True)
    about = events.about(send)
    apply(events.envelope("bounce", message_id=about["message_id"], to=send.email, tags=False))

    apply(events.envelope("send", **about))
    apply()

    assert statuses(send) == ("bounced", "bounced")


def test_a_mail_that_becomes_known_while_its_event_is_parked_is_not_missed(apply, monkeypatch):
    send, mark = EmailSendFactory(unsettled=True), recording._mark

    def sender_is_quicker(*args):
        EmailSend.objects.filter(pk=send.pk).update(message_id="m-1")
        recording.unpark(message_ids=["m-1"])
        mark(*args)

    monkeypatch.setattr(recording, "_mark", sender_is_quicker)
    apply(events.envelope("bounce", message_id="m-1", to=send.email, tags=False))
    monkeypatch.undo()
    apply()

    assert statuses(send) == ("bounced", "bounced")


@pytest.fixture
def broken_receiver():
    """A receiver that fails at events about the message `broken`, with the last error in the list."""
    errors: list[Exception] = [DataError("value too long")]

    def fail(events, **_):
        if any(event.message_id == "broken" for event in events):
            raise errors[-1]

    signals.email_events.connect(fail)
    yield errors
    signals.email_events.disconnect(fail)


@pytest.fixture
def broken(broken_receiver):
    send = EmailSendFactory(accepted=True, message_id="broken")
    return events.envelope("bounce", **events.about(send))


def test_a_broken_event_does_not_hold_up_the_others(send, apply, broken, broken_receiver):
    settled = apply(broken, events.envelope("bounce", **events.about(send)))

    first, second = EmailEvent.objects.order_by("id")
    assert (first.state, first.outcome) == ("ignored", "error: DataError: value too long")
    assert (second.state, settled) == ("applied", 2)
    assert statuses(send) == ("bounced", "bounced")


def test_a_broken_event_leaves_no_half_effect(apply, broken):
    apply(broken)

    assert EmailSend.objects.get().status == "sent"
    assert Prospect.objects.get().status == "active"
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("error", [OperationalError("deadlock detected"), InterfaceError("closed")])
def test_trouble_of_the_database_is_no_events_fault(send, apply, broken, broken_receiver, error):
    broken_receiver.append(error)

    with pytest.raises(type(error)):
        apply(events.envelope("bounce", **events.about(send)), broken)

    assert set(EmailEvent.objects.values_list("state", flat=True)) == {"pending"}
    assert statuses(send) == ("sent", "active")


def test_a_stored_body_that_nobody_can_read_is_set_aside(apply, send):
    events.post(events.envelope("open", **events.about(send)))
    EmailEvent.objects.update(body=b"{")

    apply(events.envelope("bounce", **events.about(send)))

    assert EmailEvent.objects.earliest("id").outcome.startswith("error: NotAnEvent")
    assert statuses(send) == ("bounced", "bounced")


def test_the_stored_fingerprint_counts_also_when_its_recipe_changes(apply, send):
    events.post(events.envelope("complaint", **events.about(send)))
    EmailEvent.objects.update(fingerprint="of-an-older-release")

    apply()

    assert Unsubscribe.objects.get().event_fingerprint == "of-an-older-release"


def test_each_event_is_logged_without_addresses(send, apply, caplog):
    apply(events.envelope("bounce", **events.about(send), bounceType="Transient"))

    lines = [record.getMessage() for record in caplog.records if "email_event" in record.getMessage()]
    assert len(lines) == 1
    assert send.message_id in lines[0]
    assert "Transient" in lines[0]
    assert send.email not in caplog.text


def test_five_hundred_events_take_a_handful_of_statements(apply, django_assert_max_num_queries, now):
    sends = [EmailSendFactory(accepted=True) for _ in range(50)]
    kinds = ["send", "delivery", "open", "click", "complaint", "bounce", "reject", "delivery_delay", "subscription"]
    events.post(*(events.envelope(kind, **events.about(send)) for send in sends for kind in kinds))
    events.post(*(events.envelope("open", message_id=f"foreign-{n}") for n in range(50)))

    with django_assert_max_num_queries(24):
        assert recording.apply_events(now=now, limit=500) == 500


def test_the_task_comes_back_while_batches_are_full(send, monkeypatch, redis):
    monkeypatch.setattr("notifications.tasks._BATCH", 2)
    events.post(*(events.envelope("open", **events.about(send), timestamp=f"2026-11-01T14:00:0{n}Z") for n in range(3)))

    apply_events()
    first = redis.llen("events")
    apply_events()

    assert (first, redis.llen("events")) == (1, 1)
    assert not EmailEvent.objects.exclude(state="applied").exists()


def test_an_event_of_no_interest_that_waits_is_ignored(apply):
    events.post(events.payload("sending_status_disabled"))
    EmailEvent.objects.update(state="pending")

    apply()

    assert EmailEvent.objects.get().state == "ignored"


def test_what_is_stored_is_what_was_posted():
    body = json.dumps(events.payload("click")).encode()
    event = events.event("click")

    first, second = (
        recording.store(event, route=EmailEvent.Route.EVENTBRIDGE, body=body, received_at=events.RECEIVED) for _ in range(2)
    )

    row = EmailEvent.objects.get()
    assert (first, second) == (recording.Stored.STORED, recording.Stored.DUPLICATE)
    assert (row.occurred_at, row.received_at) == (datetime(2026, 11, 1, 14, 1, tzinfo=UTC), events.RECEIVED)


@pytest.mark.django_db(transaction=True)
def test_an_event_that_another_worker_holds_is_left_to_it(send, now):
    events.post(events.envelope("bounce", **events.about(send)))
    held, done, counts = threading.Event(), threading.Event(), []

    def other():
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT id FROM email_events FOR UPDATE")
            held.set()
            done.wait(60)
            cursor.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(60)
    counts.append(recording.apply_events(now=now))
    done.set()
    thread.join()
    counts.append(recording.apply_events(now=now))

    assert counts == [0, 1]
