"""Of two copies of the same news the one that names our send is kept, whichever came first."""

import threading

import pytest
from django.db import connection

from campaigns.models import EmailSend
from notifications import recording
from notifications.models import EmailEvent
from notifications.recording import Stored
from tests import events
from tests.factories import EmailSendFactory

pytestmark = pytest.mark.django_db

SHAPES = ("eventbridge", "sns", "identity")


@pytest.mark.parametrize("first", SHAPES)
@pytest.mark.parametrize("second", SHAPES)
@pytest.mark.parametrize("name", ["bounce", "complaint", "delivery"])
def test_the_same_news_by_two_routes_is_one_event_with_its_tag(name, first, second):
    told = events.envelope(name, message_id="m-1", send_id="0123456789ab-7")

    events.tell(told, shape=first)
    events.tell(told, shape=second)

    row = EmailEvent.objects.get()
    assert row.send_id == ("" if {first, second} == {"identity"} else "0123456789ab-7")
    assert recording.read(row).send_id == row.send_id


def test_a_copy_that_says_more_counts_as_stored_and_one_that_does_not_as_a_duplicate():
    told = events.envelope("bounce")

    answers = [events.tell(told, shape=shape) for shape in ("identity", "sns", "identity", "eventbridge")]

    assert answers == [Stored.STORED, Stored.STORED, Stored.DUPLICATE, Stored.DUPLICATE]


def test_a_parked_event_applies_when_its_copy_names_the_send(now):
    send = EmailSendFactory(unsettled=True)
    told = events.envelope("bounce", **events.about(send))
    events.tell(told, shape="identity")
    recording.apply_events(now=now)
    parked = EmailEvent.objects.get().state

    events.tell(told, shape="sns")
    recording.apply_events(now=now)

    assert (parked, EmailEvent.objects.get().state) == ("parked", "applied")
    assert EmailSend.objects.get().status == "bounced"


def test_an_applied_event_stays_applied_when_a_fuller_copy_comes(now):
    send = EmailSendFactory(accepted=True)
    told = events.envelope("bounce", **events.about(send))
    events.tell(told, shape="identity")
    recording.apply_events(now=now)

    events.tell(told, shape="eventbridge")

    row = EmailEvent.objects.get()
    assert (row.state, row.applied_at, row.outcome, row.send_id) == ("applied", now, "bounce", send.send_id)


@pytest.mark.django_db(transaction=True)
def test_of_copies_that_come_at_once_the_tagged_one_is_kept():
    told = [events.envelope("bounce", message_id=f"m-{n}") for n in range(20)]
    ready, errors = threading.Barrier(4), []

    def post(shape):
        try:
            for one in told:
                ready.wait(60)
                events.tell(one, shape=shape)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=post, args=[shape]) for shape in ("identity", "identity", "eventbridge", "sns")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert list(EmailEvent.objects.values_list("send_id", flat=True)) == ["0123456789ab-42"] * 20


@pytest.mark.django_db(transaction=True)
def test_a_duplicate_does_not_wait_for_the_batch_that_holds_its_event():
    events.tell(events.envelope("bounce"))
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM email_events FOR UPDATE")
    answers = []

    def post():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        answers.extend(events.tell(events.envelope("bounce"), shape=shape) for shape in ("eventbridge", "identity"))
        connection.close()

    thread = threading.Thread(target=post)
    thread.start()
    thread.join()
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK")

    assert answers == [Stored.DUPLICATE, Stored.DUPLICATE]
