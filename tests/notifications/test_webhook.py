import json
import threading

import pytest
from django.core.cache.backends.redis import RedisCache
from django.db import InterfaceError, OperationalError, connection, connections
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications import recording, waking
from notifications.models import EmailEvent
from outreach import reaching
from tests import events

URL = "/api/webhooks/ses-events"
CURRENT = "current"
NOWHERE = RedisCache("redis://127.0.0.1:1/0", {})
# The first request of a client loads the middleware; many examples share one.
CLIENT = Client()
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.SES_WEBHOOK_SECRETS = ["current", "former"]


@pytest.fixture(autouse=True)
def woken(monkeypatch):
    calls = []
    monkeypatch.setattr(waking, "apply_events_soon", lambda: calls.append(1))
    return calls


@pytest.fixture
def post(client):
    def send(body, secret=CURRENT, **headers):
        headers |= {"X-Webhook-Secret": secret} if secret is not None else {}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(URL, data, content_type="application/json; charset=utf-8", headers=headers)

    return send


def only_error(response):
    body = response.json()
    (error,) = body["errors"]
    assert set(body) == {"type", "errors"}
    assert set(error) == {"code", "detail", "attr"}
    return body["type"], error["code"]


@pytest.mark.parametrize("secret", ["current", "former"])
def test_an_event_is_stored_as_it_came(post, secret, woken):
    body = json.dumps(events.payload("bounce"), indent=3).encode()

    response = post(body, secret)

    row = EmailEvent.objects.get()
    assert (response.status_code, response.json()) == (200, {"status": "stored"})
    assert (bytes(row.body), row.state, row.event_type, row.route) == (body, "pending", "Bounce", "eventbridge")
    assert row.send_id == "0123456789ab-42"
    assert woken


def test_a_path_with_a_slash_answers_too(client):
    response = client.post(f"{URL}/", events.payload("send"), "application/json", headers={"X-Webhook-Secret": "current"})

    assert response.status_code == 200


def test_an_event_is_taken_without_a_csrf_token():
    strict = Client(enforce_csrf_checks=True)

    response = strict.post(URL, events.payload("send"), "application/json", headers={"X-Webhook-Secret": "current"})

    assert response.status_code == 200


def test_a_duplicate_is_stored_once_whatever_its_envelope(post, woken):
    post(events.payload("bounce"))

    response = post(events.payload("bounce") | {"id": "another", "time": "2026-11-09T00:00:00Z"})

    assert (response.status_code, response.json()) == (200, {"status": "duplicate"})
    assert EmailEvent.objects.count() == 1
    assert len(woken) == 1


@pytest.mark.parametrize("secret", [None, "", "wrong", "current ", "current\n", "schlüssel", "€", "current,current"])
def test_a_wrong_secret_is_refused_so_that_eventbridge_tries_again(post, secret):
    response = post(events.payload("send"), secret)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"]
    assert only_error(response) == ("client_error", "WRONG_WEBHOOK_SECRET")
    assert not EmailEvent.objects.exists()


def test_without_a_configured_secret_the_route_never_accepts(post, settings):
    settings.SES_WEBHOOK_SECRETS = []

    response = post(events.payload("send"), "")

    assert response.status_code == 503
    assert only_error(response) == ("server_error", "WEBHOOK_NOT_CONFIGURED")


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_posts_are_answered(client, method):
    response = getattr(client, method)(URL, headers={"X-Webhook-Secret": "current"})

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"source": "aws.s3"}', b'{"a": NaN}'])
def test_what_is_no_envelope_is_a_bad_request(post, body):
    response = post(body)

    assert response.status_code == 400
    assert only_error(response) == ("client_error", "NOT_AN_EVENT")
    assert not EmailEvent.objects.exists()


@pytest.mark.parametrize("name", ["sending_status_disabled", "advisor_recommendation"])
def test_news_about_the_account_are_counted_and_have_no_effect(post, name, woken):
    response = post(events.payload(name))

    row = EmailEvent.objects.get()
    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert (row.state, row.event_type) == ("ignored", events.payload(name)["detail-type"])
    assert not woken


