"""What other people's facts mean for sends."""

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from campaigns import erasing, lifecycle, tracking
from notifications import suppressing
from notifications.models import Suppression, SuppressionReason
from notifications.ses_events import SesEvent
from notifications.signals import (
    KnownMail,
    delivery_history,
    email_events,
    email_lookup,
    person_erased,
    person_exported,
    person_mails,
    sending_disabled,
)
from prospects.signals import unsubscribe_undone, unsubscribed

_EARLIER_ADDRESS = "an earlier address of somebody who said no"


@receiver(email_lookup)
def look_up(events: list[SesEvent], **_: Any) -> dict[str, KnownMail]:
    return tracking.look_up(events)


@receiver(email_events)
def record(events: list[SesEvent], **_: Any) -> int:
    return tracking.record(events)


@receiver(delivery_history)
def delivered(emails: list[str], **_: Any) -> dict[str, dict[str, datetime]]:
    return tracking.delivered(emails)


@receiver(sending_disabled)
def pause(reason: str, **_: Any) -> int:
    return lifecycle.pause_every_campaign(by="SES", reason=reason)


@receiver(unsubscribed)
def record_unsubscribes(prospect_ids: list[int], campaign_key: str, now: datetime, **_: Any) -> None:
    tracking.record_unsubscribes(prospect_ids, campaign_key=campaign_key, now=now)
    suppressing.suppress(
        tracking.addresses_mailed(prospect_ids),
        reason=SuppressionReason.UNSUBSCRIBE,
        source="unsubscribe",
        now=now,
        note=_EARLIER_ADDRESS,
    )


@receiver(unsubscribe_undone)
def forget_unsubscribes(prospect_ids: list[int], said_at: datetime, by: str, why: str, now: datetime, **_: Any) -> None:
    """Take back exactly what the no of that moment wrote."""
    tracking.forget_unsubscribes(prospect_ids, said_at=said_at)
    written = {"reason": SuppressionReason.UNSUBSCRIBE, "suppressed_at": said_at, "note": _EARLIER_ADDRESS}
    for earlier in Suppression.objects.filter(email__in=tracking.addresses_mailed(prospect_ids), **written):
        suppressing.lift(earlier, by=by, why=why, now=now)


@receiver(person_mails)
def mails(email: str, prospect_ids: list[int], **_: Any) -> tuple[set[str], set[str]]:
    return erasing.mails(email, prospect_ids=prospect_ids)


@receiver(person_erased)
def erase(email: str, prospect_ids: list[int], now: datetime, **_: Any) -> dict[str, int]:
    return erasing.erase(email, prospect_ids=prospect_ids, now=now)


@receiver(person_exported)
def export(email: str, prospect_ids: list[int], **_: Any) -> dict[str, Any]:
    return erasing.export(email, prospect_ids=prospect_ids)
