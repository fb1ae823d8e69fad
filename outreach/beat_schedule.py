"""When beat publishes what, and when it expires.

A sweep may have to wait behind others' tasks, and clocks of beat and workers differ: it lives long enough to be run
however busy the workers are. Copies that pile up meanwhile are few, and harmless: each does what is left to do.
"""

from collections.abc import Iterable
from typing import Any

from celery.schedules import crontab

_LEAST_SECONDS = 60.0


def _every(seconds: float, task: str, **options: Any) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": max(_LEAST_SECONDS, 2 * seconds), **options}}


_ENTRIES: dict[str, dict[str, Any]] = {
    "wake-silent-campaigns": _every(5.0, "campaigns.tasks.wake_silent_campaigns"),
    "protect-campaigns": _every(10.0, "campaigns.tasks.protect_campaigns"),
    "watch": _every(30.0, "campaigns.tasks.watch"),
    "watch-events": _every(60.0, "campaigns.tasks.watch_events"),
    "look-at-parked-events": _every(10.0, "notifications.tasks.look_at_parked_events"),
    "forget-events": {"task": "notifications.tasks.forget_events", "schedule": crontab(hour="3", minute="30")},
    "apply-waiting-events": _every(10.0, "notifications.tasks.apply_events"),
    "sweep-outbox": _every(3.0, "notifications.tasks.sweep_outbox"),
    "run-waiting-imports": _every(30.0, "prospects.tasks.run_waiting_imports"),
    "apply-kept-unsubscribes": _every(10.0, "prospects.tasks.apply_kept_unsubscribes"),
}
_SYNC_SUPPRESSIONS = {
    "task": "notifications.tasks.sync_suppressions",
    "schedule": crontab(hour="2", minute="10"),
}


def schedule(*, queues: Iterable[str], through_ses: bool) -> dict[str, dict[str, Any]]:
    """Celery's CELERY_BEAT_SCHEDULE. Every queue gets a heartbeat: a queue that nobody reads must show (`/readyz`)."""
    nightly = {"sync-suppressions": _SYNC_SUPPRESSIONS} if through_ses else {}
    heartbeats = {f"heartbeat-{queue}": _every(10.0, "outreach.tasks.heartbeat", queue=queue) for queue in queues}
    return _ENTRIES | heartbeats | nightly
