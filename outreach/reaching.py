"""Whether Redis can be reached: asked so seldom that it costs nothing, and so often that the answer is true."""

import threading
import time
from collections.abc import Callable

from django.core.cache import cache

from outreach.errors import DomainError

_LOOK_EVERY = 1.0  # seconds


class RedisUnavailable(DomainError):
    """Redis is out of reach: ask again later."""

    code = "REDIS_UNAVAILABLE"
    status = 503


class Look:
    """What `ask` (raises when the server is away) last found, at most a second ago.

    Whoever finds it older asks again, waiting for the server's time-out at worst; nobody else waits for them meanwhile.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._asking = threading.Lock()
        self._not_before = 0.0
        self._reached = True

    def reaches(self) -> bool:
        """Whether the server answered when it was last asked."""
        if time.monotonic() >= self._not_before and self._asking.acquire(blocking=False):
            try:
                self._reached = self._answers()
                self._not_before = time.monotonic() + _LOOK_EVERY
            finally:
                self._asking.release()
        return self._reached

    def _answers(self) -> bool:
        try:
            self._ask()
        except Exception:
            # Whatever it is, Redis could not be used.
            return False
        return True


redis = Look(lambda: cache.get("reaching"))


def require_redis() -> None:
    """Raises RedisUnavailable when Redis did not answer a moment ago."""
    if not redis.reaches():
        raise RedisUnavailable