def test_an_unknown_type_is_counted(post):
    body = events.payload("send")
    body["detail"]["eventType"] = "Resurrection"

    response = post(body)

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert EmailEvent.objects.get().event_type == "Resurrection"


def test_a_paused_account_is_warned_about(post, caplog):
    post(events.payload("sending_status_disabled"))

    assert any("ses_account_event" in record.getMessage() and record.levelname == "WARNING" for record in caplog.records)


@pytest.mark.parametrize("size", [1_000_000, 10_500_000])
def test_a_large_body_is_refused(post, size):
    response = post(b" " * size)

    assert response.status_code == 413
    assert only_error(response) == ("client_error", "BODY_TOO_LARGE")


def test_an_event_of_a_quarter_megabyte_is_taken(post):
    assert post(events.envelope("bounce", diagnosticCode="x" * 256_000)).status_code == 200


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_without_a_database_the_event_comes_again(post, monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error("the connection is closed")

    monkeypatch.setattr(recording, "store", fail)

    response = post(events.payload("send"))

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "10"
    assert only_error(response) == ("server_error", "DATABASE_UNAVAILABLE")


def test_without_redis_the_event_is_stored_and_asked_for_again(post, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(reaching, "redis", reaching.Look(lambda: NOWHERE.get("it")))
        response = post(events.payload("send"))

    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert only_error(response) == ("server_error", "REDIS_UNAVAILABLE")
    again = post(events.payload("send"))
    assert (again.status_code, again.json(), EmailEvent.objects.count()) == (200, {"status": "duplicate"}, 1)


def test_a_database_that_is_really_away_answers_503(settings):
    unreachable = connections["default"].settings_dict | {"HOST": "127.0.0.1", "PORT": "1"}
    answers = []

    def ask():  # in a thread of its own, which has a connection of its own
        mine = connections["default"]
        mine.settings_dict = unreachable
        request = Client().post(URL, events.payload("send"), "application/json", headers={"X-Webhook-Secret": "current"})
        answers.append(request.status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

    assert answers == [503]


def test_secrets_stay_out_of_the_log(post, caplog):
    post(events.payload("send"), "nearly-current")

    assert "current" not in caplog.text


hostile = st.binary(max_size=200) | st.text(st.characters(codec=None), max_size=50).map(
    lambda text: json.dumps(
        events.envelope("bounce", message_id=text, bounceType=text, diagnosticCode=text, send_id=text)
    ).encode()
)


@settings(max_examples=150, deadline=None)
@given(body=hostile)
def test_no_body_makes_the_route_fail(body):
    response = CLIENT.post(URL, body, "application/json", headers={"X-Webhook-Secret": "current"})

    assert response.status_code in {200, 400}


@pytest.mark.parametrize(
    "odd",
    [
        b'"\\u0000"',
        b'"\\ud800"',
        b"9" * 5000,
        b"1e999999",
        b'"\\udfff\\ud800"',
        b"[" * 400 + b"]" * 400,
        b'{"eventType": "Bounce"}',
    ],
)
def test_odd_json_inside_an_event_is_stored(post, odd):
    body = json.dumps(events.payload("bounce")).encode().replace(b'"General"', odd)

    assert post(body).status_code == 200
    assert bytes(EmailEvent.objects.get().body) == body


def test_of_equal_keys_the_last_counts(post):
    body = (
        json.dumps(events.payload("bounce"))
        .encode()
        .replace(b'"eventType": "Bounce"', b'"eventType": "Send", "eventType": "Open"')
    )

    assert post(body).status_code == 200
    assert EmailEvent.objects.get().event_type == "Open"


@pytest.mark.django_db(transaction=True)
def test_the_same_event_a_hundred_times_at_once_is_stored_once():
    answers = []

    def send():
        for _ in range(10):
            response = Client().post(URL, events.payload("click"), "application/json", headers={"X-Webhook-Secret": "current"})
            answers.append(response.json()["status"])
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == ["duplicate"] * 99 + ["stored"]
    assert EmailEvent.objects.count() == 1
