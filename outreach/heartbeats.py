"""Signs of life, left in Redis by whoever did something: beat published a task, a worker began or ended one.

A process that merely runs leaves none: that is what tells a worker that consumes from one that hangs.
"""

import socket
import time
from datetime import datetime, timedelta
from typing import Any

from celery.signals import after_task_publish, beat_init, task_postrun, task_prerun, worker_ready
from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.redis import RedisCache
from django.utils import timezone

FRESH_FOR = timedelta(seconds=60)
BEAT = "beat"
# What waits in these is done by a task of another queue too, only later (`sweep_outbox`): no worker of their own, no harm.
SPARE = frozenset({"transactional"})
_KEPT_SECONDS = 86_400
_NOT_OFTENER_THAN = 3.0  # seconds
_last_written: dict[str, float] = {}


def queues() -> list[str]:
    """Every queue that our tasks go to; each needs a worker."""
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return sorted({settings.CELERY_TASK_DEFAULT_QUEUE, *routed})


def record(name: str, now: datetime) -> None:
    """Remember that `name` (beat, or a queue whose tasks a worker runs) did something at `now`, here and anywhere."""
    value = now.isoformat()
    cache.set_many({_key(name): value, _key(name, machine()): value}, timeout=_KEPT_SECONDS)


def forget(redis_url: str) -> None:
    """Forget what an earlier run left in a Redis that keeps its data: those processes are gone."""
    RedisCache(redis_url, settings.CACHES["default"]).delete_many([_key(name) for name in (BEAT, *queues())])


def seen(names: list[str], *, on: str = "") -> dict[str, datetime | None]:
    """When each was last seen, anywhere or on one machine. Raises redis errors when Redis is away."""
    kept = cache.get_many([_key(name, on) for name in names])
    return {name: datetime.fromisoformat(kept[key]) if (key := _key(name, on)) in kept else None for name in names}


def machine() -> str:
    """This machine's or container's name, which is also in the name of its workers."""
    return socket.gethostname()


def listen() -> None:
    """Leave signs from now on, in whichever process runs tasks or publishes them on a schedule."""
    task_prerun.connect(_note_task)
    task_postrun.connect(_note_task)
    worker_ready.connect(_note_worker)
    beat_init.connect(_watch_beat)


def _note_task(task: Any = None, **_: Any) -> None:
    info = getattr(getattr(task, "request", None), "delivery_info", None) or {}
    if queue := info.get("routing_key"):
        _note(queue)


def _note_worker(sender: Any, **_: Any) -> None:
    """A worker that is about to consume; the next minute shows whether it does."""
    for queue in getattr(getattr(sender, "task_consumer", None), "queues", []):
        _note(getattr(queue, "name", str(queue)))


def _watch_beat(**_: Any) -> None:
    _note(BEAT)
    after_task_publish.connect(_note_beat)


def _note_beat(**_: Any) -> None:
    _note(BEAT)


def _note(name: str) -> None:
    """Never fails and seldom writes: a sign of life must not cost one."""
    if time.monotonic() - _last_written.get(name, -_NOT_OFTENER_THAN) < _NOT_OFTENER_THAN:
        return
    _last_written[name] = time.monotonic()
    try:
        record(name, timezone.now())
    except Exception:
        # Redis is away: nobody could read it either, and `/readyz` says so.
        return


def _key(name: str, on: str = "") -> str:
    return f"alive:{name}:{on}" if on else f"alive:{name}"
