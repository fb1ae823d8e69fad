"""Signs of life."""

from celery import shared_task


@shared_task(ignore_result=True)
def heartbeat() -> None:
    """Published by beat to every queue; that a worker runs it is the sign (`outreach.heartbeats` notes every task)."""
