"""Hands a task to Celery without ever keeping the caller waiting for a broker that is away."""

from typing import Any

import structlog
from celery import current_app

log = structlog.get_logger("outreach")


def publish(task_name: str, *args: Any, expires: float | None = None, secret: bool = False) -> bool:
    """Publish a task by name, trying once; returns whether the broker took it. It is dropped after `expires` seconds.

    Nothing depends on it: what the task would do, beat's sweeps do a little later. Workers log the
    arguments of the tasks that they get, those of a `secret` one as stars.
    """
    try:
        shown = "***" if secret else None
        current_app.send_task(task_name, args=args, expires=expires, retry=False, ignore_result=True, argsrepr=shown)
    except Exception as error:
        log.warning("publish_failed", task=task_name, error=f"{type(error).__name__}: {error}")
        return False
    return True
