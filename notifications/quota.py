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
# A minute more than what has passed, for clocks that differ and chunks under way.
_SAFE = timedelta(seconds=60)
_WINDOW = timedelta(hours=24)


def refresh(transport: Transport, *, now: datetime) -> None:
    """Ask for the account's limits unless somebody did within the last minute. Never raises for SES' sake.

    What is known stays known when SES does not answer, and the question is asked again after a minute.
    """
    pace, _ = SendPace.objects.get_or_create(pk=1, defaults={"next_slot_at": now})
    # Asked in the future: by a clock that has been set back since.
    stale = SendPace.objects.filter(pk=1).exclude(account_asked_at__range=(now - _FRESH, now + _FRESH))
    # Whoever moves the time asks; the others go on with what is known.
    if (pace.account_asked_at and not stale.exists()) or not stale.update(account_asked_at=now):
        return
    # By the clock that dates calls, and before SES counts: a call begun meanwhile counts twice rather than never.
    seen_at = SendPace.objects.filter(pk=1).values_list(Now(), flat=True).get()
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
        account_seen_at=seen_at,
    )


@dataclass(frozen=True)
class Usage:
    """Mails of the rolling 24 hours: how many were `used` of the account's `limit`."""

    used: float
    limit: float


def usage(*, now: datetime, sent_since: Callable[[datetime], int]) -> Usage | None:
    """How much of the account's rolling 24 hours is used; None without a known limit, and in log mode.

    `sent_since(moment)` counts our own mails after SES counted last.
    """
    pace = _known(now)
    return Usage(pace.sent + sent_since(pace.seen_at), pace.quota) if pace else None


def for_outreach(limit: float) -> float:
    """How much of the account's limit of 24 hours campaigns may use; TRANSACTIONAL_SHARE of it is kept for transactional mail."""
    share: float = settings.TRANSACTIONAL_SHARE
    return limit * (1 - share)


def left_for_outreach(*, rate: float, now: datetime, sent_since: Callable[[datetime], int]) -> int | None:
    """How many campaign mails the account's rolling 24 hours still allow; None without a known limit.

    A share of the quota (TRANSACTIONAL_SHARE) is kept for transactional mail. Our own mails since SES counted last are
    counted only when so many may have left at `rate` (mails per second) that they matter.
    """
    pace = _known(now)
    if pace is None:
        return None
    left = for_outreach(pace.quota) - pace.sent
    # A clock that has been set back since makes no mails unsent.
    age = max(timedelta(), now - pace.seen_at)
    possible = rate * (age + _SAFE).total_seconds()
    return max(0, int(left - (sent_since(pace.seen_at) if left < 2 * possible else possible)))


@dataclass(frozen=True)
class _Known:
    quota: float
    sent: float
    seen_at: datetime


def _known(now: datetime) -> _Known | None:
    """What SES said last. What it counted a day ago has left the window: from then on our own mails are all that counts."""
    pace = SendPace.objects.filter(pk=1).first()
    if settings.EMAIL_MODE != "ses" or pace is None or pace.account_quota is None or pace.account_seen_at is None:
        return None
    if pace.account_seen_at <= now - _WINDOW:
        return _Known(pace.account_quota, 0, now - _WINDOW)
    return _Known(pace.account_quota, pace.account_sent or 0, pace.account_seen_at)
