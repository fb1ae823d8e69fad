"""A no whose session ends, or loses a deadlock, while what follows from it is written: kept, or stored as a whole."""

from contextlib import contextmanager, suppress

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone

from campaigns.models import EmailSend
from notifications.models import Suppression
from prospects import catching_up, signals, unsubscribe_views, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.spooling import Kept
from tests import sessions
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def send():
    return EmailSendFactory(accepted=True, campaign=CampaignFactory(done=True))


@contextmanager
def held(send):
    """As a decision about many sends, or a batch of events, holds the row of one."""
    with transaction.atomic():
        list(EmailSend.objects.filter(pk=send.pk).select_for_update(no_key=True))
        yield


def press(send):
    path = f"/api/unsubscribe?token={send.prospect.unsubscribe_token}&c={send.campaign.key}"
    return Client().post(path, {"List-Unsubscribe": "One-Click"}).status_code


def what_is_stored():
    return Prospect.objects.exclude(unsubscribed_at=None).count(), Suppression.objects.count(), Unsubscribe.objects.count()


def test_a_no_that_waits_too_long_for_its_mail_is_kept_and_done_later(send, monkeypatch):
    monkeypatch.setattr(unsubscribe_views, "_PATIENCE", 1.0)

    with sessions.sessions_of_their_own() as run, held(send):
        assert run(press, send).result(sessions.SECONDS) == 202
        assert what_is_stored() == (0, 0, 0)

    assert catching_up.apply_kept() == 1
    assert what_is_stored() == (1, 1, 1)


def test_a_no_whose_session_is_cut_off_is_said_again(send):
    with sessions.sessions_of_their_own() as run:
        with held(send):
            answer = run(press, send)
            sessions.wait_for_waiters()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
        assert answer.result(sessions.SECONDS) == 200

    assert what_is_stored() == (1, 1, 1)


def test_a_kept_no_that_cannot_be_done_yet_stays_kept(send, monkeypatch):
    monkeypatch.setattr(catching_up, "_PATIENCE", 1.0)
    catching_up.spool().append(Kept(send.prospect.unsubscribe_token, timezone.now(), "one_click", send.campaign.key, ""))

    with sessions.sessions_of_their_own() as run, held(send), pytest.raises(OperationalError):
        run(catching_up.apply_kept).result(sessions.SECONDS)

    assert not catching_up.spool().is_empty()
    monkeypatch.setattr(catching_up, "_PATIENCE", 60.0)
    assert catching_up.apply_kept() == 1
    assert what_is_stored() == (1, 1, 1)


def test_a_no_that_loses_a_deadlock_is_said_again_with_all_that_follows(send):
    told = []

    def lose_once(**words):
        told.append(words["prospect_ids"])
        if len(told) == 1:
            raise OperationalError("deadlock detected")

    signals.unsubscribed.connect(lose_once)
    try:
        assert press(send) == 200
    finally:
        signals.unsubscribed.disconnect(lose_once)

    assert told == [[send.prospect.pk]] * 2
    assert EmailSend.objects.get().unsubscribed_at
    assert what_is_stored() == (1, 1, 1)


def test_a_receiver_that_loses_the_session_and_breaks_takes_no_no_with_it(send):
    def break_once(**_words):
        signals.unsubscribed.disconnect(break_once)
        with connection.cursor() as cursor, suppress(OperationalError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        raise ValueError

    signals.unsubscribed.connect(break_once)

    with sessions.sessions_of_their_own() as run:
        assert run(press, send).result(sessions.SECONDS) == 200

    assert what_is_stored() == (1, 1, 1)


def test_staff_who_pass_a_no_on_hear_that_it_is_not_stored(send, now):
    def lose(**_words):
        raise OperationalError("deadlock detected")

    signals.unsubscribed.connect(lose)
    try:
        with pytest.raises(OperationalError):
            unsubscribing.unsubscribe_by_staff(send.prospect, by="rosa", now=now)
    finally:
        signals.unsubscribed.disconnect(lose)

    assert what_is_stored() == (0, 0, 0)
