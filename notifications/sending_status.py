"""What SES says about sending as a whole: switched off for an account, a configuration set or a tenant, or on again.

https://docs.aws.amazon.com/ses/latest/dg/monitoring-eventbridge.html
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings

from notifications import eventbridge, signals
from notifications.eventbridge import SendingStatus
from notifications.models import EmailEvent
from notifications.ses_events import SesEvent

log = structlog.get_logger("notifications")


def heed(event: SesEvent, *, body: bytes, now: datetime) -> int:
    """Let everything that sends be paused when SES has switched our sending off; returns how many things were.

    Nothing resumes by itself when it is on again: SES had a reason, and a person should know it. Called
    for duplicates too, since the first time may have ended between storing and pausing.
    """
    status = eventbridge.sending_status(event, body, received_at=now)
    if not status:
        return 0
    ours = concerns_us(status)
    words = {"account": status.account, "region": status.region, "resources": status.resources, "cause": status.cause}
    if status.enabled or not ours:
        log.warning("ses_sending_enabled" if status.enabled else "ses_sending_disabled", ours=ours, **words)
        return 0
    if _is_over(status):
        log.warning("ses_sending_disabled", ours=True, over=True, **words)
        return 0
    answers: Iterable[tuple[Any, Any]] = signals.sending_disabled.send(sender=EmailEvent, reason=_reason(status), now=now)
    paused: int = sum(answer for _, answer in answers)
    log.warning("ses_sending_disabled", ours=True, paused=paused, **words)
    return paused


def concerns_us(status: SendingStatus) -> bool:
    """Whether our mail is meant. What is not known of either side is taken to fit: a pause too many costs
    a click, a pause too few the reputation.

    SES keeps the status by region; of its resources, we send through one configuration set and no tenant.
    """
    same_account = not (settings.SES_ACCOUNT_ID and status.account) or status.account == settings.SES_ACCOUNT_ID
    same_region = not (settings.SES_REGION and status.region) or status.region == settings.SES_REGION
    return same_account and same_region and _names_us(status.resources)


def _names_us(resources: tuple[str, ...]) -> bool:
    """Whether a resource is one that our mail goes through; a whole account has none, or one of another kind."""
    names = [arn.rpartition(":")[2] for arn in resources]
    ours = f"configuration-set/{settings.SES_CONFIGURATION_SET}"
    others = ("tenant/", "configuration-set/") if settings.SES_CONFIGURATION_SET else ("tenant/",)
    return not names or any(name == ours or not name.startswith(others) for name in names)


def _is_over(status: SendingStatus) -> bool:
    """Whether SES has switched sending on again since: this one comes late, or once more."""
    since = EmailEvent.objects.filter(event_type=eventbridge.SENDING_ENABLED, received_at__gte=status.occurred_at)
    for row in since.filter(route=EmailEvent.Route.EVENTBRIDGE).only("body", "received_at"):
        later = eventbridge.read_sending_status(bytes(row.body), received_at=row.received_at)
        if later.occurred_at > status.occurred_at and later.resources == status.resources and concerns_us(later):
            return True
    return False


def _reason(status: SendingStatus) -> str:
    of_what = ", ".join(arn.rpartition(":")[2] for arn in status.resources) or f"account {status.account}".strip()
    cause = f": {status.cause}" if status.cause else ""
    return f"Sending is paused: SES has switched it off for {of_what} (Sending Status Disabled{cause})"[:500]
