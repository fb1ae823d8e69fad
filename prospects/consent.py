"""What bounces and complaints mean for people: the facts from which their status follows, and the audit."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection

from notifications.meaning import Effect
from notifications.signals import Loss
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
)
SELECT email, prospect_id FROM locked
"""


def record_losses(losses: Iterable[Loss], *, now: datetime) -> None:
    """Mark people as bounced, complained or unsubscribed since the event, and audit those who said no.

    Repeating it changes nothing. Somebody who is no prospect (any more) is audited by address alone.
    """
    losses = list(losses)
    people = _mark(losses, now)
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


def _mark(losses: list[Loss], now: datetime) -> dict[str, int]:
    """Write the facts; returns the ids of the prospects by address."""
    rows: dict[str, dict[str, Any]] = {}
    for loss in losses:
        row, fact = rows.setdefault(loss.email, {"email": loss.email}), _FACT[loss.effect]
        row[fact] = min(loss.occurred_at, row.get(fact, loss.occurred_at))
    with connection.cursor() as cursor:
        columns = {name: [row.get(name) for row in rows.values()] for name in ("email", *_FACT.values())}
        cursor.execute(_RECORD, columns | {"now": now})
        return dict(cursor.fetchall())
