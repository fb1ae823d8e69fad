"""Waits for what others provide: servers that answer, a site that is ready."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlsplit

import psycopg
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from outreach import connections
from outreach.processes import LocalError

_REACHABLE_SECONDS = 30
_READY_SECONDS = 120


def until_reachable(*, database_url: str, redis_url: str, pause: Callable[[float], None]) -> None:
    """Return when both servers answer. Raises LocalError, naming the variable, after half a minute."""
    for name, url, ask in (("DATABASE_URL", database_url, _ask_database), ("REDIS_URL", redis_url, _ask_redis)):
        deadline = time.monotonic() + _REACHABLE_SECONDS
        while problem := ask(url):
            if time.monotonic() > deadline:
                raise LocalError(f"the server of {name} cannot be used: {problem}")
            pause(0.5)


def until_ready(url: str, *, public_url: str, meanwhile: Callable[[], None]) -> None:
    """Return when `url`/readyz answers 200, calling `meanwhile` between the attempts.

    Asks in the name of `public_url`, which is sure to be an allowed host. Raises LocalError with the
    last answer after two minutes.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while answer := _ask_site(f"{url}/readyz", host=urlsplit(public_url).netloc):
        if time.monotonic() > deadline:
            raise LocalError(f"{url}/readyz is not ready after {_READY_SECONDS} s; it answers: {answer}")
        meanwhile()


def _ask_database(url: str) -> str:
    """Why there is no session to be had, in one line without the password; empty when there is."""
    config = connections.database_settings(url)
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
    address = {ours: config[theirs] for theirs, ours in names.items() if config[theirs]}
    try:
        psycopg.connect(**{"connect_timeout": 3, **address, **config.get("OPTIONS", {})}).close()
    except psycopg.Error as error:
        return _first_line(error)
    return ""


def _ask_redis(url: str) -> str:
    try:
        # One attempt at a time: by itself the client would try again, later and later.
        with Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()
    except (RedisError, ValueError) as error:
        return _first_line(error)
    return ""


def _ask_site(url: str, *, host: str) -> str:
    request = urllib.request.Request(url, headers={"Host": host})  # noqa: S310 (our own http address)
    # Our own server is asked directly, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace').strip()}"
    except (OSError, HTTPException) as error:
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
