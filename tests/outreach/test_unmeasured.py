"""Bodies that come in chunks, as gunicorn hands them over."""

import json

import pytest
from django.test import Client
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]

from notifications.models import EmailEvent, Suppression
from prospects.models import Prospect
from tests import events

EVENTBRIDGE = "/api/webhooks/ses-events"
SNS = "/v1/notifications/ses-events"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _configured(settings, monkeypatch):
    settings.SES_WEBHOOK_SECRETS = ["current"]
    monkeypatch.setattr("notifications.waking.apply_events_soon", lambda: None)


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = "s" * 40
    return Client(headers={"X-Proxy-Secret": "s" * 40})


@pytest.fixture
def import_directory(settings, tmp_path):
    settings.IMPORT_DIRECTORY = tmp_path / "imports"
    return settings.IMPORT_DIRECTORY


def in_chunks(body, *, ending=b"0\r\n\r\n", size=70_000):
    """A body as gunicorn has it after it has read the head of a request."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), ending]
    return next(RequestParser(Config(), iter(sent), ("127.0.0.1", 0))).body


def send(client, path, body, method="POST", content_type="application/json", **more):
    chunked = body if hasattr(body, "read") else in_chunks(body)
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_TYPE": content_type, "HTTP_TRANSFER_ENCODING": "chunked"}
    return client.request(**environ, **{"wsgi.input": chunked, "wsgi.input_terminated": True}, **more)


def send_event(client, body):
    return send(client, EVENTBRIDGE, body, HTTP_X_WEBHOOK_SECRET="current")


def error(response):
    (found,) = response.json()["errors"]
    return response.status_code, found["code"]


def test_an_event_in_chunks_is_stored_whole(client):
    body = json.dumps(events.envelope("bounce")).encode()

    assert send_event(client, in_chunks(body, size=100)).json() == {"status": "stored"}
    assert bytes(EmailEvent.objects.get().body) == body


def test_a_message_of_sns_in_chunks_is_read(client):
    assert error(send(client, SNS, json.dumps({"Type": "Notification"}).encode())) != (400, "NOT_AN_SNS_MESSAGE")


@pytest.mark.parametrize("size", [1_000_000, 1_048_577, 30_000_000])
def test_an_event_in_chunks_that_is_too_large_is_413(client, size):
    assert error(send_event(client, b"[" * size)) == (413, "BODY_TOO_LARGE")


def test_an_event_in_chunks_that_breaks_off_is_400(client):
    body = json.dumps(events.envelope("bounce")).encode()

    assert error(send_event(client, in_chunks(body, ending=b""))) == (400, "NOT_AN_EVENT")


@pytest.mark.parametrize("padding", [0, 2_000_000])
def test_json_in_chunks_is_read(api, padding):
    body = json.dumps({"email": "ada@example.com", "first_name": "Ada"}).encode() + b" " * padding

    assert send(api, "/api/prospects", body).status_code == 201
    assert Prospect.objects.get().first_name == "Ada"


def test_json_in_chunks_that_is_too_large_is_413(api):
    assert error(send(api, "/api/prospects", b'"' + b"x" * 30_000_000)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("ending", [b"", b"5\r\n", b"zz\r\n", b"0\r\nbad trailer\r\n\r\n"])
def test_json_in_chunks_that_breaks_off_is_400(api, ending):
    body = in_chunks(b'{"email": "ada@example.com"}', ending=ending)

    assert error(send(api, "/api/prospects", body)) == (400, "parse_error")
    assert not Prospect.objects.exists()


def form(content):
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


def rows(size):
    return b"email,note\na@example.com,\nb@example.com," + b"x" * size + b"\n"


@pytest.mark.parametrize(("content_type", "wrap"), [("text/csv", bytes), ("multipart/form-data; boundary=b", form)])
@pytest.mark.parametrize("size", [10, 12_000_000])
def test_a_file_in_chunks_is_kept_whole(api, import_directory, content_type, wrap, size):
    path = "/api/prospects/import"

    assert send(api, path, wrap(rows(size)), content_type=content_type, QUERY_STRING="background=1").status_code == 202
    (kept,) = import_directory.iterdir()
    assert kept.read_bytes() == rows(size)


@pytest.mark.parametrize(("content_type", "wrap"), [("text/csv", bytes), ("multipart/form-data; boundary=b", form)])
def test_a_file_in_chunks_that_is_too_large_is_413(api, settings, import_directory, content_type, wrap):
    settings.IMPORT_MAX_BYTES = 11_000_000

    response = send(api, "/api/prospects/import", wrap(rows(12_000_000)), content_type=content_type)

    assert error(response) == (413, "BODY_TOO_LARGE")
    assert list(import_directory.glob("*")) == []


def test_a_form_in_chunks_signs_in(client, admin_user):
    body = b"username=admin&password=password&next=/admin/"

    assert send(client, "/admin/login/", body, content_type="application/x-www-form-urlencoded").status_code == 302


def test_a_form_in_chunks_that_is_too_large_is_refused(client):
    body = b"username=" + b"x" * 11_000_000

    assert send(client, "/admin/login/", body, content_type="application/x-www-form-urlencoded").status_code == 400


def test_a_no_whose_body_is_in_chunks_is_heard(client, now):
    prospect = Prospect.objects.create(email="ada@example.com", created_at=now, updated_at=now)
    body = f"token={prospect.unsubscribe_token}&List-Unsubscribe=One-Click".encode()

    assert send(client, "/api/unsubscribe", body, content_type="application/x-www-form-urlencoded").status_code == 200
    assert Suppression.objects.filter(email=prospect.email).exists()


def test_a_body_of_no_bytes_is_none(api):
    assert error(send(api, "/api/prospects", b"")) == (400, "required")
