"""When beat publishes what. A task that was not taken by the time the next one comes expires."""

from collections.abc import Iterable
from typing import Any

from celery.schedules import crontab

_ENTRIES: dict[str, dict[str, Any]] = {
    "wake-silent-campaigns": {"task": "campaigns.tasks.wake_silent_campaigns", "schedule": 5.0, "options": {"expires": 5}},
    "protect-campaigns": {"task": "campaigns.tasks.protect_campaigns", "schedule": 10.0, "options": {"expires": 10}},
    "watch": {"task": "campaigns.tasks.watch", "schedule": 30.0, "options": {"expires": 30}},
    "watch-events": {"task": "campaigns.tasks.watch_events", "schedule": 60.0, "options": {"expires": 60}},
    "look-at-parked-events": {"task": "notifications.tasks.look_at_parked_events", "schedule": 10.0, "options": {"expires": 10}},
    "forget-events": {"task": "notifications.tasks.forget_events", "schedule": crontab(hour="3", minute="30")},
    "apply-waiting-events": {"task": "notifications.tasks.apply_events", "schedule": 10.0, "options": {"expires": 10}},
    "sweep-outbox": {"task": "notifications.tasks.sweep_outbox", "schedule": 3.0, "options": {"expires": 3}},
    "run-waiting-imports": {"task": "prospects.tasks.run_waiting_imports", "schedule": 30.0, "options": {"expires": 30}},
    "apply-kept-unsubscribes": {
        "task": "prospects.tasks.apply_kept_unsubscribes",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
}
_SYNC_SUPPRESSIONS = {
    "task": "notifications.tasks.sync_suppressions",
    "schedule": crontab(hour="2", minute="10"),
}


def schedule(*, queues: Iterable[str], through_ses: bool) -> dict[str, dict[str, Any]]:
    """Celery's CELERY_BEAT_SCHEDULE. Every queue gets a heartbeat: a queue that nobody reads must show (`/readyz`)."""
    nightly = {"sync-suppressions": _SYNC_SUPPRESSIONS} if through_ses else {}
    return _ENTRIES | {f"heartbeat-{queue}": _heartbeat(queue) for queue in queues} | nightly


def _heartbeat(queue: str) -> dict[str, Any]:
    return {
        "task": "outreach.tasks.heartbeat",
        "schedule": 10.0,
        "options": {"queue": queue, "expires": 10},
    }
