"""Everything this site needs, in one foreground command: nothing else has to be installed or running."""

import os
import socket
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand

from outreach import heartbeats, local, metering, places, printed, simulating, waiting
from outreach.places import Place
from outreach.processes import LocalError
from outreach.supervising import Program, Stopped, StopSignals, Supervisor

_FIRST_PORT = 8000
_PORTS_TO_TRY = 100
_CELERY = [sys.executable, "-m", "celery", "--quiet", "-A", "outreach"]


class Command(BaseCommand):
    """Claims the data directory, starts the servers, migrates, keeps the site running until somebody asks it to stop."""

    help = (
        "Runs web, Celery workers and beat, with PostgreSQL and Redis for whichever of DATABASE_URL and REDIS_URL "
        "is not set, and stops all of it on Ctrl-C."
    )
    # Checks may need the database, which this command is about to start.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=_port, help=f"port of the web server (default: {_FIRST_PORT}, or the next free one)")
        parser.add_argument(
            "--data-dir", type=Path, default=settings.BASE_DIR / ".local", help="where data is kept (default: .local)"
        )
        parser.add_argument("--workers", type=_count, default=1, help="number of Celery workers (default: 1)")
        parser.add_argument("--demo", action="store_true", help="demo data, a simulated SES, and the admin login printed")

    def handle(self, *_args: Any, **options: Any) -> None:
        signals = StopSignals()
        signals.listen()
        try:
            with places.claim(options["data_dir"], say=printed.tell, pause=signals.pause) as place:
                _run(place, signals, port=options["port"], workers=options["workers"], demo=options["demo"])
        except Stopped:
            printed.tell("stopped; the data is kept")
        except LocalError as error:
            sys.exit(f"up: {error}")


def _run(place: Place, signals: StopSignals, *, port: int | None, workers: int, demo: bool) -> None:
    """Never returns: ends with Stopped or LocalError, with nothing left running."""
    postgres, redis = not _is_set("DATABASE_URL"), not _is_set("REDIS_URL")
    with ExitStack() as held:
        listener = held.enter_context(closing(_listen(port)))
        services = held.enter_context(local.running(place, postgres=postgres, redis=redis))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        env = _environment(services, url, place.data_dir)
        simulated = held.enter_context(closing(simulating.listen())) if demo else None
        if simulated:
            env = simulating.environment(env, site_url=url, endpoint=simulating.address(simulated))
        waiting.until_reachable(database_url=env["DATABASE_URL"], redis_url=env["REDIS_URL"], pause=signals.pause)
        heartbeats.forget(env["REDIS_URL"])
        metering.clean_directory(place.data_dir / "metrics")
        env[metering.VARIABLE] = str(place.data_dir / "metrics")
        program = partial(Program, env=env, cwd=settings.BASE_DIR, register=place.register)
        password_file = place.data_dir / "admin-password"
        printed.tell("preparing the database")
        _finish(program("migrate", _manage("migrate", "--noinput", "--verbosity", "0")), signals.pause)
        if demo:
            _finish(program("demo_data", _manage("demo_data", "--password-file", str(password_file))), signals.pause)
            program = partial(program, output=_quiet_place(place))
        supervisor = Supervisor(say=printed.tell)
        try:
            for server in services.servers:
                supervisor.keep(server)
            if simulated:
                supervisor.keep(_simulator(program, simulated, url))
            supervisor.keep(program("web", _web(listener), pass_fds=[listener.fileno()]))
            for number in range(1, workers + 1):
                supervisor.keep(program(f"worker {number}", _worker(number)))
            supervisor.keep(program("beat", _beat()))
            supervisor.keep(program("transactional", _transactional_worker()))
            waiting.until_ready(
                url, public_url=env["PUBLIC_BASE_URL"], meanwhile=partial(_tend, supervisor, signals, patient=False)
            )
            # A Ctrl-C that follows "ready" at once must find it deaf already.
            signals.pause(0.7)
            held.enter_context(_written_down(place, url))
            printed.tell(f"ready: {url}")
            if simulated:
                printed.tell(f"SES is simulated at {simulating.address(simulated)}/ledger: no mail leaves this machine")
                printed.tell(f"admin login: admin / {password_file.read_text()}   at {url}/admin/   (Ctrl-C stops everything)")
            while True:
                _tend(supervisor, signals, patient=True)
        finally:
            printed.tell("stopping: what is under way is finished first; Ctrl-C again hurries")
            supervisor.stop(hurried=signals.hurried)


