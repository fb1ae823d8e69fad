"""What every route has in common."""

import re

import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client, RequestFactory
from django.urls import get_resolver
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db

SECRET = "s" * 40


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET}, raise_request_exception=False)


def paths():
    found = [str(pattern.pattern) for pattern in _patterns(get_resolver().url_patterns)]
    return sorted(
        {"/" + re.sub(r"<[^>]+>", "1", path) for path in found if path and not path.startswith(("admin", "api/schema"))}
    )


def _patterns(patterns):
    for pattern in patterns:
        if hasattr(pattern, "url_patterns") and not str(pattern.pattern):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern


@pytest.mark.parametrize("path", paths())
def test_a_trailing_slash_is_answered_too_and_never_redirected(api, path):
    bare, slashed = api.get(path), api.get(path + "/")

    assert bare.status_code == slashed.status_code
    assert slashed.status_code not in {301, 302, 307, 308}


@pytest.mark.parametrize("path", ["/healthz", "/api/prospects", "/api/suppressions/export", "/nowhere", "/admin/login/"])
def test_the_web_server_gets_no_body_for_head(api, path):
    told = {}
    environ = RequestFactory(headers={"X-Proxy-Secret": SECRET}).head(path).environ

    answer = WSGIHandler()(environ, lambda status, headers: told.update(headers, status=int(status[:3])))

    assert b"".join(answer) == b""
    seen = api.get(path)
    assert (told["status"], told["Content-Type"]) == (seen.status_code, seen["Content-Type"])
    if path == "/healthz":
        assert int(told["Content-Length"]) == len(seen.content)


@pytest.mark.parametrize(
    "path", [path for path in paths() if path.startswith(("/api/p", "/api/c", "/api/s", "/api/i", "/internal"))]
)
def test_every_api_route_is_closed_without_credentials(path):
    for method in ("get", "post", "patch", "delete"):
        assert getattr(APIClient(), method)(path).status_code in {401, 405}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"x"',
        b"[" * 100_000,
        b'{"name": NaN}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": ' + b"1" * 5000 + b"}",
        b"\xff\xfe",
        b"",
    ],
)
@pytest.mark.parametrize("path", ["/api/campaigns", "/api/prospects", "/api/campaigns/send", "/api/suppressions", "/api/token"])
def test_a_body_that_is_no_object_is_a_clear_400(api, path, body):
    response = api.generic("POST", path, body, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["errors"][0]["detail"]


@pytest.mark.parametrize("path", ["/api/campaigns?q=%00", "/api/prospects?q=%00", "/admin/?q=%00", "/api/unsubscribe?token=%00"])
def test_a_nul_in_the_address_is_400(api, path):
    assert api.get(path).status_code == 400


def test_a_body_that_is_too_large_is_413(api):
    response = api.generic("POST", "/api/campaigns", b'{"name": "' + b"x" * 5_100_000 + b'"}', content_type="application/json")

    assert response.status_code == 413


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=99999999999999999999", "limit=x", "limit=-1", "limit=0", "status=%27"]
)
@pytest.mark.parametrize("path", ["/api/campaigns", "/api/prospects", "/api/suppressions"])
def test_odd_queries_are_no_server_errors(api, path, query):
    assert api.get(f"{path}?{query}").status_code in {200, 400, 404}


@pytest.mark.parametrize("path", ["/api/campaigns/-1", "/api/nothing", "/v1/nothing", "/internal/nothing"])
def test_a_path_that_no_route_takes_is_answered_in_the_same_shape(api, path):
    response = api.get(path)

    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "not_found"


def test_a_form_that_breaks_off_is_400_for_a_browser_too():
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("ada"))

    response = client.generic("POST", "/api/prospects/import", b"--x\r\nbroken", content_type="multipart/form-data; boundary=")

    assert response.status_code in {400, 403}


def test_a_page_holds_five_hundred_at_most(api):
    assert api.get("/api/prospects?limit=100000").status_code == 200


def test_the_docs_page_loads_nothing_from_elsewhere():
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))

    page = client.get("/api/docs").content.decode()

    assert "swagger-ui" in page
    assert not re.findall(r"(?:src|href)=\"https?://", page)


@pytest.mark.parametrize("path", ["/api/docs", "/api/schema"])
def test_docs_and_schema_are_for_staff(path):
    assert Client().get(path).status_code in {401, 403}


def test_healthz_answers_while_everything_else_is_away(monkeypatch):
    monkeypatch.setattr(connection, "cursor", lambda: 1 / 0)

    assert Client().get("/healthz").status_code == 200
