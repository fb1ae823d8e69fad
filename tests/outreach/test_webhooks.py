"""The short way of a request to the webhooks: what it leaves out, and what it must not."""

import json

import pytest
from django.contrib.sessions.middleware import SessionMiddleware

from tests import events

URL = "/api/webhooks/ses-events"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _configured(settings, monkeypatch):
    settings.SES_WEBHOOK_SECRETS = ["current"]
    monkeypatch.setattr("notifications.waking.apply_events_soon", lambda: None)


def post(client, url=URL, presented="current", **more):
    body = json.dumps(events.envelope("bounce"))
    return client.post(url, body, content_type="application/json", headers={"X-Webhook-Secret": presented}, **more)


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_an_event_passes_no_session(client, monkeypatch, url):
    monkeypatch.setattr(SessionMiddleware, "process_request", lambda *_: pytest.fail("a session was looked for"))

    assert post(client, url).status_code == 200


def test_an_answer_has_its_length_and_an_id(client):
    response = post(client)

    assert int(response["Content-Length"]) == len(response.content)
    assert len(response["X-Request-ID"]) == 36
    assert response["X-Content-Type-Options"] == "nosniff"


def test_an_unknown_host_is_refused(client, settings):
    settings.ALLOWED_HOSTS = ["mail.example.com"]

    assert post(client, SERVER_NAME="other.example.com").status_code == 400


def test_a_refused_event_has_a_line_with_the_request_and_who_asked(client, caplog):
    response = post(client, presented="wrong")

    (line,) = [r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "webhook_refused"]
    assert (line["request_id"], line["ip"]) == (response["X-Request-ID"], "127.0.0.1")


def test_an_event_that_was_taken_has_none(client, caplog):
    with caplog.at_level("INFO"):
        assert post(client).json() == {"status": "stored"}

    assert caplog.records == []
