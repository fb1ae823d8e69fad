"""The suppression list: who must not be written to, and who took them off the list."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import connection, transaction

from notifications.models import STRENGTH, Suppression, SuppressionLift, SuppressionReason
from outreach.errors import DomainError

log = structlog.get_logger("notifications")

_UPSERT = """
INSERT INTO email_suppressions AS old (email, reason, suppressed_at, source, note, unsubscribed_at)
SELECT DISTINCT address, %(reason)s, %(now)s::timestamptz, %(source)s, %(note)s, %(unsubscribed_at)s::timestamptz
  FROM unnest(%(emails)s::text[]) AS address
 ORDER BY address
ON CONFLICT (email) DO UPDATE
   SET (reason, suppressed_at, source, note) = (
           SELECT (CASE WHEN stronger THEN excluded.reason ELSE old.reason END),
                  (CASE WHEN stronger THEN excluded.suppressed_at ELSE old.suppressed_at END),
                  (CASE WHEN stronger THEN excluded.source ELSE old.source END),
                  (CASE WHEN stronger THEN excluded.note ELSE old.note END)
             FROM (SELECT array_position(%(strength)s::text[], old.reason::text)
                        < array_position(%(strength)s::text[], excluded.reason::text) AS stronger) AS compared),
       unsubscribed_at = coalesce(old.unsubscribed_at, excluded.unsubscribed_at)
 WHERE array_position(%(strength)s::text[], old.reason::text) < array_position(%(strength)s::text[], excluded.reason::text)
    OR (old.unsubscribed_at IS NULL AND excluded.unsubscribed_at IS NOT NULL)
RETURNING email
"""


class LiftNeedsReason(DomainError):
    """Lifting a suppression needs a reason: say why this address may be written to again."""

    code = "LIFT_NEEDS_REASON"
    status = 400
    attr = "reason"


def suppress(emails: Iterable[str], *, reason: SuppressionReason, source: str, now: datetime, note: str = "") -> int:
    """Put normalised addresses on the list; a stronger reason replaces a weaker one, never the reverse.

    Returns how many rows were written. Addresses are locked in one order, so that two batches
    cannot deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            {
                "emails": list(emails),
                "reason": reason,
                "now": now,
                "unsubscribed_at": now if reason == SuppressionReason.UNSUBSCRIBE else None,
                "source": source[:150],
                "note": note,
                "strength": sorted(STRENGTH, key=STRENGTH.__getitem__),
            },
        )
        written = [email for (email,) in cursor.fetchall()]
    for email in written:
        log.info("email_suppressed", to=email, reason=str(reason), source=source)
    return len(written)


def is_suppressed(email: str) -> bool:
    """Whether anything at all keeps this normalised address from getting outreach mail."""
    return Suppression.objects.filter(email=email).exists()


@transaction.atomic
def lift(suppression: Suppression, *, by: str, why: str, now: datetime) -> None:
    """Take an address off the list and keep who did it and why. Raises LiftNeedsReason.

    A no to outreach that a stronger reason had covered shows again: it takes a lift of its own.
    """
    if not why.strip():
        raise LiftNeedsReason
    SuppressionLift.objects.create(
        email=suppression.email,
        reason=suppression.reason,
        suppressed_at=suppression.suppressed_at,
        lifted_at=now,
        lifted_by=by,
        why=why.strip(),
    )
    if suppression.unsubscribed_at and suppression.reason != SuppressionReason.UNSUBSCRIBE:
        suppression.reason, suppression.suppressed_at = SuppressionReason.UNSUBSCRIBE, suppression.unsubscribed_at
        suppression.save(update_fields=["reason", "suppressed_at"])
    else:
        suppression.delete()
