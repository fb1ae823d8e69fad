"""The suppression list: who must not be written to, and who took them off the list."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Max, QuerySet

from notifications.models import STRENGTH, Suppression, SuppressionLift, SuppressionReason
from outreach import keyed_hashes
from outreach.errors import DomainError

log = structlog.get_logger("notifications")

# Where an address came from that soft bounces put on the list. Of these rows alone a late delivery may say that
# they should never have been; so whatever a person or a permanent bounce says about the address replaces them.
SOFT_BOUNCES = "SES: soft bounces in a row"

_ONE_WRITER = 0x1055E5  # the key of an advisory lock

_RANKS = sorted(STRENGTH, key=STRENGTH.__getitem__)
_RANKS.insert(1, "soft")

# By how much the new reason is stronger than the one that the row has.
_MORE = """(%(rank)s - array_position(
    %(ranks)s::text[], CASE WHEN old.reason = 'bounce' AND old.source = %(soft)s THEN 'soft' ELSE old.reason::text END))"""

# Equally strong reasons keep the earliest time, so that it does not matter which came first.
_UPSERT = """
INSERT INTO email_suppressions AS old (email, reason, suppressed_at, source, note, unsubscribed_at)
SELECT address, %(reason)s, min(since), %(source)s, min(note), CASE WHEN %(is_no)s THEN min(since) END
  FROM unnest(%(emails)s::text[], %(since)s::timestamptz[], %(notes)s::text[]) AS given (address, since, note)
 GROUP BY address ORDER BY address
ON CONFLICT (email) DO UPDATE
   SET (reason, suppressed_at, source, note) = (
           SELECT (CASE WHEN more > 0 THEN excluded.reason ELSE old.reason END),
                  (CASE WHEN more > 0 THEN excluded.suppressed_at
                        WHEN more = 0 THEN least(old.suppressed_at, excluded.suppressed_at) ELSE old.suppressed_at END),
                  (CASE WHEN more > 0 THEN excluded.source ELSE old.source END),
                  (CASE WHEN more > 0 THEN excluded.note ELSE old.note END)
             FROM (SELECT {more} AS more) AS compared),
       unsubscribed_at = least(old.unsubscribed_at, excluded.unsubscribed_at)
 WHERE {more} > 0 OR {more} = 0 AND excluded.suppressed_at < old.suppressed_at
    OR excluded.unsubscribed_at < coalesce(old.unsubscribed_at, 'infinity')
RETURNING email, old.xmax = 0
""".replace("{more}", _MORE)

# Whether an address is on the list by its hash; asked only while there are hashes at all. For statements that have
# `keyed_hashes.parameters()` among theirs.
LISTED_BY_HASH = f"""(
    (SELECT EXISTS (SELECT FROM email_suppressions WHERE email LIKE 'erased-%%'))
    AND EXISTS (SELECT FROM email_suppressions hashed WHERE hashed.email = {keyed_hashes.SQL})
)"""  # noqa: S608 (a constant)

_REVISE = """
WITH revised AS (SELECT * FROM unnest(%(emails)s::text[], %(since)s::timestamptz[]) AS r (email, since)),
locked AS (SELECT s.id, r.since FROM email_suppressions s JOIN revised r USING (email) ORDER BY s.email FOR UPDATE OF s),
moved AS (
    UPDATE email_suppressions s
       SET suppressed_at = coalesce(l.since, s.unsubscribed_at),
           reason = CASE WHEN l.since IS NULL THEN 'unsubscribe' ELSE s.reason END,
           source = CASE WHEN l.since IS NULL THEN '' ELSE s.source END,
           note = CASE WHEN l.since IS NULL THEN '' ELSE s.note END
      FROM locked l
     WHERE s.id = l.id AND s.reason = 'bounce' AND s.source = %(soft)s AND coalesce(l.since, s.unsubscribed_at) IS NOT NULL
), gone AS (
    DELETE FROM email_suppressions s USING locked l
     WHERE s.id = l.id AND s.reason = 'bounce' AND s.source = %(soft)s AND l.since IS NULL AND s.unsubscribed_at IS NULL
)
SELECT s.email, CASE WHEN s.source = %(soft)s THEN r.since ELSE s.suppressed_at END
  FROM email_suppressions s JOIN revised r USING (email) WHERE s.reason = 'bounce'
