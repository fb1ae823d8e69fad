"""Parked events are looked at again, so that none waits for ever for a mail that is known by now.

Whoever stores a message id lets its parked events go at once (`recording.unpark`); but a process may die
between the two. So each parked event is looked at again, after twice the time it has waited: some twenty
looks until strangers' events are forgotten, however many there are.
"""

from datetime import datetime

from django.db import connection

from notifications import recording
from notifications.models import EmailEvent
from notifications.ses_events import NotAnEvent, SesEvent

_PARKED = EmailEvent.State.PARKED

_WAIT_ON = """
UPDATE email_events SET look_again_at = %(now)s::timestamptz + greatest(%(now)s - received_at, interval '10 seconds')
 WHERE id = ANY(%(ids)s) AND state = 'parked'
"""


def look_again(*, now: datetime, limit: int = 500) -> tuple[int, int]:
    """Let up to `limit` parked events whose turn it is apply, if their mail is known.

    Returns how many were looked at, and how many of them wait to be applied now.
    """
    due = list(EmailEvent.objects.filter(state=_PARKED, look_again_at__lte=now).order_by("look_again_at")[:limit])
    events = {row.pk: event for row in due if (event := _read(row))}
    known = recording.look_up(list(events.values()))
    found = [pk for pk, event in events.items() if event.fingerprint in known]
    freed = EmailEvent.objects.filter(pk__in=found, state=_PARKED).update(
        state=EmailEvent.State.PENDING, outcome="", look_again_at=None
    )
    with connection.cursor() as cursor:
        cursor.execute(_WAIT_ON, {"now": now, "ids": [row.pk for row in due if row.pk not in set(found)]})
    return len(due), freed


def _read(row: EmailEvent) -> SesEvent | None:
    """The event, unless a release that has been rolled back stored what this one cannot read."""
    try:
        return recording.read(row)
    except NotAnEvent:
        return None
