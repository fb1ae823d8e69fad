"""Who asks `/api/unsubscribe` too often, and what its log lines do not say. A valid no is heard nevertheless."""

import io
import json
import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import structlog
import time_machine
from django.test import Client

from outreach import banning
from prospects import unsubscribing
from prospects.models import Prospect

pytestmark = pytest.mark.django_db
URL = "/api/unsubscribe"
ONE_CLICK = {"data": "List-Unsubscribe=One-Click", "content_type": "application/x-www-form-urlencoded"}


@pytest.fixture(autouse=True)
def rested():
    """A failure of Redis in an earlier test is forgotten."""
    banning.rest.end()
    yield
    banning.rest.end()


@pytest.fixture
def browser():
    return Client(headers={"accept": "text/html,*/*"})


@pytest.fixture
def provider():
    """A mailbox provider's one-click request."""
    return Client()


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com")


@pytest.fixture
def link(dana):
    return f"{URL}?token={dana.unsubscribe_token}&c=0123456789ab"


def knock(client, times, **headers):
    """That many requests with a token nobody has; the last answer."""
    for _ in range(times):
        answer = client.get(f"{URL}?token={uuid4()}", **headers)
    return answer


def status_of(prospect):
    prospect.refresh_from_db()
    return prospect.status


def test_the_thirty_first_request_in_a_minute_is_sent_away(browser, dana, link):
    with time_machine.travel(datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC), tick=False):
        assert knock(browser, 29).status_code == 200
        assert browser.get(link).status_code == 200
        answer = browser.get(link)

    assert (answer.status_code, answer["Retry-After"]) == (429, "600")
    assert "10 minutes" in answer.content.decode()


def test_a_blocked_address_can_still_say_no(browser, provider, dana, link):
    assert knock(browser, 31).status_code == 429

    assert "<button" in browser.get(link).content.decode()
    assert provider.post(link, **ONE_CLICK).status_code == 200
    assert status_of(dana) == "unsubscribed"


def test_a_blocked_address_learns_nothing_about_tokens(browser, link):
    knock(browser, 31)

    known, unknown = browser.get(link), browser.get(f"{URL}?token={uuid4()}")

    assert known.status_code == unknown.status_code == 429
    assert known.content == unknown.content


def test_bad_tokens_in_posts_count_too(provider):
    answers = [provider.post(f"{URL}?token={uuid4()}").status_code for _ in range(32)]

    assert set(answers[:30]) == {200}
    assert answers[30:] == [429, 429]


def test_many_valid_one_clicks_from_one_address_are_all_honoured(provider, browser):
    people = [Prospect.objects.create(email=f"p{n}@example.com") for n in range(60)]

    answers = {provider.post(f"{URL}?token={person.unsubscribe_token}").status_code for person in people}

    assert answers == {200}
    assert not Prospect.objects.filter(status="active").exists()
    assert browser.get(f"{URL}?token={people[0].unsubscribe_token}").status_code == 200


def test_the_block_ends_after_ten_minutes(browser, link):
    start = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
    with time_machine.travel(start, tick=False):
        knock(browser, 31)
    with time_machine.travel(start + timedelta(minutes=9, seconds=59), tick=False):
        late = browser.get(link)
        assert (late.status_code, late["Retry-After"]) == (429, "1")
    with time_machine.travel(start + timedelta(minutes=10, seconds=1), tick=False):
        assert browser.get(link).status_code == 200


def test_another_address_is_not_blocked(browser, link):
    knock(browser, 31)

    assert browser.get(link, REMOTE_ADDR="192.0.2.9").status_code == 200


def test_without_redis_everything_works(browser, dana, link, settings):
    settings.CACHES = settings.CACHES | {"default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock"}}

    assert browser.get(link).status_code == 200
    assert browser.post(link, {"confirm": "1"}).status_code == 200
    assert status_of(dana) == "unsubscribed"


@pytest.fixture
def logged(monkeypatch):
    """What the real handler writes from here on."""
    handler = next(h for h in logging.getLogger().handlers if isinstance(h.formatter, structlog.stdlib.ProcessorFormatter))
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    return stream


def test_no_log_line_holds_the_token(dana, link, logged, monkeypatch):
    client = Client(raise_request_exception=False)
    client.get(link)
    client.post(link)
    client.put(link)
    knock(client, 31)
    client.get(link)
    monkeypatch.setattr(unsubscribing, "unsubscribe", lambda token, **_: 1 / 0)
    client.post(link)

    lines = logged.getvalue()
    assert str(dana.unsubscribe_token) not in lines
    records = [json.loads(line) for line in lines.splitlines()]
    assert {"request_finished", "request_failed"} <= {record["msg"] for record in records}
