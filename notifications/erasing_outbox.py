"""A person's rights in the outbox: the row stays and counts, the person in it and what was said do not."""

from datetime import datetime
from typing import Any

from notifications import erasing
from notifications.models import DeliveryStatus, SkipReason, TransactionalContent, TransactionalEmail
from outreach import keyed_hashes

_ERASED = "[erased]"


def erase(email: str, *, now: datetime) -> dict[str, int]:
    """Anonymise the person's transactional mails and delete what they said. One that waits is skipped. Returns counts."""
    rows = list(_mails(email).order_by("pk").select_for_update(no_key=True))
    contents, _ = TransactionalContent.objects.filter(email__in=rows).delete()
    for row in rows:
        words: dict[str, Any] = {"email": keyed_hashes.hash_of(row.email), "error": erasing.without_addresses(row.error)}
        if row.status == DeliveryStatus.QUEUED:
            words |= {"skipped_at": now, "skip_reason": SkipReason.ERASED}
        TransactionalEmail.objects.filter(pk=row.pk).update(subject=_ERASED, **words)
    return {"transactional_emails": len(rows), "transactional_contents": contents}


def export(email: str) -> dict[str, Any]:
    """The person's transactional mails with every fact, and what is still held of their words."""
    rows = _mails(email).order_by("pk")
    contents = TransactionalContent.objects.filter(email__in=rows).order_by("pk")
    return {"transactional_emails": list(rows.values()), "transactional_contents": list(contents.values())}


def mails(email: str) -> erasing.Mails:
    """The message ids and tags of every transactional mail that was sent, or may have been, to the person."""
    rows = list(_mails(email))
    return {row.message_id for row in rows}, {row.send_id for row in rows}


def _mails(email: str) -> Any:
    return TransactionalEmail.objects.filter(email__in=[email, keyed_hashes.hash_of(email)])
