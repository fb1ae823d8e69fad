"""Applying the requests to unsubscribe that were kept while PostgreSQL was away.

Whoever has the files applies them: a thread of every web process, and beat's task on a machine that shares
the directory. While anything waits, no campaign goes on: its person may be the next to be written to.
"""

import logging
import os
import threading
import time
from datetime import datetime

from django.conf import settings
from django.core.cache import cache
from django.db import DataError, Error, IntegrityError, connection
from redis.exceptions import RedisError

from outreach.deadlines import database_deadline
from outreach.resting import Rest
from prospects import spooling, unsubscribing
from prospects.models import Unsubscribe
from prospects.spooling import Kept, Spool

logger = logging.getLogger(__name__)

_KEY = "unsubscribes-kept"
# How long other machines hold their campaigns after the last word about kept requests, in seconds.
_HOLD_SECONDS = 10
_ANNOUNCE_EVERY = 1.0
_LOOK_EVERY = 1.0
_PATIENCE = 10.0

_no_redis = Rest(10)


def spool() -> Spool:
    """This machine's spool, as settings name it now."""
    return Spool(settings.UNSUBSCRIBE_SPOOL, max_bytes=settings.UNSUBSCRIBE_SPOOL_MAX_BYTES)


def keep(request: Kept) -> None:
    """Take a request in for later, durably. Raises SpoolFull or OSError: then it was not taken in."""
    try:
        spool().append(request)
    except (OSError, spooling.SpoolFull) as error:
        logger.critical("unsubscribe_spool_unusable", extra={"error": str(error), "directory": str(settings.UNSUBSCRIBE_SPOOL)})
        raise
    logger.warning("unsubscribe_kept", extra={"method": request.method, "campaign_key": request.campaign_key})
    keeper.wake()


def apply_kept() -> int:
    """Apply what this machine keeps, in order, each with the time at which it was asked for; returns how many.

    Raises the database's error when it is (still) away: the rest stays kept.
    """
    waiting = spool()
    if waiting.is_empty():
        return 0
    announcer = _Announcer()
    announcer.announce()

    def apply(request: Kept) -> bool:
        announcer.announce()
        return _apply(request)

    count = waiting.drain(apply)
    if count:
        logger.info("unsubscribes_applied", extra={"count": count})
    return count


def is_behind() -> bool:
    """Whether somebody's no is kept somewhere that PostgreSQL does not know of: no campaign may go on."""
    if not spool().is_empty():
        return True
    if _no_redis.is_on():
        return False
    try:
        return cache.get(_KEY) is not None
    except (RedisError, OSError):
        _no_redis.begin()
        return False


def _apply(request: Kept) -> bool:
    """One request; False when it can never be applied. Repeating it changes nothing."""
    try:
        with database_deadline(_PATIENCE):
            if _taken_back_since(request.token, request.at):
                logger.info("unsubscribe_overtaken")
                return True
            person = unsubscribing.unsubscribe(
                request.token,
                method=Unsubscribe.Method(request.method),
                campaign_key=request.campaign_key,
                user_agent=request.user_agent,
                now=request.at,
            )
    except (DataError, IntegrityError, ValueError):
        logger.exception("unsubscribe_set_aside")
        return False
    if person is None:
        # While PostgreSQL was away nobody could tell a made-up token from a real one.
        logger.info("unsubscribe_of_nobody")
    return True


def _taken_back_since(token: object, at: datetime) -> bool:
    """Whether the person has taken back a no after this one was said: then it has been heard and answered."""
    person = unsubscribing.find_person(token)  # type: ignore[arg-type]
    return person is not None and Unsubscribe.objects.filter(email=person.email, undone_at__gte=at).exists()


class _Announcer:
    """Tells the workers of all machines, at most once a second, that there is something to catch up with."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def announce(self) -> None:
        if time.monotonic() - self._last < _ANNOUNCE_EVERY or _no_redis.is_on():
            return
        self._last = time.monotonic()
        try:
            cache.set(_KEY, 1, timeout=_HOLD_SECONDS)
        except (RedisError, OSError):
            _no_redis.begin()


class Keeper:
    """A thread of a web process that applies what is kept as soon as PostgreSQL is back.

    It looks once at its start, for what an earlier process left, and then whenever something was kept.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._lock = threading.Lock()
        self._work = threading.Event()

    def wake(self) -> None:
        """Have it look now. Starts it in a process that has none: threads do not survive a fork."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._work = os.getpid(), threading.Event()
                threading.Thread(target=self._run, name="unsubscribe-keeper", daemon=True).start()
            self._work.set()

    def _run(self) -> None:
        work = self._work
        while True:
            work.wait()
            work.clear()
            while not self._is_done():
                time.sleep(_LOOK_EVERY)

    def _is_done(self) -> bool:
        """Whether nothing is kept any more. Whatever goes wrong, it tries again."""
        try:
            apply_kept()
            return spool().is_empty()
        except Error as error:
            logger.warning("unsubscribes_still_kept", extra={"error": type(error).__name__})
        except Exception:
            logger.exception("unsubscribes_still_kept")
        finally:
            connection.close()
        return False


keeper = Keeper()
