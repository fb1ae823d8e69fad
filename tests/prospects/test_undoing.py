"""Taking a no back: within ten minutes, that one no only, and then as if it had never been said."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection
from django.forms.models import model_to_dict

from campaigns import reporting
from notifications import suppressing
from notifications.models import Suppression, SuppressionLift, SuppressionReason
from prospects import editing, undoing, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.unsubscribing import Person
from tests.factories import EmailSendFactory

pytestmark = pytest.mark.django_db
PAGE, ONE_CLICK = Unsubscribe.Method.PAGE, Unsubscribe.Method.ONE_CLICK
MINUTE = timedelta(minutes=1)


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com", first_name="Dana", tags=["vip"])


def say_no(person, at, **words):
    return unsubscribing.unsubscribe(person.unsubscribe_token, **{"method": PAGE, "now": at} | words)


def undo(person, at):
    return undoing.undo(person.unsubscribe_token, user_agent="browser", now=at)


def state():
    people = [model_to_dict(person) for person in Prospect.objects.order_by("pk")]
    return people, list(Suppression.objects.order_by("pk").values())


@pytest.mark.parametrize("method", [PAGE, ONE_CLICK])
def test_everything_is_as_it_was(dana, now, method):
    before = state()
    say_no(dana, now, method=method)

    assert undo(dana, now + 9 * MINUTE) == Person("dana@example.com", dana.pk, unsubscribed=False)
    assert state() == before
    dana.refresh_from_db()
    assert dana.status == "active"


def test_the_record_of_the_no_stays_and_says_who_took_it_back(dana, now):
    say_no(dana, now)
    undo(dana, now + MINUTE)

    row = Unsubscribe.objects.get()
    assert (row.created_at, row.undone_at) == (now, now + MINUTE)
    assert row.undone_by == "the person, on the unsubscribe page (browser)"
    lift = SuppressionLift.objects.get()
    assert (lift.email, lift.lifted_at, lift.lifted_by) == ("dana@example.com", now + MINUTE, row.undone_by)


def test_the_campaign_no_longer_counts_it(now):
    send = EmailSendFactory(accepted=True)
    say_no(send.prospect, now, campaign_key=send.campaign.key)
    assert reporting.stats(send.campaign_id)["unsubscribed"] == 1

    undo(send.prospect, now + MINUTE)

    assert reporting.stats(send.campaign_id)["unsubscribed"] == 0


def test_an_earlier_address_is_released_too_unless_it_was_listed_before(now):
    send = EmailSendFactory(accepted=True, email="earlier@example.com")
    listed = EmailSendFactory(accepted=True, email="listed@example.com", prospect=send.prospect)
    suppressing.suppress([listed.email], reason=SuppressionReason.UNSUBSCRIBE, source="rosa", now=now - MINUTE)
    before = state()
    say_no(send.prospect, now)
    assert Suppression.objects.filter(email="earlier@example.com").exists()

    undo(send.prospect, now + MINUTE)

    assert state() == before


def test_after_ten_minutes_it_stands(dana, now):
    say_no(dana, now)
    before = state()

    assert undo(dana, now + 10 * MINUTE + timedelta(seconds=1)).unsubscribed
    assert state() == before


@pytest.mark.parametrize("reason", [SuppressionReason.BOUNCE, SuppressionReason.COMPLAINT, SuppressionReason.MANUAL])
@pytest.mark.parametrize("delay", [-MINUTE, MINUTE])
def test_something_stronger_stands_whether_it_came_before_or_after(dana, now, reason, delay):
    for moment in sorted((now, now + delay)):
        if moment == now:
            say_no(dana, now)
        else:
            suppressing.suppress([dana.email], reason=reason, source="x", now=moment)
    before = state()

    assert undo(dana, now + 2 * MINUTE).unsubscribed
    assert state() == before


def test_a_complaint_that_only_the_person_shows_stands(dana, now):
    say_no(dana, now)
    Prospect.objects.update(complained_at=now)

    assert undo(dana, now + MINUTE).unsubscribed


def test_an_earlier_no_stands(dana, now):
    say_no(dana, now - 60 * MINUTE)
    say_no(dana, now, campaign_key="0123456789ab")

    assert undo(dana, now + MINUTE).unsubscribed
    dana.refresh_from_db()
    assert dana.unsubscribed_at == now - 60 * MINUTE


def test_an_earlier_no_of_the_person_alone_stands(dana, now):
    Prospect.objects.update(unsubscribed_at=now - 60 * MINUTE)
    say_no(dana, now)

    assert undo(dana, now + MINUTE).unsubscribed


def test_a_no_that_staff_passed_on_meanwhile_stands(dana, now):
    say_no(dana, now)
    unsubscribing.unsubscribe_by_staff(dana, by="rosa", now=now + MINUTE)

    assert undo(dana, now + 2 * MINUTE).unsubscribed


def test_staffs_own_no_is_not_the_persons_to_undo(dana, now):
    unsubscribing.unsubscribe_by_staff(dana, by="rosa", now=now)

    assert undo(dana, now + MINUTE).unsubscribed


def test_repeating_it_changes_nothing(dana, now):
    say_no(dana, now)
    answers = [undo(dana, now + n * MINUTE) for n in (1, 2)]

    assert answers[0] == answers[1]
    assert SuppressionLift.objects.count() == 1
    assert Unsubscribe.objects.get().undone_at == now + MINUTE


def test_one_may_change_ones_mind_again_and_again(dana, now):
    for n in range(3):
        say_no(dana, now + 2 * n * MINUTE)
        dana.refresh_from_db()
        assert (dana.status, dana.unsubscribed_at) == ("unsubscribed", now + 2 * n * MINUTE)
        undo(dana, now + (2 * n + 1) * MINUTE)
        dana.refresh_from_db()
        assert dana.status == "active"

    assert Unsubscribe.objects.filter(undone_at=None).count() == 0
    assert Unsubscribe.objects.count() == 3


def test_a_no_after_an_undo_stands_and_is_recorded(dana, now):
    say_no(dana, now)
    undo(dana, now + MINUTE)
    say_no(dana, now + 2 * MINUTE)

    dana.refresh_from_db()
    assert dana.unsubscribed_at == now + 2 * MINUTE
    assert Unsubscribe.objects.filter(undone_at=None).get().created_at == now + 2 * MINUTE


def test_who_never_said_no_stays_as_they_are(dana, now):
    before = state()

    assert not undo(dana, now).unsubscribed
    assert state() == before


def test_an_unknown_token_is_nobody(now):
    assert undoing.undo(uuid4(), user_agent="", now=now) is None


def test_a_deleted_persons_address_is_released(dana, now):
    say_no(dana, now)
    editing.delete_prospect(dana)

    assert undo(dana, now + MINUTE) == Person("dana@example.com", None, unsubscribed=False)
    assert not Suppression.objects.exists()


def test_who_was_deleted_and_imported_again_meanwhile_is_active(dana, now):
    token = dana.unsubscribe_token
    say_no(dana, now)
    editing.delete_prospect(dana)
    again = editing.create_prospect({"email": "dana@example.com"}, by="rosa", now=now + MINUTE)
    assert Prospect.objects.get().status == "unsubscribed"

    undoing.undo(token, user_agent="browser", now=now + 2 * MINUTE)

    again.refresh_from_db()
    assert again.status == "active"


def test_how_long_is_left(dana, now):
    person = say_no(dana, now)

    assert undoing.time_left(person, now=now + 4 * MINUTE) == 6 * MINUTE
    assert not undoing.time_left(person, now=now + 11 * MINUTE)
    assert not undoing.time_left(undo(dana, now + MINUTE), now=now + 2 * MINUTE)


@pytest.mark.django_db(transaction=True)
def test_nos_and_undos_at_once_leave_one_consistent_end(dana, now):
    together = Barrier(16)

    def act(n):
        together.wait()
        try:
            moment = now + timedelta(seconds=n)
            return say_no(dana, moment) if n % 2 else undo(dana, moment)
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(act, range(16)))

    dana.refresh_from_db()
    standing = Unsubscribe.objects.filter(undone_at=None).exists()
    assert (dana.unsubscribed_at is not None) == Suppression.objects.exists() == standing