"""


class LiftNeedsReason(DomainError):
    """Lifting a suppression needs a reason: say why this address may be written to again."""

    code = "LIFT_NEEDS_REASON"
    status = 400
    attr = "reason"


def one_writer_at_a_time() -> None:
    """Wait until nobody else writes about many addresses, and hold them off until this transaction ends.

    For whoever needs several statements about them: events, files, SES' own list. What is locked before it: events alone.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ONE_WRITER])


def suppress(emails: Iterable[str], *, reason: SuppressionReason, source: str, now: datetime, note: str = "") -> int:
    """Put normalised addresses on the list; a stronger reason replaces a weaker one, never the reverse.

    Returns how many rows were written. Addresses are locked in one order, so that two batches
    cannot deadlock.
    """
    return suppress_since(dict.fromkeys(emails, now), reason=reason, source=source, note=note)


def suppress_since(since: Mapping[str, datetime], *, reason: SuppressionReason, source: str, note: str = "") -> int:
    """The same, each address since a time of its own; of one reason the earliest time counts."""
    return sum(_write(since, dict.fromkeys(since, note), reason=reason, source=source))


def suppress_noted(notes: Mapping[str, str], *, reason: SuppressionReason, source: str, now: datetime) -> tuple[int, int]:
    """The same, each address with a note of its own. Returns how many were put on the list, and how many changed there."""
    return _write(dict.fromkeys(notes, now), notes, reason=reason, source=source) if notes else (0, 0)


def _write(since: Mapping[str, datetime], notes: Mapping[str, str], *, reason: SuppressionReason, source: str) -> tuple[int, int]:
    rank = "soft" if source == SOFT_BOUNCES else reason
    values: dict[str, Any] = {"reason": reason, "source": source[:150], "is_no": reason == SuppressionReason.UNSUBSCRIBE}
    values |= {"emails": list(since), "since": list(since.values()), "notes": [notes[email] for email in since]}
    values |= {"soft": SOFT_BOUNCES, "ranks": _RANKS, "rank": _RANKS.index(rank) + 1}
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, values)
        written = dict(cursor.fetchall())
    # Not before the commit: what is rolled back has suppressed nobody.
    transaction.on_commit(partial(_log_suppressed, list(written), reason=reason, source=source))
    added = sum(written.values())
    return added, len(written) - added


def revise_soft_bounces(since: Mapping[str, datetime | None]) -> dict[str, datetime]:
    """Give addresses that soft bounces put on the list another time, or (None) take them off again.

    Rows with another reason, or of a permanent bounce, stay. Returns since when each address has bounced
    after that; one that is not in it has not.
    """
    if not since:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_REVISE, {"emails": list(since), "since": list(since.values()), "soft": SOFT_BOUNCES})
        return {email: moment for email, moment in cursor.fetchall() if moment}


def lifted(emails: Iterable[str]) -> dict[tuple[str, str], datetime]:
    """When each of these addresses was last taken off the list, by (address, reason)."""
    lifts = SuppressionLift.objects.filter(email__in=set(emails)).values_list("email", "reason").order_by()
    return {(email, reason): at for email, reason, at in lifts.annotate(Max("lifted_at"))}


def lifted_since(lifts: Mapping[tuple[str, str], datetime], email: str, reason: str, *, known_at: datetime) -> bool:
    """Whether a person took the address off the list when this was known already, for this reason or a stronger one.

    What they had seen does not bring it back. A no to outreach shows again when a stronger reason is
    lifted, so only a lift of its own covers it.
    """
    stronger = [name for name in _RANKS if _RANKS.index(name) >= _RANKS.index(reason)]
    covering = [reason] if reason == SuppressionReason.UNSUBSCRIBE else stronger
    return any(lifts[email, name] >= known_at for name in covering if (email, name) in lifts)


def is_suppressed(email: str) -> bool:
    """Whether anything at all keeps this normalised address from getting outreach mail."""
    return listed(email).exists()


def listed(email: str) -> QuerySet[Suppression]:
    """What the list knows about a normalised address: by itself, and by its hash when the person was erased."""
    return Suppression.objects.filter(email__in=[email, keyed_hashes.hash_of(email)])


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


def _log_suppressed(emails: list[str], *, reason: str, source: str) -> None:
    for email in emails:
        log.info("email_suppressed", to=email, reason=str(reason), source=source)
