"""Celery's part in sending: wake a chunk, and let it wake the next."""

from celery import shared_task
from django.utils import timezone

from campaigns import claiming, dispatching, lifecycle, reporting, safeguards, watching, watching_events
from notifications import quota, transports


@shared_task(ignore_result=True, rate_limit="5/s")
def send_chunk(campaign_id: int, generation: int, lane: int = 0) -> None:
    """Send for a few seconds and requeue itself until the campaign is done.

    The rate limit is the outer guard that the mission names; the pace of mails is kept by
    `notifications.pacing`, because Celery's limit holds per worker only.
    """
    transport = transports.configured()
    chunk = dispatching.send_chunk(campaign_id, generation, transport=transport, clock=timezone.now, lane=lane)
    dispatching.requeue(campaign_id, chunk, lane=lane)


@shared_task(ignore_result=True)
def wake_silent_campaigns() -> None:
    """Beat's sweep: end dead leases, and wake every campaign whose loop is silent."""
    claiming.reclaim_expired(call_lease=dispatching.call_lease(transports.configured()))
    lifecycle.wake_silent_campaigns(now=timezone.now())


@shared_task(ignore_result=True)
def protect_campaigns() -> None:
    """Beat's look at every sending campaign: pause what would do harm."""
    safeguards.protect(now=timezone.now())


@shared_task(ignore_result=True)
def watch() -> None:
    """Beat's look at what must not be: log alarms when they begin and when they end. Then ask SES for the next look."""
    now = timezone.now()
    watching.watch(now=now, quota=quota.usage(now=now, sent_since=reporting.called_since))
    # Also while nothing is sent, or an alarm about the quota would never end; an SES that is slow to answer delays no alarm.
    quota.refresh(transports.configured(), now=now)


@shared_task(ignore_result=True)
def watch_events() -> None:
    """Beat's look at whether SES still tells what becomes of mails."""
    watching_events.watch(now=timezone.now())
