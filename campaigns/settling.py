"""What a person decides about unknown sends: send again, or give up. A machine decides neither.

A row is unknown when SES did not answer: the mail may have left. Sending it again may mail a person twice, so it
takes somebody who says why. The old attempt is kept with its own tag and message id, so that its late events still
find the row: one that comes before the second call settles the row as sent, and the second call is not made.
"""

from collections.abc import Collection
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import F, QuerySet

from campaigns import lifecycle
from campaigns.models import Campaign, EmailSend, SendAttempt, SendDecision
from notifications.models import DeliveryStatus
from outreach.errors import DomainError

log = structlog.get_logger("campaigns")

Verb = SendDecision.Verb

_BATCH = 2_000


class SendNotUnknown(DomainError):
    """Only a send whose outcome is unknown can be sent again or given up."""

    code = "SEND_NOT_UNKNOWN"


class DecisionNeedsReason(DomainError):
    """Sending again or giving up needs a reason: it is kept with your name."""

    code = "DECISION_NEEDS_REASON"
    status = 400
    attr = "reason"


@transaction.atomic
def retry(sends: Collection[int], *, by: str, why: str, now: datetime) -> int:
    """Let these unknown sends wait for sending again, all or none; returns how many.

    A campaign that was sent becomes sending again, without planning anybody new; a paused one keeps them waiting
    until it is resumed. Who said no meanwhile is skipped by the claim. Raises SendNotUnknown, DecisionNeedsReason,
    WrongStatus (a draft), CampaignNotSendable.
    """
    campaigns, rows = _take(sends, why)
    _audit(rows, Verb.RETRY, by=by, why=why, now=now)
    old = [
        SendAttempt(
            send=row,
            attempt=row.attempt,
            message_id=row.message_id,
            call_started_at=row.call_started_at,
            unknown_at=row.unknown_at,
            error=row.error,
        )
        for row in rows
    ]
    SendAttempt.objects.bulk_create(old, batch_size=_BATCH)
    _rows(rows).update(attempt=F("attempt") + 1, message_id="", call_started_at=None, unknown_at=None, error="")
    for campaign in campaigns:
        lifecycle.take_up_again(campaign, by=by, now=now)
    log.info("email_sends_retried", by=by, sends=len(rows), campaign_ids=[campaign.pk for campaign in campaigns])
    return len(rows)


@transaction.atomic
def give_up(sends: Collection[int], *, by: str, why: str, now: datetime) -> int:
    """Count these unknown sends as failed, all or none; returns how many.

    An event that tells later that the mail left still settles them as sent. Raises SendNotUnknown,
    DecisionNeedsReason.
    """
    campaigns, rows = _take(sends, why)
    _audit(rows, Verb.GIVE_UP, by=by, why=why, now=now)
    _rows(rows).update(failed_at=now, error=f"Given up by {by}: {why.strip()}")
    log.info("email_sends_given_up", by=by, sends=len(rows), campaign_ids=[campaign.pk for campaign in campaigns])
    return len(rows)


def unknown_of(campaign: Campaign) -> list[int]:
    """The ids of a campaign's sends whose outcome is unknown, in order."""
    unknown = EmailSend.objects.filter(campaign=campaign, status=DeliveryStatus.UNKNOWN)
    return list(unknown.order_by("pk").values_list("pk", flat=True))


def _take(sends: Collection[int], why: str) -> tuple[list[Campaign], list[EmailSend]]:
    """Lock the campaigns, then the sends, in the order in which everybody locks them. Raises when one is not unknown."""
    if not why.strip():
        raise DecisionNeedsReason
    wanted = set(sends)
    of_them = EmailSend.objects.filter(pk__in=wanted).values("campaign")
    campaigns = list(Campaign.objects.filter(pk__in=of_them).order_by("pk").select_for_update(no_key=True))
    unknown = EmailSend.objects.filter(pk__in=wanted, status=DeliveryStatus.UNKNOWN).order_by("pk")
    rows = list(unknown.select_for_update(no_key=True).defer("prospect", "email"))
    if others := sorted(wanted - {row.pk for row in rows}):
        raise SendNotUnknown(_names(others))
    return campaigns, rows


def _names(others: list[int]) -> str:
    named = ", ".join(str(pk) for pk in others[:5]) + (" …" if len(others) > 5 else "")
    which = f"Send {named} is" if len(others) == 1 else f"{len(others)} of the sends ({named}) are"
    return f"{which} not unknown (any more): nothing was done. Look again."


def _audit(rows: list[EmailSend], verb: SendDecision.Verb, *, by: str, why: str, now: datetime) -> None:
    decisions = [
        SendDecision(
            send=row,
            verb=verb,
            attempt=row.attempt,
            decided_at=now,
            decided_by=by,
            why=why.strip(),
            call_started_at=row.call_started_at,
            unknown_at=row.unknown_at or now,
            error=row.error,
        )
        for row in rows
    ]
    SendDecision.objects.bulk_create(decisions, batch_size=_BATCH)


def _rows(rows: list[EmailSend]) -> "QuerySet[EmailSend]":
    return EmailSend.objects.filter(pk__in=[row.pk for row in rows])
