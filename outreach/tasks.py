"""Signs of life."""

from celery import shared_task
from django.utils import timezone

from outreach import heartbeats


@shared_task(ignore_result=True)
def heartbeat() -> None:
    """Published by beat, run by a worker: says that both live."""
    heartbeats.record(timezone.now())
