"""When a worker last ran a task that beat published: one sign for both being alive."""

from datetime import datetime, timedelta

from django.core.cache import cache

_KEY = "heartbeat"
FRESH_FOR = timedelta(seconds=60)


def record(now: datetime) -> None:
    """Remember that a worker and beat were alive at `now`."""
    cache.set(_KEY, now.isoformat(), timeout=3600)


def last() -> datetime | None:
    """When they were last seen, or None. Raises redis errors when Redis is away."""
    seen = cache.get(_KEY)
    return datetime.fromisoformat(seen) if seen else None


def is_fresh(now: datetime) -> bool:
    """Whether they were seen within the last minute."""
    seen = last()
    return seen is not None and now - seen < FRESH_FOR
