"""Where PostgreSQL and Redis are: words for settings, without starting anything.

The embedded servers of `manage.py up` listen on Unix sockets in a private directory: no port to
collide with, no password to keep, nobody else on the machine can connect.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import environ

# sun_path holds 108 bytes, and PostgreSQL appends "/.s.PGSQL.5432.lock" to the directory.
_LONGEST_SOCKET_DIRECTORY = 80
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def socket_directory(data_dir: Path) -> Path:
    """The directory of both sockets for the servers that keep their data in `data_dir`."""
    directory = data_dir.resolve() / "run"
    if len(str(directory)) <= _LONGEST_SOCKET_DIRECTORY:
        return directory
    return Path(tempfile.gettempdir()) / f"outreach-{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}"


def local_database_url(data_dir: Path) -> str:
    """The address of the embedded PostgreSQL, running or not."""
    return f"postgres://postgres@{quote(str(socket_directory(data_dir)), safe='')}/outreach"


def local_redis_url(data_dir: Path) -> str:
    """The address of the embedded Redis, running or not."""
    return f"unix://{socket_directory(data_dir)}/redis.sock?db=0"


def broker_url(redis_url: str) -> str:
    """The same Redis in Celery's spelling, which differs for Unix sockets."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    return f"redis+socket://{path}?{query.replace('db=', 'virtual_host=')}"


def broker_options(url: str) -> dict[str, Any]:
    """Celery's transport options for a broker: Redis, SQS, or RabbitMQ, which has none of these.

    Redis may be frozen, not only down: without time-outs a request would hang in .delay(). A task lives for
    seconds, so one that is not acknowledged within an hour is lost, and its redelivery harmless.
    """
    if url.startswith("sqs://"):
        return {"visibility_timeout": 3600, "wait_time_seconds": 20}
    if url.startswith(("amqp://", "amqps://", "pyamqp://")):
        return {}
    return {"socket_timeout": 5, "socket_connect_timeout": 2, "visibility_timeout": 3600}


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine; an empty or broken one is not."""
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for a postgres:// address; empty for an empty one."""
    if not url:
        return {}
    config = dict(environ.Env.db_url_config(url))
    if config["ENGINE"] == "django.db.backends.postgresql":
        config["ENGINE"] = "outreach.postgresql"
    # A Unix socket's directory travels percent-encoded in the place of the host.
    return config | {"HOST": unquote(config["HOST"])}
