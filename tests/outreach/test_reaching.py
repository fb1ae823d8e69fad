"""Redis is looked at once a second, by one of those who ask."""

import threading

import pytest
from django.core.cache.backends.redis import RedisCache

from outreach import reaching

NOWHERE = RedisCache("redis://127.0.0.1:1/0", {})


def counting(answer=lambda: None):
    asked = []

    def ask():
        asked.append(1)
        answer()

    return reaching.Look(ask), asked


def test_many_requests_ask_once(monkeypatch):
    monkeypatch.setattr(reaching.time, "monotonic", lambda: 1000.0)
    look, asked = counting()

    assert [look.reaches() for _ in range(100)] == [True] * 100
    assert len(asked) == 1


def test_a_server_that_is_away_is_asked_again_a_second_later(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(reaching.time, "monotonic", lambda: clock[0])
    away = [True]
    look, asked = counting(lambda: NOWHERE.get("it") if away else None)

    assert [look.reaches(), look.reaches()] == [False, False]
    away.clear()
    clock[0] += 1.0

    assert (look.reaches(), len(asked)) == (True, 2)


def test_nobody_waits_for_whoever_asks_a_frozen_server():
    asking, go = threading.Event(), threading.Event()
    look, asked = counting(lambda: (asking.set(), go.wait(30)))
    first = threading.Thread(target=look.reaches)
    first.start()
    asking.wait(30)

    assert look.reaches()
    go.set()
    first.join(30)
    assert len(asked) == 1


def test_who_needs_redis_hears_that_it_is_away(monkeypatch):
    monkeypatch.setattr(reaching, "redis", counting(lambda: NOWHERE.get("it"))[0])

    with pytest.raises(reaching.RedisUnavailable):
        reaching.require_redis()
