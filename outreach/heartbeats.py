"""When a worker last ran a task that beat published: one sign for both being alive."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.redis import RedisCache

_KEY = "heartbeat"
FRESH_FOR = timedelta(seconds=60)


def record(now: datetime) -> None:
    """Remember that a worker and beat were alive at `now`."""
    cache.set(_KEY, now.isoformat(), timeout=3600)


def forget(redis_url: str) -> None:
    """Forget what an earlier run left in a Redis that keeps its data: those processes are gone."""
    RedisCache(redis_url, settings.CACHES["default"]).delete(_KEY)


def last() -> datetime | None:
    """When they were last seen, or None. Raises redis errors when Redis is away."""
    seen = cache.get(_KEY)
    return datetime.fromisoformat(seen) if seen else None


def is_fresh(now: datetime) -> bool:
    """Whether they were seen within the last minute."""
    seen = last()
    return seen is not None and now - seen < FRESH_FOR
