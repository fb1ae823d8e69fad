"""Hands a task to Celery without ever keeping the caller waiting for a broker that is away."""

from typing import Any

import structlog
from celery import current_app

log = structlog.get_logger("outreach")


def publish(task_name: str, *args: Any, secret: bool = False) -> bool:
    """Publish a task by name, trying once; returns whether the broker took it.

    Nothing depends on it: what the task would do, beat's sweeps do a little later. Workers log the
    arguments of the tasks that they get, those of a `secret` one as stars.
    """
    try:
        current_app.send_task(task_name, args=args, retry=False, ignore_result=True, argsrepr="***" if secret else None)
    except Exception as error:
        log.warning("publish_failed", task=task_name, error=f"{type(error).__name__}: {error}")
        return False
    return True
