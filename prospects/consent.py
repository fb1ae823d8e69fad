"""What bounces and complaints mean for people: the facts from which their status follows, and the audit."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import connection

from notifications.meaning import Effect
from notifications.signals import Loss, Revision
from prospects import user_agents
from prospects.models import Unsubscribe

_FACT = {Effect.BOUNCE: "bounced_at", Effect.COMPLAINT: "complained_at", Effect.UNSUBSCRIBE: "unsubscribed_at"}
_METHOD = {Effect.COMPLAINT: Unsubscribe.Method.COMPLAINT, Effect.UNSUBSCRIBE: Unsubscribe.Method.SES}

# Locked in the order of their ids, so that two batches cannot deadlock. The address and not the send's
# person decides: who has another address by now has not bounced.
_RECORD = """
WITH lost AS (
    SELECT * FROM unnest(%(email)s::text[], %(bounced_at)s::timestamptz[], %(complained_at)s::timestamptz[],
                         %(unsubscribed_at)s::timestamptz[]) AS l (email, bounced_at, complained_at, unsubscribed_at)
), locked AS (
    SELECT p.id AS prospect_id, lost.* FROM prospects p JOIN lost USING (email) ORDER BY p.id FOR NO KEY UPDATE OF p
), changed AS (
    UPDATE prospects p
       SET bounced_at = least(p.bounced_at, l.bounced_at), complained_at = least(p.complained_at, l.complained_at),
           unsubscribed_at = least(p.unsubscribed_at, l.unsubscribed_at), updated_at = %(now)s
      FROM locked l
     WHERE p.id = l.prospect_id
       AND (l.bounced_at < coalesce(p.bounced_at, 'infinity') OR l.complained_at < coalesce(p.complained_at, 'infinity')
            OR l.unsubscribed_at < coalesce(p.unsubscribed_at, 'infinity'))
    RETURNING p.id
)
SELECT email, prospect_id, (SELECT count(*) FROM changed) FROM locked
"""

# A person whom somebody has taken up again, or whom another bounce cost us earlier, is none of the revision's business.
_REVISE = """
WITH revised AS (
    SELECT * FROM unnest(%(email)s::text[], %(was)s::timestamptz[], %(since)s::timestamptz[]) AS r (email, was, since)
), locked AS (
    SELECT p.id, revised.* FROM prospects p JOIN revised USING (email) ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE prospects p SET bounced_at = l.since, updated_at = %(now)s
  FROM locked l WHERE p.id = l.id AND p.bounced_at = l.was
"""

# The list decides, as it does for a new person (`editing`, `staging`); what is known about the person already stays.
_SHOW = """
WITH listed AS (
    SELECT p.id, x.unsubscribed_at, CASE WHEN x.reason = 'bounce' THEN x.suppressed_at END AS bounced_at,
           CASE WHEN x.reason = 'complaint' THEN x.suppressed_at END AS complained_at
      FROM prospects p JOIN email_suppressions x USING (email)
     WHERE p.email = ANY(%(emails)s::text[]) ORDER BY p.id FOR NO KEY UPDATE OF p
)
UPDATE prospects p
   SET unsubscribed_at = coalesce(p.unsubscribed_at, l.unsubscribed_at), bounced_at = coalesce(p.bounced_at, l.bounced_at),
       complained_at = coalesce(p.complained_at, l.complained_at), updated_at = %(now)s
  FROM listed l
 WHERE p.id = l.id
   AND (p.unsubscribed_at IS NULL AND l.unsubscribed_at IS NOT NULL OR p.bounced_at IS NULL AND l.bounced_at IS NOT NULL
        OR p.complained_at IS NULL AND l.complained_at IS NOT NULL)
"""


def record_losses(losses: Iterable[Loss], *, now: datetime) -> int:
    """Mark people as bounced, complained or unsubscribed since the event, and audit those who said no.

    Repeating it changes nothing. Somebody who is no prospect (any more) is audited by address alone. Of a loss
    that a member of staff has lifted since, the audit stays and the mark does not come back. Returns how many changed.
    """
    losses = list(losses)
    people, changed = _mark(losses, now)
    audit = [
        Unsubscribe(
            prospect_id=people.get(loss.email),
            email=loss.email,
            method=_METHOD[loss.effect],
            campaign_key=loss.campaign_key,
            user_agent=user_agents.classify(loss.user_agent) if loss.user_agent else "",
            event_fingerprint=loss.fingerprint,
            created_at=loss.occurred_at,
        )
        for loss in losses
        if loss.effect in _METHOD
    ]
    Unsubscribe.objects.bulk_create(audit, ignore_conflicts=True)
    return changed


def revise(revisions: Iterable[Revision], *, now: datetime) -> int:
    """Correct since when people have bounced, or take it back, where soft bounces had said so too early."""
    rows = [asdict(revision) for revision in revisions]
    with connection.cursor() as cursor:
        cursor.execute(_REVISE, {name: [row[name] for row in rows] for name in ("email", "was", "since")} | {"now": now})
        return int(cursor.rowcount)


def show_listed(emails: list[str], *, now: datetime) -> int:
    """Mark people as the suppression list has their addresses; `manual` is no status. Returns how many changed."""
    with connection.cursor() as cursor:
        cursor.execute(_SHOW, {"emails": emails, "now": now})
        return int(cursor.rowcount)


def _mark(losses: list[Loss], now: datetime) -> tuple[dict[str, int], int]:
    """Write the facts; returns the ids of the prospects by address, and how many rows changed."""
    rows: dict[str, dict[str, Any]] = {}
    for loss in losses:
        row, fact = rows.setdefault(loss.email, {"email": loss.email}), _FACT[loss.effect]
        if loss.stands:
            row[fact] = min(loss.occurred_at, row.get(fact, loss.occurred_at))
    with connection.cursor() as cursor:
        columns = {name: [row.get(name) for row in rows.values()] for name in ("email", *_FACT.values())}
        cursor.execute(_RECORD, columns | {"now": now})
        found = cursor.fetchall()
    return {email: prospect_id for email, prospect_id, _ in found}, found[0][2] if found else 0
