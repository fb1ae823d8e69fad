"""Whether SES still tells us what becomes of mails: its events are best effort, and silence is no news.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-delivery-level.html
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db.models import Max, QuerySet

from campaigns.models import EmailSend
from notifications.models import EmailEvent

log = structlog.get_logger("campaigns")

NAMES = ("no_events", "no_final_event")
SILENCE = timedelta(minutes=15)
_DAY = timedelta(hours=24)
_ONSET_REMEMBERED = 7 * 24 * 3600  # seconds


def without_final_event(*, now: datetime) -> QuerySet[EmailSend]:
    """Sends that SES accepted EVENT_GAP_HOURS ago or earlier, and has said nothing final about since.

    Final is whatever ends a mail: delivered, opened, clicked, bounced (also for now), complained, rejected. The index
    `sends_without_end` holds just these rows. Mails of the log mode are not among them: nobody tells of those.
    """
    return EmailSend.objects.without_final_event().filter(sent_at__lte=now - timedelta(hours=settings.EVENT_GAP_HOURS))


def count_without_final_event(*, now: datetime, most: int = 100_000) -> int:
    """How many there are, counted up to `most`."""
    return without_final_event(now=now).order_by()[:most].count()


def silence(*, now: datetime) -> timedelta | None:
    """For how long mails have left with no event at all since; None when none has left, or SES still speaks.

    Looks at the mails of the last 24 hours only, by an index.
    """
    if settings.EMAIL_MODE != "ses":
        return None
    heard = _last_heard()
    since = max(now - _DAY, heard) if heard else now - _DAY
    answered = EmailSend.objects.filter(call_started_at__gt=since, call_started_at__lte=now, sent_at__isnull=False)
    first = answered.exclude(message_id__startswith="log-").order_by("call_started_at").first()
    return now - first.call_started_at if first and first.call_started_at else None


@dataclass(frozen=True)
class Ringing:
    """One alarm about events that goes on."""

    name: str


def ringing(*, now: datetime) -> list[Ringing]:
    """What `/metrics` shows: SES has been silent for too long, or has not told how some mails ended."""
    quiet_for = silence(now=now)
    found = [Ringing("no_events")] if quiet_for is not None and quiet_for >= SILENCE else []
    return [*found, Ringing("no_final_event")] if count_without_final_event(now=now, most=1) else found


def watch(*, now: datetime) -> None:
    """Say once that SES has fallen silent: the log line `alarm`, `no_events`; the next silence is another one."""
    quiet_for = silence(now=now)
    if quiet_for is None or quiet_for < SILENCE:
        return
    heard = _last_heard()
    # One key for each silence, added by whichever worker comes first.
    if cache.add(f"alarm-no-events-{heard.isoformat() if heard else 'never'}", 1, timeout=_ONSET_REMEMBERED):
        log.error(
            "alarm",
            alarm="no_events",
            silent_seconds=round(quiet_for.total_seconds()),
            last_event_at=heard.isoformat() if heard else None,
            remedy="Mail leaves, and SES tells nothing: check the event destination, its rule or topic, and the webhook.",
        )


def _last_heard() -> datetime | None:
    latest = EmailEvent.objects.aggregate(latest=Max("received_at"))["latest"]
    return latest if isinstance(latest, datetime) else None
