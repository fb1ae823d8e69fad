"""How long events are kept. What they did to mails, people and addresses stays; only a replay cannot reach back further."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

# Events that wait are never forgotten. Each delete reads its rows by an index, and holds few of them at a time.
_FORGET_SETTLED = """
DELETE FROM email_events WHERE id IN (
    SELECT id FROM email_events WHERE received_at < %s AND state <> 'pending' ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_FORGET_STRANGERS = """
DELETE FROM email_events WHERE id IN (
    SELECT id FROM email_events WHERE received_at < %s AND state = 'parked' ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def forget(*, now: datetime, limit: int = 5000) -> int:
    """Delete up to `limit` events that have been kept long enough; returns how many.

    EVENT_RETENTION_DAYS after they came; parked ones, about mails that nobody here knows, after
    EVENT_STRANGER_RETENTION_DAYS. 0 keeps them for ever.
    """
    gone = _delete(_FORGET_STRANGERS, settings.EVENT_STRANGER_RETENTION_DAYS, now, limit)
    return gone or _delete(_FORGET_SETTLED, settings.EVENT_RETENTION_DAYS, now, limit)


def kept_since(*, now: datetime) -> datetime | None:
    """Before this, events have been deleted; None when they are kept for ever."""
    return now - timedelta(days=settings.EVENT_RETENTION_DAYS) if settings.EVENT_RETENTION_DAYS else None


def _delete(sql: str, days: int, now: datetime, limit: int) -> int:
    if not days:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(sql, [now - timedelta(days=days), limit])
        return int(cursor.rowcount)
