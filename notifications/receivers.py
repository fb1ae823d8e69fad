"""What SES' events mean for transactional mail."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from notifications import erasing_outbox, tracking
from notifications.ses_events import SesEvent
from notifications.signals import (
    KnownMail,
    delivery_history,
    email_events,
    email_lookup,
    person_erased,
    person_exported,
    person_mails,
)


@receiver(email_lookup)
def look_up(events: list[SesEvent], **_: Any) -> dict[str, KnownMail]:
    return tracking.look_up(events)


@receiver(email_events)
def record(events: list[SesEvent], **_: Any) -> int:
    return tracking.record(events)


@receiver(delivery_history)
def delivered(emails: list[str], **_: Any) -> dict[str, dict[str, datetime]]:
    return tracking.delivered(emails)


@receiver(person_mails)
def mails(email: str, **_: Any) -> tuple[set[str], set[str]]:
    return erasing_outbox.mails(email)


@receiver(person_erased)
def erase(email: str, now: datetime, **_: Any) -> dict[str, int]:
    return erasing_outbox.erase(email, now=now)


@receiver(person_exported)
def export(email: str, **_: Any) -> dict[str, Any]:
    return erasing_outbox.export(email)
