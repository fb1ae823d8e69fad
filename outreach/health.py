"""`/healthz`: this process answers. `/readyz`: the whole system can do its work, and what cannot if not."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from celery import current_app
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from outreach import heartbeats

# A health check that hangs is worse than one that says no: load balancers wait five seconds.
_LONGEST = 2.5
_ANSWER_SECONDS = 0.7
# A worker whose every hand is busy with one long task (an import) is alive.
_LONGEST_TASK = 900.0


@dataclass(frozen=True)
class Condition:
    """How one component is: `reason` is empty when it is well; the rest is in seconds."""

    reason: str = ""
    seconds: float | None = None
    seconds_since: float | None = None
    queues: dict[str, float | None] | None = None

    def as_json(self) -> dict[str, Any]:
        words = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        return {"ok": not self.reason} | words


class _Probe:
    """Asks one component in a thread of its own, and does not wait for it longer than is useful."""

    def __init__(self, ask: Callable[[], Condition]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._condition = Condition()

    def begin(self) -> None:
        with self._lock:
            # The last question may still hang: one thread each is all that a dead server gets.
            if self._thread is None or not self._thread.is_alive():
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def end(self, deadline: float) -> Condition:
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                return Condition(f"no answer for {time.monotonic() - self._began:.0f} s")
        return self._condition

    def _run(self) -> None:
        try:
            self._condition = self._ask()
        except Exception as error:
            # The class only: a message may name hosts and users, and anybody may read this page.
            self._condition = Condition(f"cannot be used: {type(error).__name__}")
        finally:
            connection.close()


@csrf_exempt
@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 while the process lives; touches nothing else."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when database, Redis, workers that get on and beat are there; else 503 with the reasons."""
    found = conditions()
    reasons = {name: condition.reason for name, condition in found.items() if condition.reason}
    body = {
        "status": "unready" if reasons else "ready",
        "reasons": reasons,
        "components": {name: condition.as_json() for name, condition in found.items()},
    }
    return JsonResponse(body, status=503 if reasons else 200)


def conditions() -> dict[str, Condition]:
    """Every component's condition, within some three seconds whatever hangs."""
    deadline = time.monotonic() + _LONGEST
    for probe in _PROBES.values():
        probe.begin()
    return {name: probe.end(deadline) for name, probe in _PROBES.items()}


def _database() -> Condition:
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Condition(seconds=_rounded(time.monotonic() - began))


def _redis() -> Condition:
    began = time.monotonic()
    cache.get("readyz")
    return Condition(seconds=_rounded(time.monotonic() - began))


def _beat() -> Condition:
    since = _since(timezone.now(), heartbeats.seen([heartbeats.BEAT])[heartbeats.BEAT])
    if since is None:
        return Condition("beat has not published a task yet")
    stale = since > heartbeats.FRESH_FOR.total_seconds()
    return Condition(f"beat has published no task for {since:.0f} s" if stale else "", seconds_since=_rounded(since))


def _worker() -> Condition:
    now = timezone.now()
    queues = {name: _since(now, at) for name, at in heartbeats.seen(heartbeats.queues()).items()}
    limit = heartbeats.FRESH_FOR.total_seconds()
    idle = [name for name, since in queues.items() if (since is None or since > limit) and name not in heartbeats.SPARE]
    latest = min((since for since in queues.values() if since is not None), default=None)
    return Condition(
        _why_idle(idle, queues) if idle else "",
        seconds_since=None if latest is None else _rounded(latest),
        queues={name: None if since is None else _rounded(since) for name, since in queues.items()},
    )


def _why_idle(idle: list[str], queues: dict[str, float | None]) -> str:
    """Ask the workers themselves what is the matter; empty when their hands are merely full."""
    active = current_app.control.inspect(timeout=_ANSWER_SECONDS).active()
    said = ", ".join(f"{name} for {since:.0f} s" if (since := queues[name]) is not None else f"{name} yet" for name in idle)
    if not active:
        return f"no worker answers; no task was run on: {said}"
    tasks = [task for tasks in active.values() for task in tasks]
    hands_full = {task["delivery_info"]["routing_key"] for task in tasks if _is_young(task)}
    if hands_full.issuperset(idle):
        return ""
    return f"{len(active)} worker(s) alive, but no task was run on: {said}"


def _is_young(task: Any) -> bool:
    began = task.get("time_start")
    return began is not None and time.time() - began < _LONGEST_TASK


def _since(now: datetime, moment: datetime | None) -> float | None:
    # Clocks of two machines differ: nobody was seen in the future.
    return None if moment is None else max(0.0, (now - moment).total_seconds())


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


_PROBES = {"database": _Probe(_database), "redis": _Probe(_redis), "worker": _Probe(_worker), "beat": _Probe(_beat)}
