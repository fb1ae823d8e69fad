"""The inbox of events: stored before they are answered, applied later, in batches, once each.

One batch at a time is applied; it locks addresses, then people, then sends, as unsubscribing does, so that
neither can deadlock with the other. Every effect is a function of what has been told (the earliest time of
each fact, the strongest reason, the runs of soft bounces), so that order and repetition cannot matter.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet

from notifications import eventbridge, losing, meaning, measuring, signals, sns, suppressing
from notifications.models import EmailEvent
from notifications.ses_events import SesEvent
from notifications.signals import KnownMail
from notifications.soft_bouncing import Told

log = structlog.get_logger("notifications")

State = EmailEvent.State

_STORE = """
INSERT INTO email_events (fingerprint, route, event_type, message_id, send_id, occurred_at, received_at, body, state, outcome)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, '')
ON CONFLICT (fingerprint) DO NOTHING
"""

# The same news came before without a tag, as feedback notifications of an identity do: the copy that names our
# send takes its place. No ON CONFLICT DO UPDATE: that would make every duplicate wait for the batch being applied.
# A row that is being inserted meanwhile has committed when the statement above returns, so that this one sees it.
_ENRICH = """
UPDATE email_events
   SET route = %s, send_id = %s, body = %s, look_again_at = NULL,
       state = CASE WHEN state = 'applied' THEN 'applied' ELSE 'pending' END,
       outcome = CASE WHEN state = 'applied' THEN outcome ELSE '' END
 WHERE fingerprint = %s AND send_id = ''
"""

# A replay changes only what turns out otherwise than before, and leaves alone when it was first applied.
_MARK = """
UPDATE email_events e
   SET state = v.state, outcome = v.outcome,
       applied_at = CASE WHEN v.state = 'applied' THEN coalesce(e.applied_at, %(now)s::timestamptz) END,
       look_again_at = CASE WHEN v.state = 'parked' THEN %(now)s::timestamptz + %(patience)s END
  FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(outcomes)s::text[]) AS v (id, state, outcome)
 WHERE e.id = v.id AND (e.state, e.outcome) <> (v.state, v.outcome)
"""

# Asked for every mail that leaves; the names travel as one text, which costs a tenth of a list of them.
_UNPARK = """
UPDATE email_events SET state = 'pending', outcome = ''
 WHERE state = 'parked' AND message_id <> '' AND message_id = ANY(ARRAY(SELECT json_array_elements_text(%s::json)))
"""

_READERS = {EmailEvent.Route.EVENTBRIDGE: eventbridge.read, EmailEvent.Route.SNS: sns.read}
_FIRST_LOOK = timedelta(seconds=10)
_REHEARSAL = "about a test mail"
_PARKED = "no mail with this message id is known (yet)"

Events = QuerySet[EmailEvent]


class Stored(StrEnum):
    """What became of a posted event."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"


@dataclass(frozen=True)
class _Mark:
    """What becomes of one event."""

    event: SesEvent
    state: str
    outcome: str


@dataclass
class Report:
    """What applying came to: events by state and effect, and how many rows changed because of them."""

    events: Counter[str] = field(default_factory=Counter)
    sends: int = 0
    people: int = 0
    addresses: int = 0

    def add(self, other: "Report") -> None:
        self.events.update(other.events)
        self.sends += other.sends
        self.people += other.people
        self.addresses += other.addresses


@measuring.counts_events
def store(event: SesEvent, *, route: EmailEvent.Route, body: bytes, received_at: datetime) -> Stored:
    """Keep a verified event as it came, once; it has committed when this returns.

    Of two copies of the same news the one with our tag is kept, whichever came first.
    """
    state = State.PENDING if event.is_of_interest else State.IGNORED
    names = (event.fingerprint, route, event.event_type, event.message_id, event.send_id)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [*names, event.occurred_at, received_at, body, state])
        if not cursor.rowcount:
            if event.send_id:
                cursor.execute(_ENRICH, [route, event.send_id, body, event.fingerprint])
            # After an insert without effect the cursor's count is 0 still.
            return Stored.STORED if cursor.rowcount else Stored.DUPLICATE
    if event.is_of_interest:
        return Stored.STORED
    _log_of_no_interest(event)
    return Stored.IGNORED


def apply_events(*, now: datetime, limit: int = 500) -> int:
    """Apply up to `limit` waiting events, the oldest first, and return how many were settled.

    One transaction for all; should an event break it, each is applied alone and the broken one set
    aside. While the database is in trouble all of them keep waiting: raises its error.
    """
    waiting = EmailEvent.objects.filter(state=State.PENDING).order_by("id")[:limit]
    return apply(waiting, now=now).events.total()


