"""PostgreSQL, Redis and SES go away and come back; the campaign goes on, and nobody is mailed twice."""

import signal

import pytest

from tests.chaos.campaigns import Campaign, Watcher
from tests.chaos.judging import assert_good
from tests.chaos.scenarios import flush_redis, frozen, redis_away, ses_away, wait_for_mail

# A request waits at most two seconds for a broker that is away; the rest is for a busy machine.
SOON = 15


@pytest.fixture
def started(site):
    """A campaign under way, and somebody who reads its account; judged at the end."""
    site.be_ready()
    campaign = Campaign(site, 400)
    with Watcher(site, [campaign]) as watcher:
        assert campaign.send()[0] == 202
        wait_for_mail(site)
        yield campaign
        campaign.finish()
    assert_good(campaign, watcher)


def test_postgresql_restarts(site, started):
    for number in (signal.SIGINT, signal.SIGQUIT):  # fast, immediate
        site.restart_postgres(number)
        wait_for_mail(site, started.is_done)


def test_every_session_is_cut_off(site, started):
    for _ in range(4):
        site.terminate_backends()
        site.pass_time(0.5)


def test_redis_is_killed_and_flushed(site, started):
    with redis_away(site):
        site.pass_time(1)
    flush_redis(site, times=4, every=0.5)


def test_redis_freezes(site, started):
    with frozen(site.redis.pid):
        site.pass_time(7)


def test_send_is_answered_while_redis_is_down_and_starts_when_it_is_back(site):
    campaign = Campaign(site, 50)
    with redis_away(site):
        status, seconds = campaign.send()
        assert (status, campaign.sent()) == (202, 0)

    campaign.finish()
    assert_good(campaign)
    assert seconds < SOON


def test_send_is_answered_while_redis_is_frozen(site):
    campaign = Campaign(site, 50)
    with frozen(site.redis.pid):
        status, seconds = campaign.send()

    campaign.finish()
    assert_good(campaign)
    assert (status, seconds < SOON) == (202, True)


def test_ses_is_gone_for_a_while(site, started):
    with ses_away(site):
        pass
    # More than five at once, and the campaign pauses itself.
    started.finish_resumed()
