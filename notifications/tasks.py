"""Celery's part in events and in transactional mail: do what waits, again and again until nothing does."""

from celery import shared_task
from django.utils import timezone

from notifications import dispatching, recording, transports, waking
from outreach.publishing import publish

_BATCH = 500


@shared_task(ignore_result=True)
def apply_events() -> None:
    """Apply one batch; a full one means that more may wait."""
    if recording.apply_events(now=timezone.now(), limit=_BATCH) == _BATCH:
        publish(waking.APPLY_EVENTS)


@shared_task(ignore_result=True)
def send_transactional() -> None:
    """Send what waits in the outbox."""
    if dispatching.send_waiting(transport=transports.configured(), clock=timezone.now):
        publish(waking.SEND_TRANSACTIONAL)


@shared_task(ignore_result=True)
def sweep_outbox() -> None:
    """Beat's sweep: tidy the outbox up, and wake its workers when something waits."""
    if dispatching.sweep(transport=transports.configured(), clock=timezone.now):
        publish(waking.SEND_TRANSACTIONAL)
