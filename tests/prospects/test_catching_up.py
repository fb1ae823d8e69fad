"""What was kept while PostgreSQL was away is applied as if it had been there, and nobody is written to before."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import OperationalError

from campaigns import dispatching, lifecycle
from campaigns.models import EmailSend
from notifications.models import Suppression
from notifications.transports.memory import MemoryTransport
from prospects import catching_up, undoing, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.spooling import Kept, SpoolFull
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com")


def keep(token, at, *, method="one_click", key="", agent="other"):
    catching_up.keep(Kept(token, at, method, key, agent))


def test_a_kept_no_counts_from_when_it_was_said(dana, now):
    said = now - timedelta(hours=3)
    keep(dana.unsubscribe_token, said, key="0123456789ab", agent="browser")

    assert catching_up.apply_kept() == 1

    dana.refresh_from_db()
    assert (dana.status, dana.unsubscribed_at) == ("unsubscribed", said)
    assert Suppression.objects.get().suppressed_at == said
    row = Unsubscribe.objects.get()
    assert (row.method, row.campaign_key, row.user_agent, row.created_at) == ("one_click", "0123456789ab", "browser", said)


def test_a_kept_no_is_counted_for_its_campaign(now):
    send = EmailSendFactory(accepted=True)
    keep(send.prospect.unsubscribe_token, now, key=send.campaign.key)

    catching_up.apply_kept()

    assert EmailSend.objects.get().unsubscribed_at == now


def test_applying_twice_changes_nothing(dana, now):
    for _ in range(2):
        keep(dana.unsubscribe_token, now)
        catching_up.apply_kept()

    assert Unsubscribe.objects.count() == Suppression.objects.count() == 1


def test_a_made_up_token_is_dropped(dana, now):
    keep(uuid4(), now)
    keep(dana.unsubscribe_token, now)

    assert catching_up.apply_kept() == 2
    assert Unsubscribe.objects.get().email == "dana@example.com"
    assert not catching_up.is_behind() or cache.get("unsubscribes-kept")


def test_what_can_never_be_applied_is_set_aside_and_holds_up_nobody(dana, now, settings):
    keep(uuid4(), now, method="nonsense")
    keep(dana.unsubscribe_token, now)

    assert catching_up.apply_kept() == 1
    dana.refresh_from_db()
    assert dana.status == "unsubscribed"
    assert "nonsense" in (settings.UNSUBSCRIBE_SPOOL / "damaged.jsonl").read_text()


def test_while_the_database_is_away_everything_stays_kept(dana, now, monkeypatch):
    people = [Prospect.objects.create(email=f"p{n}@example.com") for n in range(5)]
    for person in people:
        keep(person.unsubscribe_token, now)
    unsubscribe, calls = unsubscribing.unsubscribe, []

    def fail_at_the_third(*args, **words):
        calls.append(1)
        if len(calls) == 3:
            raise OperationalError("gone")
        return unsubscribe(*args, **words)

    monkeypatch.setattr(unsubscribing, "unsubscribe", fail_at_the_third)
    with pytest.raises(OperationalError):
        catching_up.apply_kept()
    assert catching_up.is_behind()

    catching_up.apply_kept()
    assert Prospect.objects.filter(status="unsubscribed").count() == Unsubscribe.objects.count() == 5


def test_a_kept_no_that_was_taken_back_since_is_not_said_again(dana, now):
    unsubscribing.unsubscribe(dana.unsubscribe_token, method=Unsubscribe.Method.PAGE, now=now - timedelta(minutes=5))
    keep(dana.unsubscribe_token, now - timedelta(minutes=3))
    undoing.undo(dana.unsubscribe_token, user_agent="browser", now=now)

    catching_up.apply_kept()

    dana.refresh_from_db()
    assert dana.status == "active"
    assert catching_up.spool().is_empty()


def test_a_kept_no_after_the_undo_counts(dana, now):
    unsubscribing.unsubscribe(dana.unsubscribe_token, method=Unsubscribe.Method.PAGE, now=now - timedelta(minutes=5))
    undoing.undo(dana.unsubscribe_token, user_agent="browser", now=now - timedelta(minutes=4))
    keep(dana.unsubscribe_token, now)

    catching_up.apply_kept()

    dana.refresh_from_db()
    assert dana.unsubscribed_at == now


def test_no_campaign_goes_on_before_the_kept_are_applied(now, redis):
    campaign = CampaignFactory(sending=True, waiting=2)
    leaver = EmailSend.objects.order_by("pk").first().prospect
    keep(leaver.unsubscribe_token, now)
    transport = MemoryTransport()

    held = dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=lambda: now)
    assert (held.more, transport.sent) == (False, [])
    catching_up.apply_kept()
    redis.flushdb()  # the hold ends by itself ten seconds later
    campaign.refresh_from_db()
    dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=lambda: now)

    assert len(transport.sent) == 1
    assert leaver.email not in {message.to for message in transport.sent}


def test_a_held_campaign_is_woken_by_the_next_sweep(now, monkeypatch):
    woken = []
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *words: woken.append(words) or True)
    campaign = CampaignFactory(sending=True, waiting=1)
    keep(uuid4(), now)

    dispatching.send_chunk(campaign.pk, campaign.generation, transport=MemoryTransport(), clock=lambda: now)

    assert lifecycle.wake_silent_campaigns(now=now) == 1


def test_the_workers_of_other_machines_hold_too_and_not_for_ever(dana, now, redis, settings, tmp_path):
    keep(dana.unsubscribe_token, now)
    catching_up.apply_kept()
    settings.UNSUBSCRIBE_SPOOL = tmp_path / "another machine"

    assert catching_up.is_behind()
    assert 0 < redis.ttl(next(redis.scan_iter("*unsubscribes-kept"))) <= 10


def test_without_redis_only_ones_own_files_are_asked(now, settings):
    settings.CACHES = settings.CACHES | {"default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock"}}
    try:
        assert not catching_up.is_behind()
        keep(uuid4(), now)
        assert catching_up.is_behind()
        catching_up.apply_kept()
        assert not catching_up.is_behind()
    finally:
        catching_up._no_redis.end()


def test_a_full_spool_is_said_loudly(now, settings, caplog):
    settings.UNSUBSCRIBE_SPOOL_MAX_BYTES = 10

    with pytest.raises(SpoolFull):
        keep(uuid4(), now)
    assert "unsubscribe_spool_unusable" in caplog.text
    assert caplog.records[-1].levelname == "CRITICAL"


@pytest.mark.django_db(transaction=True)
def test_a_keeper_applies_what_an_earlier_process_left_and_tries_until_it_can(dana, now, monkeypatch):
    keep(dana.unsubscribe_token, now)
    unsubscribe, calls = unsubscribing.unsubscribe, []

    def fail_once(*args, **words):
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("not yet")
        return unsubscribe(*args, **words)

    monkeypatch.setattr(unsubscribing, "unsubscribe", fail_once)
    keeper, done = catching_up.Keeper(), threading.Event()
    # It must have looked for the last time: the next test has another spool.
    is_done = keeper._is_done
    keeper._is_done = lambda: is_done() and not done.set()
    keeper.wake()

    assert done.wait(60)
    dana.refresh_from_db()
    assert dana.status == "unsubscribed"
