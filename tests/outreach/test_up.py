"""`manage.py up` as a person runs it: a process of its own, with its own data."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from outreach import connections, local, waiting
from outreach.management.commands import up as command
from outreach.processes import LocalError

NOBODY = 65534
# Generous: every core of a test machine is busy with other tests.
SECONDS = 90


class Up:
    """One `manage.py up`, leader of its process group as in a terminal."""

    def __init__(self, data_dir, *options, user=None):
        self.data_dir = data_dir
        self.log = data_dir.parent / f"up-{time.monotonic_ns()}.log"
        outside = ("DATABASE_URL", "REDIS_URL", "PYTEST", "COV_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(outside)} | {"HOME": str(data_dir.parent)}
        arguments = [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", "--data-dir", str(data_dir), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=user and [],
            )

    @property
    def output(self):
        return self.log.read_text()

    def wait_for(self, pattern, times=1):
        self.wait_until(lambda: len(re.findall(pattern, self.output, re.MULTILINE)) >= times)
        return re.findall(pattern, self.output, re.MULTILINE)[-1]

    def wait_until(self, true):
        deadline = time.monotonic() + SECONDS
        while not (result := true()):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return result

    def all_processes(self):
        """Everything of its process group, and whatever mentions its data."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = os.getpgid(process.pid) == self.process.pid or any(
                    str(self.data_dir) in word for word in process.cmdline()
                )
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def find(self, *words):
        """The one child whose command has all the words."""
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if all(word in " ".join(child.cmdline()) for word in words):
                    return child
        return None

    def interrupt(self):
        """Ctrl-C: the terminal sends it to everyone in the foreground. Returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(SECONDS)

    def clean_up(self):
        self.process.kill()
        self.process.wait()
        for process in self.all_processes():
            # It may have ended by itself, or with its parent.
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module")
def directory():
    # Not pytest's own: other users must be able to pass through.
    directory = Path(tempfile.mkdtemp(prefix="outreach-up-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def start(directory):
    started = []

    def start(name, *options, **more):
        started.append(Up(directory / name, "--port", "0", *options, **more))
        return started[-1]

    yield start
    for up in started:
        up.clean_up()


@pytest.fixture(scope="module")
def up(start):
    up = start("shared")
    up.wait_for("^ready: ")
    return up


def test_it_says_where_the_site_is_once_it_is_ready(up):
    url = up.wait_for(r"^ready: (http://127\.0\.0\.1:\d+)$")

    # Another test may just have killed a worker.
    waiting.until_ready(url, public_url=url, meanwhile=lambda: time.sleep(0.1))


def test_the_site_is_one_process_group_and_the_servers_are_not_of_it(up):
    def groups():
        with suppress(psutil.NoSuchProcess):
            return {
                child.name() if child.name() in {"postgres", "redis-server"} else "site": os.getpgid(child.pid)
                for child in psutil.Process(up.process.pid).children()
            }

    # Another test may just have killed PostgreSQL, which starts again once its children have let go of its memory.
    found = up.wait_until(lambda: (now := groups()) and now.keys() == {"postgres", "redis-server", "site"} and now)

    assert found["site"] == up.process.pid
    assert up.process.pid not in {found["postgres"], found["redis-server"]}


def test_a_second_one_is_refused_in_one_line(up, directory):
    second = Up(directory / "shared")

    assert second.process.wait(SECONDS) == 1
    assert second.output == (
        f"up: process {up.process.pid} already uses {directory / 'shared'}: stop it, or choose another --data-dir\n"
    )


@pytest.mark.parametrize(("name", "words"), [("worker 1", ["celery", "worker1@"]), ("PostgreSQL", ["postgres", "-D"])])
def test_what_is_killed_is_started_again(up, name, words):
    killed = up.wait_until(lambda: up.find(*words))

    killed.kill()

    up.wait_for(rf"^{name} ended \(killed by SIGKILL\); starting it again in [\d.]+ s$")
    up.wait_until(lambda: up.find(*words) not in {None, killed})


def test_after_a_kill_and_a_second_start_nothing_is_left_behind_but_the_data(start, directory):
    killed = start("killed")
    killed.wait_until(lambda: killed.find("celery", "worker1@"))
    with psycopg.connect(connections.local_database_url(directory / "killed")) as session:
        session.execute("CREATE TABLE kept AS SELECT 1")
    killed.process.kill()
    killed.process.wait()

    second = start("killed")
    second.wait_for("^ready: ")
    second.wait_for("worker1@.* ready")
    assert second.interrupt() == 0

    assert second.output.count("worker: Warm shutdown") == 2
    assert killed.all_processes() == second.all_processes() == []
    assert "Traceback" not in second.output
    assert not (directory / "killed" / "processes.json").exists()
    with local.services(directory / "killed", redis=False) as services, psycopg.connect(services.database_url) as session:
        session.execute("SELECT * FROM kept")


def _can_run_python(user):
    command = [sys.executable, "-c", "import outreach.connections"]
    try:
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, user=user, group=user, extra_groups=[], capture_output=True, check=False
        )
    except PermissionError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_can_run_it_too(start, directory):
    if not _can_run_python(NOBODY):
        pytest.skip("an ordinary user may not run this Python or read this checkout")
    (directory / "nobody").mkdir()
    os.chown(directory / "nobody", NOBODY, NOBODY)

    up = start("nobody/data", user=NOBODY)

    up.wait_for("^ready: ")
    assert {process.uids().effective for process in up.all_processes()} == {NOBODY}
    assert up.interrupt() == 0
    assert up.all_processes() == []


@pytest.fixture
def busy():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_busy_port_that_was_asked_for_is_refused_in_one_line(busy):
    with pytest.raises(LocalError, match=f"^port {busy} is not to be had .*: choose another with --port$"):
        command._listen(busy)


def test_without_a_wish_the_next_free_port_is_taken(busy, monkeypatch, capsys):
    monkeypatch.setattr(command, "_FIRST_PORT", busy)

    with command._listen(None) as listener:
        taken = listener.getsockname()[1]

    assert taken > busy
    assert capsys.readouterr().out == f"port {busy} is busy; taking {taken}\n"


@pytest.mark.parametrize("options", [["--port", "http"], ["--port", "65536"], ["--workers", "0"], ["--workers", "two"]])
def test_an_option_that_makes_no_sense_is_refused(options):
    with pytest.raises(CommandError, match="is not a"):
        call_command("up", *options)


def test_the_programs_know_our_servers_and_nobody_elses(monkeypatch, tmp_path):
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("DATABASE_URL", " ")

    env = command._environment(local.Services([], "postgres://ours", "unix://ours"), "http://127.0.0.1:8007", tmp_path)

    assert (env["DATABASE_URL"], env["REDIS_URL"], env["PUBLIC_BASE_URL"]) == (
        "postgres://ours",
        "unix://ours",
        "http://127.0.0.1:8007",
    )
    assert "PGPORT" not in env
    assert env["UNSUBSCRIBE_SPOOL"] == str(tmp_path / "unsubscribes")


def test_addresses_that_a_person_set_are_kept(monkeypatch, tmp_path):
    chosen = {
        "DATABASE_URL": "postgres://theirs",
        "REDIS_URL": "redis://theirs",
        "PUBLIC_BASE_URL": "https://mail.example.com",
        "PGPORT": "1",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)

    env = command._environment(local.Services([], "", ""), "http://127.0.0.1:8007", tmp_path)

    assert {name: env[name] for name in chosen} == chosen


def test_every_worker_has_its_own_name():
    assert "worker1@%h" in command._worker(1)
    assert "worker2@%h" in command._worker(2)
