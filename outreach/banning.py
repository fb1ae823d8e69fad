"""Who asks too often is sent away for a while. django-ratelimit counts; the block is ours.

Alone it frees a client as soon as its window ends, lets twice the rate through around a window's edge,
and turns an unreachable Redis into an error.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from zlib import crc32

from django.core.cache import cache
from django.http import HttpRequest
from django_ratelimit.core import _split_rate, get_usage
from redis.exceptions import RedisError

from outreach import clients
from outreach.resting import Rest

logger = logging.getLogger(__name__)

_REST_SECONDS = 10


@dataclass(frozen=True)
class Limit:
    """So many requests (`rate` in django-ratelimit's words, "30/m"), then none for `block_seconds`."""

    name: str
    rate: str
    block_seconds: int


rest = Rest(_REST_SECONDS)


def seconds_to_wait(request: HttpRequest, limit: Limit, *, now: datetime) -> int:
    """Count this request; 0 when the client is welcome, else the seconds until it is again.

    What a blocked client asks is not counted and does not prolong the block. While Redis is out of
    reach everybody is welcome: a limit that fails must not close the door.
    """
    if rest.is_on():
        return 0
    try:
        return _seconds_blocked(request, limit, int(now.timestamp()))
    except (RedisError, OSError) as error:
        logger.warning("rate_limit_unavailable", extra={"error": type(error).__name__})
        rest.begin()
        return 0


def _seconds_blocked(request: HttpRequest, limit: Limit, moment: int) -> int:
    client = clients.network(request)
    key = f"blocked:{limit.name}:{client}"
    until = int(cache.get(key, 0))
    if until > moment:
        return until - moment
    if not _is_over(request, limit, client):
        return 0
    cache.set(key, moment + limit.block_seconds, timeout=limit.block_seconds)
    return limit.block_seconds


def _is_over(request: HttpRequest, limit: Limit, client: str) -> bool:
    """Count in two windows whose edges lie apart, so that a burst around one edge is whole in the other."""
    over = False
    for value in _windows(client, limit.rate):
        usage = get_usage(request, group=limit.name, key=lambda *_, v=value: v, rate=limit.rate, increment=True)
        # The library answers limit 0 when a counter vanished under it; that is no reason to block.
        over |= bool(usage) and usage["count"] > usage["limit"]
    return over


def _windows(client: str, rate: str) -> tuple[str, str]:
    """Names of two windows whose edges lie a quarter of a period apart, or more; the library takes an edge from a name."""
    _, period = _split_rate(rate)
    first = f"a:{client}"
    seconds = (f"b{number}:{client}" for number in count())
    return first, next(name for name in seconds if _apart(first, name, period) >= period // 4)


def _apart(one: str, other: str, period: int) -> int:
    """Seconds between the edges of two windows."""
    distance = (crc32(one.encode()) - crc32(other.encode())) % period
    return min(distance, period - distance)
