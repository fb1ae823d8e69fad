"""Saying no, below the page: what follows, once, whoever says it and however often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from notifications import suppressing
from notifications.models import Suppression, SuppressionReason
from prospects import signals, unsubscribing
from prospects.models import Prospect, RetiredToken, Unsubscribe
from tests import sessions

pytestmark = pytest.mark.django_db
KEY = "0123456789ab"
PAGE, ONE_CLICK = Unsubscribe.Method.PAGE, Unsubscribe.Method.ONE_CLICK


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com")


@pytest.fixture
def told():
    """Every signal that went up."""
    received = []

    def receive(**facts):
        received.append((facts["prospect_ids"], facts["campaign_key"], facts["now"]))

    signals.unsubscribed.connect(receive)
    yield received
    signals.unsubscribed.disconnect(receive)


def say_no(token, now, **words):
    return unsubscribing.unsubscribe(token, **{"method": PAGE, "campaign_key": KEY, "now": now} | words)


def test_a_no_marks_the_prospect_and_suppresses_the_address(dana, now):
    person = say_no(dana.unsubscribe_token, now)

    dana.refresh_from_db()
    assert (dana.status, dana.unsubscribed_at) == ("unsubscribed", now)
    assert person == unsubscribing.Person("dana@example.com", dana.pk, unsubscribed=True)
    suppression = Suppression.objects.get(email="dana@example.com")
    assert (suppression.reason, suppression.source, suppression.suppressed_at) == ("unsubscribe", "unsubscribe", now)


def test_a_no_is_recorded_with_how_and_through_what(dana, now):
    say_no(dana.unsubscribe_token, now, method=ONE_CLICK, user_agent="mailbox_provider")

    row = Unsubscribe.objects.get()
    assert (row.prospect, row.email, row.method, row.campaign_key) == (dana, "dana@example.com", "one_click", KEY)
    assert row.created_at == now
    assert row.user_agent == "mailbox_provider"


def test_a_no_is_passed_up_once(dana, now, told):
    for _ in range(2):
        say_no(dana.unsubscribe_token, now)

    assert told == [([dana.pk], KEY, now)]


def test_a_repeated_no_changes_nothing(dana, now):
    for delay in (0, 5, 60):
        say_no(dana.unsubscribe_token, now + timedelta(minutes=delay))

    dana.refresh_from_db()
    assert dana.unsubscribed_at == now
    assert Unsubscribe.objects.count() == 1
    assert Suppression.objects.get().suppressed_at == now


def test_an_earlier_moment_replaces_a_later_one(dana, now):
    for moment in (now, now - timedelta(minutes=1)):
        say_no(dana.unsubscribe_token, moment)

    dana.refresh_from_db()
    assert dana.unsubscribed_at == now - timedelta(minutes=1)


def test_a_no_through_another_campaign_is_one_more_row(dana, now):
    for key in (KEY, "ba9876543210"):
        say_no(dana.unsubscribe_token, now, campaign_key=key)

    assert list(Unsubscribe.objects.order_by("id").values_list("campaign_key", flat=True)) == [KEY, "ba9876543210"]


def test_a_no_after_a_second_welcome_counts_again(dana, now):
    say_no(dana.unsubscribe_token, now)
    Prospect.objects.update(unsubscribed_at=None)
    say_no(dana.unsubscribe_token, now + timedelta(days=1))

    dana.refresh_from_db()
    assert dana.unsubscribed_at == now + timedelta(days=1)
    assert Unsubscribe.objects.count() == 2


def test_a_no_does_not_weaken_a_bounce(dana, now):
    suppressing.suppress([dana.email], reason=SuppressionReason.BOUNCE, source="ses", now=now)

    say_no(dana.unsubscribe_token, now)

    assert Suppression.objects.get().reason == "bounce"
    assert Unsubscribe.objects.count() == 1


def test_an_unknown_token_changes_nothing(dana, now):
    assert say_no(uuid4(), now) is None

    dana.refresh_from_db()
    assert dana.status == "active"
    assert not Suppression.objects.exists()
    assert not Unsubscribe.objects.exists()


def test_the_link_of_a_deleted_prospect_still_works(dana, now):
    dana.delete()

    person = say_no(dana.unsubscribe_token, now)

    assert person == unsubscribing.Person("dana@example.com", None, unsubscribed=True)
    assert Suppression.objects.get().email == "dana@example.com"
    assert Unsubscribe.objects.get().prospect is None


def test_a_repeated_no_of_a_deleted_prospect_changes_nothing(dana, now):
    dana.delete()
    for _ in range(2):
        say_no(dana.unsubscribe_token, now)

    assert Unsubscribe.objects.count() == 1


def test_deleting_many_prospects_retires_every_token(now):
    tokens = {Prospect.objects.create(email=f"p{n}@example.com").unsubscribe_token for n in range(5)}

    Prospect.objects.all().delete()

    assert set(RetiredToken.objects.values_list("token", flat=True)) == tokens


def test_the_old_link_of_someone_imported_again_silences_the_new_row(dana, now):
    old_token = dana.unsubscribe_token
    dana.delete()
    again = Prospect.objects.create(email="dana@example.com")

    say_no(old_token, now)

    again.refresh_from_db()
    assert again.status == "unsubscribed"


def test_a_no_stands_when_a_receiver_breaks(dana, now, caplog):
    def break_the_transaction(**_):
        connection.cursor().execute("SELECT 1/0")

    signals.unsubscribed.connect(break_the_transaction)
    try:
        say_no(dana.unsubscribe_token, now)
    finally:
        signals.unsubscribed.disconnect(break_the_transaction)

    dana.refresh_from_db()
    assert dana.status == "unsubscribed"
    assert "unsubscribed_receiver_failed" in caplog.text


def test_staff_can_pass_a_no_on(dana, now, told):
    for _ in range(2):
        unsubscribing.unsubscribe_by_staff(dana, by="rosa", now=now)

    dana.refresh_from_db()
    assert dana.status == "unsubscribed"
    assert Suppression.objects.get().source == "rosa"
    assert Unsubscribe.objects.get().method == "api"
    assert told == [([dana.pk], "", now)]


@pytest.mark.django_db(transaction=True)
def test_fifty_requests_at_once_make_one_record(dana, now, told):
    together = Barrier(50)

    def post(_):
        together.wait()
        try:
            return say_no(dana.unsubscribe_token, now)
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as threads:
        answers = set(threads.map(post, range(50)))

    assert answers == {unsubscribing.Person("dana@example.com", dana.pk, unsubscribed=True)}
    assert Unsubscribe.objects.count() == Suppression.objects.count() == len(told) == 1


@pytest.mark.django_db(transaction=True)
def test_a_prospect_about_to_be_deleted_is_locked_before_anything_else_is(dana):
    def lock():
        try:
            Prospect.objects.select_for_update(nowait=True).filter(pk=dana.pk).first()
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as threads:
        unsubscribing.retire_token(dana.pk)
        with pytest.raises(OperationalError):
            threads.submit(transaction.atomic(lock)).result()


@pytest.mark.django_db(transaction=True)
def test_a_no_said_while_the_prospect_is_being_deleted_is_kept(dana, now):
    deleted = Event()

    def delete():
        with transaction.atomic():
            dana.delete()
            deleted.set()
            sessions.wait_for_waiters()
        connection.close()

    def ask():
        deleted.wait(timeout=10)
        person = say_no(dana.unsubscribe_token, now)
        connection.close()
        return person

    token = dana.unsubscribe_token
    with ThreadPoolExecutor(2) as threads:
        threads.submit(delete)
        person = threads.submit(ask).result()

    assert person.email == "dana@example.com"
    assert RetiredToken.objects.get().token == token
    assert Unsubscribe.objects.get().prospect is None
    assert Suppression.objects.count() == 1
