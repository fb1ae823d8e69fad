"""The suppression list: who must not be written to, and who took them off the list."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import connection, transaction

from notifications.models import STRENGTH, Suppression, SuppressionLift, SuppressionReason
from outreach.errors import DomainError

log = structlog.get_logger("notifications")

_UPSERT = """
INSERT INTO email_suppressions AS old (email, reason, suppressed_at, source, note)
SELECT DISTINCT address, %(reason)s, %(now)s::timestamptz, %(source)s, %(note)s FROM unnest(%(emails)s::text[]) AS address
ORDER BY address
ON CONFLICT (email) DO UPDATE
   SET reason = excluded.reason, suppressed_at = excluded.suppressed_at, source = excluded.source, note = excluded.note
 WHERE array_position(%(strength)s::text[], old.reason::text) < array_position(%(strength)s::text[], excluded.reason::text)
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
    """Take an address off the list and keep who did it and why. Raises LiftNeedsReason."""
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
    suppression.delete()
