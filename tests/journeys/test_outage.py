"""PostgreSQL goes away, really: whoever says no meanwhile is heard, at once, and unsubscribed when it is back."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from outreach import local, places

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 1_000


class Web:
    """Two gunicorn processes with a PostgreSQL and a Redis of their own, and a spool."""

    def __init__(self, services, directory):
        self.postgres, self.directory, self.database_url = services.servers[0], directory, services.database_url
        self.env = dict(os.environ) | {
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "UNSUBSCRIBE_SPOOL": str(directory / "unsubscribes"),
            "ENV_FILE": os.devnull,
            "PYTHONWARNINGS": "ignore",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=self.env, check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self):
        bind = ["--config", "gunicorn.conf.py", "--bind", f"127.0.0.1:{self.port}"]
        command = [sys.executable, "-m", "gunicorn", "outreach.wsgi", *bind]
        self.log = (self.directory / "web.log").open("ab")
        output = {"stdout": self.log, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, start_new_session=True, **output)
        self.wait_for(lambda: self.ask("/healthz", None)[0] == 200, 90)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def ask(self, path, body=b"List-Unsubscribe=One-Click", **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def say_no(self, token):
        return self.ask(f"/api/unsubscribe?token={token}&c=0123456789ab")[0]

    def sql(self, statement, *values):
        with psycopg.connect(self.database_url, autocommit=True) as session:
            return session.execute(statement, values).fetchall()

    def add_people(self, count, name):
        add = """INSERT INTO prospects (email, first_name, last_name, company, tags, attributes, source,
                                        unsubscribe_token, created_at, updated_at)
                 SELECT %s || n || '@example.com', '', '', '', '{}', '{}', '', gen_random_uuid(), now(), now()
                   FROM generate_series(1, %s) n RETURNING unsubscribe_token"""
        return [token for (token,) in self.sql(add, name, count)]

    def count(self, status, name):
        return self.sql("SELECT count(*) FROM prospects WHERE status = %s AND email LIKE %s", status, f"{name}%")[0][0]

    def wait_for(self, probe, seconds):
        until = time.monotonic() + seconds
        while not probe():
            assert time.monotonic() < until, (self.directory / "web.log").read_text()[-3000:]
            time.sleep(0.2)


@pytest.fixture(scope="module")
def web():
    # Not pytest's own directory: root's PostgreSQL is another user, who may not pass through there.
    directory = Path(tempfile.mkdtemp(prefix="outreach-outage-"))
    with places.claim(directory / "data", say=lambda _: None) as place, local.running(place, durable=False) as services:
        one = Web(services, directory)
        one.start()
        yield one
        one.kill()
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def frozen(server):
    """The server and all its sessions, without a word."""
    root = psutil.Process(server.pid)
    everyone = [root, *root.children(recursive=True)]
    # Sessions, and the processes that tidy up, come and go.
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in everyone:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def test_a_thousand_nos_while_postgresql_is_stopped_are_a_thousand_unsubscribed(web):
    tokens = web.add_people(PEOPLE, "stopped")
    web.postgres.stop()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(web.say_no, tokens))
    page = web.ask(f"/api/unsubscribe?token={tokens[0]}", b"confirm=1", Accept="text/html")
    shown = web.ask(f"/api/unsubscribe?token={tokens[0]}", None, Accept="text/html")
    undone = web.ask(f"/api/unsubscribe?token={tokens[0]}", b"undo=1", Accept="text/html")
    stopped_until = time.time()
    web.postgres.start()

    assert set(answers) == {202}
    assert page[0] == 202
    assert "We have your request" in page[1]
    assert shown[0] == 200
    assert "<button" in shown[1]
    assert undone[0] == 503
    web.wait_for(lambda: web.count("unsubscribed", "stopped") == PEOPLE, 120)
    # With the time at which it was asked for, not at which it was applied.
    latest = web.sql("SELECT max(extract(epoch FROM unsubscribed_at))::float FROM prospects WHERE email LIKE 'stopped%%'")[0][0]
    assert latest <= stopped_until
    audit = "SELECT count(*), count(DISTINCT email) FROM unsubscribes WHERE email LIKE 'stopped%%' AND campaign_key <> ''"
    assert web.sql(audit) == [(PEOPLE, PEOPLE)]


def test_what_a_killed_web_process_kept_is_applied_when_it_starts_again(web):
    tokens = web.add_people(50, "killed")
    web.postgres.stop()
    assert {web.say_no(token) for token in tokens} == {202}
    web.kill()
    with (web.directory / "unsubscribes" / "incoming.jsonl").open("ab") as file:
        file.write(b'\n{"token":"torn')
    web.postgres.start()
    assert web.count("unsubscribed", "killed") == 0

    web.start()

    web.wait_for(lambda: web.count("unsubscribed", "killed") == 50, 120)


def test_a_frozen_postgresql_keeps_nobody_waiting_for_long(web):
    tokens = web.add_people(20, "frozen")
    web.say_no(tokens[0])
    with frozen(web.postgres):
        began = time.monotonic()
        first = web.say_no(tokens[1])
        longest = time.monotonic() - began
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(web.say_no, tokens[2:]))
        together = time.monotonic() - began
        # A cookie of a session, which would have to be looked up, changes nothing.
        assert web.ask(f"/api/unsubscribe?token={tokens[0]}", b"confirm=1", Cookie="sessionid=abc; csrftoken=x")[0] == 202

    assert first == 202
    assert set(answers) == {202}
    assert longest < 15  # the bound is four seconds; the machine may be busy
    assert together < 40
    web.wait_for(lambda: web.count("unsubscribed", "frozen") == 20, 120)
