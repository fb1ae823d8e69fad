"""The tests' own PostgreSQL and Redis, started once for all processes; a person's environment has no say here.

Everything in the first part happens while this file is imported: before any conftest or test module can
ask Django for its settings, and before pytest-xdist starts its workers, which inherit the addresses.
"""

import atexit
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import hypothesis
import pytest

_ROOT = Path(__file__).resolve().parent.parent
_TEMPORARY = "outreach-tests-"


def _forget_the_outside() -> None:
    """Remove every variable that the settings, AWS, PostgreSQL or an HTTP client would listen to."""
    calls = re.findall(r"\benv\.\w+\(([^)]*)", (_ROOT / "outreach" / "settings.py").read_text())
    ours = {name for call in calls for name in re.findall(r'"([A-Z][A-Z0-9_]+)"', call)}
    for name in list(os.environ):
        if name in ours or name.startswith(("AWS_", "BOTO", "PG", "DJANGO_", "CELERY_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "outreach.settings",
        "ENV_FILE": os.devnull,
        # Whoever forgets to mock AWS meets "no credentials", never an account.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def _temporary_services() -> Iterator[None]:
    from outreach import local

    _sweep()
    directory = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    try:
        with local.services(directory, durable=False) as services:
            os.environ |= {"DATABASE_URL": services.database_url, "REDIS_URL": services.redis_url}
            yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep() -> None:
    """Remove what runs that were killed left behind; a directory in use is locked."""
    from outreach import places
    from outreach.processes import LocalError

    for old in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with suppress(LocalError, OSError):
            if time.time() - old.stat().st_mtime > 60:
                with places.claim(old):
                    shutil.rmtree(old, ignore_errors=True)


def _start() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        os.environ["DJANGO_SETTINGS_MODULE"] = "outreach.settings"
        # The controller's servers; a Redis database of our own on them.
        os.environ["REDIS_URL"] = os.environ["REDIS_URL"].replace("db=0", f"db={int(worker.removeprefix('gw'))}")
    else:
        if "DJANGO_SETTINGS_MODULE" in os.environ:
            pytest.exit("unset DJANGO_SETTINGS_MODULE (and --ds): pytest-django has read a person's settings because of it", 4)
        _forget_the_outside()
        running = ExitStack()
        # Also after Ctrl-C and after an error in a conftest, which reach no pytest hook.
        atexit.register(running.close)
        running.enter_context(_temporary_services())

    import django

    # Here, so that conftests below this one may import models.
    django.setup()
    _adapt_settings()


def _adapt_settings() -> None:
    """Let a machine that stalls for seconds be no server that is away, and a test's client cost little."""
    from django.conf import settings

    # Else each client that is made looks at every static file.
    settings.WHITENOISE_AUTOREFRESH = True
    settings.DATABASES["default"]["OPTIONS"]["connect_timeout"] = 60
    for options in (settings.CACHES["default"]["OPTIONS"], settings.CELERY_BROKER_TRANSPORT_OPTIONS):
        options.update(socket_timeout=60, socket_connect_timeout=60)


_start()


# No test depends on the speed of the machine.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """This machine only (pytest-socket)."""
    config.option.allow_hosts = "127.0.0.1,::1,localhost"
    config.option.allow_unix_socket = True


# Their files take minutes for a few tests each; the longest of them go first.
_LONG = frozenset({"browser", "chaos", "journeys"})
_LONGEST = ("test_mutants.py", "test_kills.py", "test_answers.py", "test_points.py", "test_servers.py", "test_disorder.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first: begun last, one of them would keep a process busy while the others have nothing left to do."""
    items.sort(key=_how_late)


def _how_late(item: pytest.Item) -> tuple[bool, int]:
    name = item.path.name
    is_short = item.path.relative_to(_ROOT / "tests").parts[0] not in _LONG
    return is_short, _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers must not inherit this: pytest-django would read the settings before they have chosen their Redis database."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.fixture(scope="session")
def _redis_client():
    from django.conf import settings
    from redis import Redis

    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def redis(_redis_client):
    """The Redis of this test process, empty at the start of every test: broker, cache and counters."""
    _redis_client.flushdb()
    return _redis_client


@pytest.fixture(autouse=True)
def _cheap_passwords(settings):
    """Hashing is slow by intention, and nobody attacks the tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _own_spool(settings, tmp_path_factory, monkeypatch):
    """Unsubscribe requests that a test keeps are its own; nobody applies them behind its back."""
    settings.UNSUBSCRIBE_SPOOL = tmp_path_factory.getbasetemp() / uuid.uuid4().hex
    monkeypatch.setattr("prospects.catching_up.keeper.wake", lambda: None)


@pytest.fixture(autouse=True)
def _patience(request, monkeypatch):
    """A machine that stalls is no server that is away, and what one test saw of it is nothing to the next."""
    from notifications import calling
    from outreach import banning, health
    from prospects import catching_up, unsubscribe_views

    for rest in (banning.rest, catching_up._no_redis, unsubscribe_views.database_rest):
        rest.end()
    monkeypatch.setattr(unsubscribe_views, "_PATIENCE", 60.0)
    monkeypatch.setattr(health, "_LONGEST", 60.0)
    if not request.node.get_closest_marker("prompt_calls"):
        # In production the mail of a call that a stall held up waits for the next turn; many tests take one turn.
        monkeypatch.setattr(calling, "_TOO_LATE", 60.0)


@pytest.fixture
def now():
    """The time, read at the edge of the test as code does at the edge of a request."""
    from django.utils import timezone

    return timezone.now()
