"""What SES' events mean for transactional mail."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from notifications import tracking
from notifications.ses_events import SesEvent
from notifications.signals import KnownMail, delivery_history, email_events, email_lookup


@receiver(email_lookup)
def look_up(events: list[SesEvent], **_: Any) -> dict[str, KnownMail]:
    return tracking.look_up(events)


@receiver(email_events)
def record(events: list[SesEvent], **_: Any) -> int:
    return tracking.record(events)


@receiver(delivery_history)
def delivered(emails: list[str], **_: Any) -> dict[str, dict[str, datetime]]:
    return tracking.delivered(emails)