def apply(stored: Events, *, now: datetime, quietly: bool = False) -> Report:
    """Apply these events, whatever became of them before; those that somebody else applies now are left to them.

    Raises the error of a database in trouble.
    """
    try:
        marks, report = _apply(stored, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("email_events_batch_failed")
        return _apply_each(stored, now=now, quietly=quietly)
    _finish(marks, quietly=quietly)
    return report


def unpark(*, message_ids: Iterable[str]) -> int:
    """Let parked events of these mails wait to be applied again; returns how many there were.

    Call it after the transaction that stored the message ids has committed: an event that is being
    parked meanwhile looks once more after its own commit, so one of the two finds the other.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNPARK, [json.dumps([name for name in message_ids if name])])
        return int(cursor.rowcount)


@transaction.atomic
def _apply(stored: Events, *, now: datetime) -> tuple[list[_Mark], Report]:
    rows = list(stored.select_for_update(skip_locked=True))
    # Three statements cannot keep one order of addresses; and a run of soft bounces is judged knowing all that was told.
    suppressing.one_writer_at_a_time()
    events = [read(row) for row in rows]
    known = look_up(events)
    told = [
        Told(event, known[event.fingerprint].email, row.received_at)
        for event, row in zip(events, rows, strict=True)
        if event.fingerprint in known and not known[event.fingerprint].rehearsal
    ]
    report = Report()
    report.addresses, report.people = losing.lose(told, known, limit=settings.SOFT_BOUNCE_LIMIT, now=now)
    if told:
        answers: Iterable[tuple[Any, Any]] = signals.email_events.send(
            sender=EmailEvent, events=[one.event for one in told], now=now
        )
        report.sends = sum(changed or 0 for _, changed in answers)
    marks = [_judge(event, known) for event in events]
    _mark(rows, marks, now)
    report.events.update(f"{mark.state} {mark.outcome}".strip() for mark in marks)
    return marks, report


def _apply_each(stored: Events, *, now: datetime, quietly: bool) -> Report:
    report = Report()
    for pk in list(stored.values_list("pk", flat=True)):
        one = EmailEvent.objects.filter(pk=pk)
        try:
            marks, applied = _apply(one, now=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("email_event_failed", event_id=pk)
            one.update(state=State.IGNORED, outcome=f"error: {type(error).__name__}: {error}"[:200].replace("\x00", ""))
            report.events["ignored error"] += 1
        else:
            report.add(applied)
            _finish(marks, quietly=quietly)
    return report


def _finish(done: list[_Mark], *, quietly: bool) -> None:
    """After the commit: log, and let events wait again that are parked under an id known by now."""
    for mark in done if not quietly else []:
        _log(mark)
    parked = [mark.event for mark in done if mark.state == State.PARKED]
    known = [mark.event for mark in done if mark.state == State.APPLIED or mark.outcome == _REHEARSAL]
    found = look_up(parked)
    unpark(message_ids={event.message_id for event in [*known, *(one for one in parked if one.fingerprint in found)]})


def read(row: EmailEvent) -> SesEvent:
    """The event in a stored body. The fingerprint stays the stored one, also when its recipe changes."""
    event = _READERS[EmailEvent.Route(row.route)](bytes(row.body), received_at=row.received_at)
    return replace(event, fingerprint=row.fingerprint)


def look_up(events: list[SesEvent]) -> dict[str, KnownMail]:
    """Whose mail each event is about, by its fingerprint, asked of every app that sends."""
    known = _ask([event for event in events if event.is_of_interest])
    return known | _rehearsals([event for event in events if event.is_of_interest and event.fingerprint not in known])


def _ask(events: list[SesEvent]) -> dict[str, KnownMail]:
    known: dict[str, KnownMail] = {}
    if events:
        answers: Iterable[tuple[Any, Any]] = signals.email_lookup.send(sender=EmailEvent, events=events)
        for _, answer in answers:
            known.update(answer)
    return known


def _rehearsals(events: list[SesEvent]) -> dict[str, KnownMail]:
    """Test mails have no row that could tell whose an event without a tag is: another event of the mail tells."""
    untagged = {event.message_id: event for event in events if not event.send_id}
    told = EmailEvent.objects.filter(message_id__in=list(untagged)).exclude(message_id="").exclude(send_id="")
    tags = dict(told.values_list("message_id", "send_id")) if untagged else {}
    found = _ask([replace(event, send_id=tags[event.message_id]) for event in events if event.message_id in tags])
    return {fingerprint: mail for fingerprint, mail in found.items() if mail.rehearsal}


def _judge(event: SesEvent, known: dict[str, KnownMail]) -> _Mark:
    if not event.is_of_interest:
        return _Mark(event, State.IGNORED, "")
    mail = known.get(event.fingerprint)
    if not mail:
        return _Mark(event, State.PARKED, _PARKED)
    if mail.rehearsal:
        return _Mark(event, State.IGNORED, _REHEARSAL)
    return _Mark(event, State.APPLIED, meaning.decide(event) if meaning.concerns(event, mail.email) else "")


def _mark(rows: list[EmailEvent], marks: list[_Mark], now: datetime) -> None:
    values: dict[str, Any] = {
        "ids": [row.pk for row in rows],
        "states": [mark.state for mark in marks],
        "outcomes": [mark.outcome for mark in marks],
        "now": now,
        "patience": _FIRST_LOOK,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MARK, values)


def _log(mark: _Mark) -> None:
    """One line an event, without addresses: the inbox has them."""
    event = mark.event
    words = {
        "event_type": event.event_type,
        "message_id": event.message_id,
        "send_id": event.send_id,
        "occurred_at": event.occurred_at.isoformat(),
        "state": mark.state,
        "outcome": mark.outcome,
        "bounce_type": event.bounce_type,
        "bounce_sub_type": event.bounce_sub_type,
        "delay_type": event.delay_type,
        "complaint_feedback_type": event.complaint_feedback_type,
    }
    say = log.warning if meaning.is_worrying(event) else log.info
    say("email_event", **{name: word for name, word in words.items() if word})


def _log_of_no_interest(event: SesEvent) -> None:
    """`Sending Status Disabled` and its like are news about the whole account."""
    if event.event_type.startswith(("Sending Status", "Advisor Recommendation")):
        log.warning("ses_account_event", event_type=event.event_type)
    else:
        log.info("email_event", event_type=event.event_type, state=str(State.IGNORED))
