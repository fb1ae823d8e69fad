"""PostgreSQL is away, and who asks meanwhile."""

import threading

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, ProgrammingError, connection, connections
from django.test import Client
from psycopg import errors

from prospects import editing

SECRET = "s" * 40
PERSON = {"email": "ada@example.com"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    return Client(headers={"X-Proxy-Secret": SECRET}, raise_request_exception=False)


def failing(error, state=None):
    """A function that fails as Django's cursors do: the driver's error is the cause."""

    def fail(*_args, **_kwargs):
        raise error("the connection is closed") from (errors.lookup(state)() if state else psycopg.Error())

    return fail


def post(api):
    return api.post("/api/prospects", PERSON, content_type="application/json")


AWAY = {
    "out of reach": (OperationalError, None),
    "closed": (InterfaceError, None),
    "stopping": (OperationalError, "57P01"),
    "too many connections": (OperationalError, "53300"),
    "deadlock": (OperationalError, "40P01"),
    "lock timeout": (OperationalError, "55P03"),
    "statement timeout": (OperationalError, "57014"),
    "read-only in a failover": (InternalError, "25006"),
}


@pytest.mark.parametrize("kind", AWAY)
def test_while_postgresql_is_away_the_api_says_to_ask_again(api, monkeypatch, kind):
    monkeypatch.setattr(editing, "create_prospect", failing(*AWAY[kind]))

    response = post(api)

    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert response.json()["type"] == "server_error"
    assert [(one["code"], one["attr"]) for one in response.json()["errors"]] == [("DATABASE_UNAVAILABLE", None)]


MISTAKES = {
    "no such column": (ProgrammingError, "42703"),
    "going on after an error": (InternalError, "25P02"),
    "stack depth": (OperationalError, "54001"),
    "no current value": (OperationalError, "55000"),
    "anything else": (DatabaseError, None),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_of_ours_stays_a_500(api, monkeypatch, kind):
    monkeypatch.setattr(editing, "create_prospect", failing(*MISTAKES[kind]))

    assert post(api).status_code == 500


def test_a_transaction_that_is_read_only_in_earnest_is_no_mistake(api):
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")

    assert post(api).status_code == 503


def test_an_outage_is_one_line_with_the_reason_and_no_traceback(api, monkeypatch, caplog):
    monkeypatch.setattr(editing, "create_prospect", failing(OperationalError))

    post(api)

    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (line.msg["event"], line.msg["code"]) == ("request_finished", 503)
    assert line.msg["error"] == "OperationalError: the connection is closed"
    assert not line.exc_info


def test_a_page_of_the_admin_says_so_in_one_line_too(client, monkeypatch, caplog):
    client.force_login(User.objects.create_superuser("anna"))
    monkeypatch.setattr("prospects.admin.ProspectAdmin.get_queryset", failing(OperationalError))

    response = client.get("/admin/prospects/prospect/")

    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert b"Please try again in a moment" in response.content
    assert [record.msg["event"] for record in caplog.records if record.levelname == "ERROR"] == ["request_finished"]


def away(ask):
    """What is answered while nobody listens where PostgreSQL should."""
    unreachable = connections["default"].settings_dict | {"HOST": "127.0.0.1", "PORT": "1"}
    answers = []

    def run():  # in a thread of its own, which has a connection of its own
        connections["default"].settings_dict = unreachable
        answers.append(ask())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0]


@pytest.mark.parametrize("path", ["/api/prospects", "/api/campaigns/1", "/api/imports/1", "/v1/notifications/emails/1"])
def test_every_route_says_so_when_postgresql_is_really_away(api, path):
    assert away(lambda: api.get(path)).status_code == 503


@pytest.mark.parametrize("path", ["/api/campaigns/send", "/internal/campaigns/continue"])
def test_what_would_send_says_so_too(api, path):
    assert away(lambda: api.post(path, {"campaignId": 1}, content_type="application/json")).status_code == 503


def test_a_token_is_not_refused_but_put_off(api):
    words = {"username": "anna", "password": "x"}

    assert away(lambda: api.post("/api/token", words, content_type="application/json")).status_code == 503


def test_a_session_that_cannot_be_read_is_no_stranger(client, admin_user):
    client.force_login(admin_user)

    assert away(lambda: client.get("/admin/")).status_code == 503
    assert away(lambda: client.get("/api/prospects")).status_code == 503


def test_a_session_that_cannot_be_written_is_503(client, monkeypatch, admin_user):
    client.raise_request_exception = False
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.save", failing(OperationalError))

    assert client.post("/admin/login/", {"username": "admin", "password": "password"}).status_code == 503
