"""Celery's part in events: apply what waits, again and again until nothing does."""

from celery import shared_task
from django.utils import timezone

from notifications import recording, waking
from notifications.setup import subscribing
from outreach.publishing import publish

_BATCH = 500


@shared_task(ignore_result=True)
def apply_events() -> None:
    """Apply one batch; a full one means that more may wait."""
    if recording.apply_events(now=timezone.now(), limit=_BATCH) == _BATCH:
        publish(waking.APPLY_EVENTS)


@shared_task(ignore_result=True)
def confirm_subscription(topic_arn: str, token: str) -> None:
    """Confirm the subscription of our SNS route to its topic. Never raises: Celery would log the token."""
    subscribing.confirm(topic_arn, token)
