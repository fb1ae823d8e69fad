"""So many requests, then none for a while; and never a closed door because the counter is away."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.test import RequestFactory
from django_ratelimit.core import _get_window
from redis.exceptions import TimeoutError as RedisTimeoutError

from outreach import banning

LIMIT = banning.Limit("test", rate="5/m", block_seconds=600)
START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def rested():
    banning.rest.end()
    yield
    banning.rest.end()


def ask(seconds=0.0, *, peer="192.0.2.1", limit=LIMIT):
    moment = START + timedelta(seconds=seconds)
    with time_machine.travel(moment, tick=False):
        return banning.seconds_to_wait(RequestFactory().get("/", REMOTE_ADDR=peer), limit, now=moment)


def test_as_many_as_allowed_are_welcome():
    assert [ask() for _ in range(6)] == [0, 0, 0, 0, 0, 600]


def test_the_block_counts_down_and_is_not_prolonged():
    for _ in range(6):
        ask()

    assert [ask(1), ask(300), ask(599), ask(600)] == [599, 300, 1, 0]


def test_after_the_block_counting_starts_anew():
    for _ in range(6):
        ask()

    assert [ask(601) for _ in range(6)] == [0, 0, 0, 0, 0, 601 - 1]


def test_slow_clients_are_never_blocked():
    assert {ask(minute * 60 + part) for minute in range(10) for part in (0, 25)} == {0}


@pytest.mark.parametrize("second", range(60))
def test_a_burst_around_any_moment_is_seen_whole(second):
    answers = [ask(second + 0.75 + n / 10) for n in range(6)]

    assert answers == [0, 0, 0, 0, 0, 600]


@pytest.mark.parametrize(("rate", "seconds"), [("30/m", 60), ("5/h", 3600), ("7/10s", 10), ("9/s", 1)])
def test_a_burst_of_a_quarter_of_the_period_meets_one_edge_at_most(rate, seconds):
    for number in range(200):
        first, second = banning._windows(f"192.0.2.{number}", rate)
        edges = [_get_window(name, seconds) % seconds for name in (first, second)]
        distance = abs(edges[0] - edges[1])

        assert min(distance, seconds - distance) >= seconds // 4


def test_clients_and_limits_are_counted_apart():
    for _ in range(6):
        ask()

    assert ask(peer="192.0.2.2") == 0
    assert ask(limit=banning.Limit("other", rate="5/m", block_seconds=600)) == 0


def test_everything_that_is_stored_expires(redis):
    for _ in range(6):
        ask()

    assert redis.dbsize() > 0
    assert all(0 < redis.ttl(key) <= 600 for key in redis.scan_iter())


def test_a_vanished_counter_blocks_nobody(monkeypatch):
    def fail(*_, **__):
        raise ValueError("key not found")

    monkeypatch.setattr(cache, "incr", fail)

    assert [ask() for _ in range(7)] == [0] * 7


@pytest.mark.parametrize("error", [RedisTimeoutError, ConnectionRefusedError])
def test_while_redis_is_away_everyone_is_welcome_and_it_is_left_alone(monkeypatch, error):
    calls = []

    def fail(*_, **__):
        calls.append(1)
        raise error

    monkeypatch.setattr(cache, "get", fail)

    assert [ask() for _ in range(20)] == [0] * 20
    assert len(calls) == 1


def test_redis_is_asked_again_after_a_rest(monkeypatch):
    banning.rest.begin()
    assert [ask() for _ in range(7)] == [0] * 7

    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert [ask() for _ in range(6)] == [0, 0, 0, 0, 0, 600]