@contextmanager
def _written_down(place: Place, url: str) -> Iterator[None]:
    """Where the site is, for `smoke_test`, while it runs."""
    path = place.data_dir / "site-url"
    path.write_text(url)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _simulator(program: "partial[Program]", simulated: socket.socket, url: str) -> Program:
    """SES for the demo; it outlives the workers, which may be in the middle of a call."""
    command = simulating.command(simulated, manage=settings.BASE_DIR / "manage.py", site_url=url)
    return program("simulator", command, pass_fds=[simulated.fileno()], stop_last=True)


def _quiet_place(place: Place) -> IO[bytes] | None:
    """A log file when a person watches the demo in a terminal: twenty lines a second would hide the login."""
    if not sys.stdout.isatty():
        return None
    path = place.data_dir / "log" / "demo.log"
    path.parent.mkdir(exist_ok=True)
    printed.tell(f"every mail is a line in {path}")
    return path.open("ab")


def _tend(supervisor: Supervisor, signals: StopSignals, *, patient: bool) -> None:
    supervisor.tend(time.monotonic(), patient=patient)
    signals.pause(0.2)


def _environment(services: local.Services, url: str, data_dir: Path) -> dict[str, str]:
    """The environment of every program: the servers' addresses, and the site's own."""
    ours = {"DATABASE_URL": services.database_url, "REDIS_URL": services.redis_url}
    env = dict(os.environ) | {name: value for name, value in ours.items() if value}
    if services.database_url:
        # libpq reads them wherever an address is silent: they are about another server.
        env = {name: value for name, value in env.items() if not name.startswith("PG")}
    # The workers count into a directory that the web process reads: they need no port.
    env.pop("METRICS_PORT", None)
    return env | {
        "PUBLIC_BASE_URL": env["PUBLIC_BASE_URL"] if _is_set("PUBLIC_BASE_URL") else url,
        # Requests kept for this database, not for another site's on this machine.
        "UNSUBSCRIBE_SPOOL": env.get("UNSUBSCRIBE_SPOOL", "").strip() or str(data_dir.resolve() / "unsubscribes"),
        "PYTHONUNBUFFERED": "1",
        # Both are so by intention here: static files come from the apps themselves, and root may run `up`.
        "PYTHONWARNINGS": f"{env.get('PYTHONWARNINGS', '')},ignore:No directory at,ignore:You're running the worker".lstrip(","),
    }


def _web(listener: socket.socket) -> list[str]:
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "outreach.wsgi",
        "--config",
        "gunicorn.conf.py",
        "--bind",
        f"fd://{listener.fileno()}",
    ]


def _worker(number: int) -> list[str]:
    options = [
        "-Q",
        "default,campaigns,events,sweeps",
        "--concurrency",
        "2",
        "-n",
        f"worker{number}@%h",
        "--include",
        "outreach.terminal",
    ]
    return [*_CELERY, "worker", *options, "--without-gossip", "--without-mingle", "--loglevel", "INFO"]


def _transactional_worker() -> list[str]:
    """A worker that no campaign can keep busy; threads, because it waits for SES most of the time."""
    options = ["-Q", "transactional,sweeps", "--pool", "threads", "--concurrency", "4", "-n", "transactional@%h"]
    options += ["--include", "outreach.terminal"]
    return [*_CELERY, "worker", *options, "--without-gossip", "--without-mingle", "--loglevel", "INFO"]


def _beat() -> list[str]:
    # The schedule lives in settings: there is nothing to remember in a file.
    return [*_CELERY, "beat", "--scheduler", "outreach.scheduling.Scheduler", "--loglevel", "INFO"]


def _finish(program: Program, pause: Callable[[float], None]) -> None:
    """Run a program to its end. Raises LocalError when it fails."""
    program.start()
    try:
        while program.is_alive():
            pause(0.05)
    finally:
        program.end()
    if program.ending() != "exit code 0":
        raise LocalError(f"{program.name} failed ({program.ending()}); its own words are above")


def _listen(asked: int | None) -> socket.socket:
    """The web server's socket, ours from now on: a web process that is started again finds it as it was.

    Raises LocalError when the port that was asked for is not to be had.
    """
    for port in [asked] if asked is not None else range(_FIRST_PORT, _FIRST_PORT + _PORTS_TO_TRY):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            problem = error.strerror
            continue
        if asked is None and port != _FIRST_PORT:
            printed.tell(f"port {_FIRST_PORT} is busy; taking {port}")
        return listener
    raise LocalError(f"port {asked or _FIRST_PORT} is not to be had ({problem}): choose another with --port")


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def _is_set(variable: str) -> bool:
    # settings has read .env into the environment by now.
    return bool(os.environ.get(variable, "").strip())


def _port(text: str) -> int:
    """0 means any free port."""
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: choose a number up to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)
