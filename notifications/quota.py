"""What the SES account allows, asked now and then and kept in the database for everybody."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models.functions import Now

from notifications.models import SendPace
from notifications.transports.base import Transport

log = structlog.get_logger("notifications")

# GetAccount is one of the calls that SES answers once a second: a minute is often enough.
_FRESH = timedelta(seconds=60)


def refresh(transport: Transport, *, now: datetime) -> None:
    """Ask for the account's limits unless somebody did within the last minute. Never raises for SES' sake.

    What is known stays known when SES does not answer, and the question is asked again after a minute.
    """
    pace, _ = SendPace.objects.get_or_create(pk=1, defaults={"next_slot_at": now})
    stale = SendPace.objects.filter(pk=1).exclude(account_asked_at__gt=now - _FRESH)
    # Whoever moves the time asks; the others go on with what is known.
    if (pace.account_asked_at and not stale.exists()) or not stale.update(account_asked_at=now):
        return
    try:
        account = transport.account()
    except Exception as error:
        log.warning("ses_account_unknown", error=f"{type(error).__name__}: {error}")
        return
    if account is None:
        return
    SendPace.objects.filter(pk=1).update(
        account_rate=account.max_send_rate or None,
        account_quota=account.max_24_hour_send,
        account_sent=account.sent_last_24_hours,
        account_sending=account.sending_enabled,
        account_in_sandbox=account.in_sandbox,
        account_seen_at=Now(),
    )


@dataclass(frozen=True)
class Usage:
    """Mails of the rolling 24 hours: how many were `used` of the account's `limit`."""

    used: float
    limit: float


def usage(*, sent_since: Callable[[datetime], int]) -> Usage | None:
    """How much of the account's rolling 24 hours is used; None without a known limit, and in log mode.

    `sent_since(moment)` counts our own mails after SES counted last.
    """
    pace = SendPace.objects.filter(pk=1).first()
    if settings.EMAIL_MODE != "ses" or pace is None or pace.account_quota is None or pace.account_seen_at is None:
        return None
    return Usage((pace.account_sent or 0) + sent_since(pace.account_seen_at), pace.account_quota)


def left_for_outreach(*, sent_since: Callable[[datetime], int]) -> int | None:
    """How many campaign mails the account's rolling 24 hours still allow; None without a known limit.

    A share of the quota (TRANSACTIONAL_SHARE) is kept for transactional mail.
    """
    known = usage(sent_since=sent_since)
    return None if known is None else max(0, int(known.limit * (1 - settings.TRANSACTIONAL_SHARE) - known.used))
