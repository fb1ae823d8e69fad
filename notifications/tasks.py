"""Celery's part in events and in transactional mail: do what waits, again and again until nothing does."""

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from notifications import dispatching, forgetting, recording, revisiting, suppression_syncing, transports, waking
from notifications.setup import subscribing
from outreach.publishing import publish

_BATCH = 500
_FORGOTTEN_AT_ONCE = 5000
_MOST_PUTS = 2000  # one a second: about forty minutes; the next night goes on


@shared_task(ignore_result=True)
def apply_events() -> None:
    """Apply one batch; a full one means that more may wait."""
    if recording.apply_events(now=timezone.now(), limit=_BATCH) == _BATCH:
        publish(waking.APPLY_EVENTS)


@shared_task(ignore_result=True)
def look_at_parked_events() -> None:
    """Beat's sweep over events whose mail was not known when they came."""
    looked, freed = revisiting.look_again(now=timezone.now(), limit=_BATCH)
    if freed:
        publish(waking.APPLY_EVENTS)
    if looked == _BATCH:
        publish("notifications.tasks.look_at_parked_events")


@shared_task(ignore_result=True)
def forget_events() -> None:
    """Nightly: delete old events in small batches, one task each, so that others get their turn."""
    if forgetting.forget(now=timezone.now(), limit=_FORGOTTEN_AT_ONCE) == _FORGOTTEN_AT_ONCE:
        publish("notifications.tasks.forget_events")


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


@shared_task(ignore_result=True)
def confirm_subscription(topic_arn: str, token: str) -> None:
    """Confirm the subscription of our SNS route to its topic. Never raises: Celery would log the token."""
    subscribing.confirm(topic_arn, token)


@shared_task(ignore_result=True)
def sync_suppressions() -> None:
    """Nightly: SES' list and ours learn of each other."""
    if settings.EMAIL_MODE == "ses":
        suppression_syncing.sync_quietly(transports.suppressions(), most_puts=_MOST_PUTS, now=timezone.now())
