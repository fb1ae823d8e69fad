"""Waiting for servers of others and for readiness."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from django.conf import settings

from outreach import waiting
from outreach.processes import LocalError


class Answer(BaseHTTPRequestHandler):
    """503 twice, then 200."""

    hosts: ClassVar[list[str]]

    def do_GET(self):
        self.hosts.append(self.headers["Host"])
        self.send_response(200 if len(self.hosts) > 2 else 503)
        self.end_headers()
        self.wfile.write(b"no worker answered")

    def log_message(self, *_args):
        pass


@pytest.fixture
def hosts(monkeypatch):
    monkeypatch.setattr(Answer, "hosts", [], raising=False)
    return Answer.hosts


@pytest.fixture
def url(hosts):
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_asks_until_the_site_is_ready(url, hosts):
    meanwhile = []

    waiting.until_ready(url, public_url="https://mail.example.com", meanwhile=lambda: meanwhile.append(1))

    assert (len(meanwhile), hosts) == (2, ["mail.example.com"] * 3)


def test_a_proxy_in_the_environment_is_not_asked(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    waiting.until_ready(url, public_url=url, meanwhile=lambda: None)


def test_a_site_that_never_gets_ready_is_quoted(url, monkeypatch):
    monkeypatch.setattr(waiting, "_READY_SECONDS", -1)

    with pytest.raises(LocalError, match=r"/readyz is not ready after -1 s; it answers: 503 no worker answered$"):
        waiting.until_ready(url, public_url=url, meanwhile=lambda: None)


def test_servers_that_answer_are_reachable():
    waiting.until_reachable(database_url=settings.DATABASE_URL, redis_url=settings.REDIS_URL, pause=lambda _seconds: None)


@pytest.mark.parametrize(
    ("urls", "name"),
    [
        ({"database_url": "postgres://me:secret@127.0.0.1:1/x"}, "DATABASE_URL"),
        ({"redis_url": "redis://me:secret@127.0.0.1:1/0"}, "REDIS_URL"),
        ({"redis_url": "redis://127.0.0.1:many/0"}, "REDIS_URL"),
    ],
)
def test_a_server_out_of_reach_is_named_in_one_line_without_its_password(monkeypatch, urls, name):
    monkeypatch.setattr(waiting, "_REACHABLE_SECONDS", -1)
    reachable = {"database_url": settings.DATABASE_URL, "redis_url": settings.REDIS_URL}

    with pytest.raises(LocalError, match=f"^the server of {name} cannot be used: .+$") as caught:
        waiting.until_reachable(**(reachable | urls), pause=lambda _seconds: None)
    assert "secret" not in str(caught.value)
