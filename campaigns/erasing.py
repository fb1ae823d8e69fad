"""A person's rights in the ledger: the row stays and counts, the person in it does not."""

from datetime import datetime
from typing import Any

from django.db.models import Q

from campaigns.models import EmailSend, SendAttempt, SendDecision, SkipReason, send_id
from notifications import erasing
from notifications.models import DeliveryStatus
from outreach import keyed_hashes


def erase(email: str, *, prospect_ids: list[int], now: datetime) -> dict[str, int]:
    """Anonymise the person's sends, also under earlier addresses. Returns counts.

    A mail that still waits is skipped. Which address a row was about is known by its hash alone: late events find
    it, and nobody is enrolled again (`enrolling`).
    """
    sends = list(_sends(email, prospect_ids).order_by("pk").select_for_update(of=("self",), no_key=True))
    for send in sends:
        EmailSend.objects.filter(pk=send.pk).update(**_without_person(send, now))
    ids = [send.pk for send in sends]
    return {"sends": len(ids), "send_errors": _redact_errors(ids)}


def export(email: str, *, prospect_ids: list[int]) -> dict[str, Any]:
    """The person's sends with every fact, and what was decided about them."""
    sends = list(_sends(email, prospect_ids).order_by("pk").select_related("campaign"))
    ids = [send.pk for send in sends]
    facts = EmailSend.objects.filter(pk__in=ids).order_by("pk").values()
    return {
        "sends": [row | {"campaign": send.campaign.name} for row, send in zip(facts, sends, strict=True)],
        "send_attempts": list(SendAttempt.objects.filter(send__in=ids).order_by("pk").values()),
        "send_decisions": list(SendDecision.objects.filter(send__in=ids).order_by("pk").values()),
    }


def mails(email: str, *, prospect_ids: list[int]) -> erasing.Mails:
    """The message ids and tags of every mail that was sent, or may have been, to the person."""
    sends = list(_sends(email, prospect_ids).select_related("campaign"))
    attempts = SendAttempt.objects.filter(send__in=[send.pk for send in sends]).values_list("message_id", flat=True)
    tags = {send_id(send.campaign.key, send.pk, number) for send in sends for number in range(1, send.attempt + 1)}
    return {send.message_id for send in sends} | set(attempts), tags


def _sends(email: str, prospect_ids: list[int]) -> Any:
    return EmailSend.objects.filter(Q(email__in=[email, keyed_hashes.hash_of(email)]) | Q(prospect__in=prospect_ids))


def _without_person(send: EmailSend, now: datetime) -> dict[str, Any]:
    words: dict[str, Any] = {"email": keyed_hashes.hash_of(send.email), "error": erasing.without_addresses(send.error)}
    if send.status == DeliveryStatus.QUEUED:
        words |= {"skipped_at": now, "skip_reason": SkipReason.DELETED}
    return words


def _redact_errors(ids: list[int]) -> int:
    changed = 0
    for model in (SendAttempt, SendDecision):
        for row in model.objects.filter(send__in=ids).exclude(error=""):
            changed += model.objects.filter(pk=row.pk).update(error=erasing.without_addresses(row.error))
    return changed
