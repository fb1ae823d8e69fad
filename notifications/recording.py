"""The inbox of events: stored before they are answered, applied later, in batches, once each.

Applying locks addresses, then people, then sends, as unsubscribing does, so that neither can
deadlock with the other. Every effect is monotone (the earliest time of each fact, the strongest
reason), so that order and repetition cannot matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet

from notifications import eventbridge, meaning, signals, sns, suppressing
from notifications.meaning import Effect
from notifications.models import EmailEvent, SuppressionReason
from notifications.ses_events import SesEvent
from notifications.signals import KnownMail, Loss
from outreach import addresses

log = structlog.get_logger("notifications")

State = EmailEvent.State

_STORE = """
INSERT INTO email_events (fingerprint, route, event_type, message_id, send_id, occurred_at, received_at, body, state, outcome)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, '')
ON CONFLICT (fingerprint) DO NOTHING
"""

_MARK = """
UPDATE email_events e
   SET state = v.state, outcome = v.outcome, applied_at = CASE WHEN v.state = 'applied' THEN %(now)s::timestamptz END
  FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(outcomes)s::text[]) AS v (id, state, outcome)
 WHERE e.id = v.id
"""

_READERS = {EmailEvent.Route.EVENTBRIDGE: eventbridge.read, EmailEvent.Route.SNS: sns.read}
_REASONS = {
    Effect.BOUNCE: SuppressionReason.BOUNCE,
    Effect.COMPLAINT: SuppressionReason.COMPLAINT,
    Effect.UNSUBSCRIBE: SuppressionReason.UNSUBSCRIBE,
}
_LOSSES = 0x1055E5
_PARKED = "no mail with this message id is known (yet)"


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


def store(event: SesEvent, *, route: EmailEvent.Route, body: bytes, received_at: datetime) -> Stored:
    """Keep a verified event as it came, once, in one statement that has committed when this returns."""
    state = State.PENDING if event.is_of_interest else State.IGNORED
    names = (event.fingerprint, route, event.event_type, event.message_id, event.send_id)
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [*names, event.occurred_at, received_at, body, state])
        if not cursor.rowcount:
            return Stored.DUPLICATE
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
    try:
        done = _apply(waiting, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("email_events_batch_failed")
        return sum(_apply_alone(pk, now=now) for pk in list(waiting.values_list("pk", flat=True)))
    return _finish(done)


def unpark(*, message_ids: Iterable[str]) -> int:
    """Let parked events of these mails wait to be applied again; returns how many there were.

    Call it after the transaction that stored the message ids has committed: an event that is being
    parked meanwhile looks once more after its own commit, so one of the two finds the other.
    """
    parked = EmailEvent.objects.filter(state=State.PARKED, message_id__in=[name for name in message_ids if name])
    return parked.update(state=State.PENDING, outcome="")


@transaction.atomic
def _apply(waiting: "QuerySet[EmailEvent]", *, now: datetime) -> list[_Mark]:
    rows = list(waiting.select_for_update(skip_locked=True))
    events = [_read(row) for row in rows]
    known = _look_up(events)
    losses = list(_losses(events, known))
    if losses:
        _suppress(losses, now)
        signals.addresses_lost.send(sender=EmailEvent, losses=losses, now=now)
    if told := [event for event in events if event.fingerprint in known]:
        signals.email_events.send(sender=EmailEvent, events=told, now=now)
    marks = [_judge(event, known) for event in events]
    _mark(rows, marks, now)
    return marks


def _apply_alone(pk: int, *, now: datetime) -> int:
    one = EmailEvent.objects.filter(pk=pk, state=State.PENDING)
    try:
        done = _apply(one, now=now)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("email_event_failed", event_id=pk)
        return one.update(state=State.IGNORED, outcome=f"error: {type(error).__name__}: {error}"[:200].replace("\x00", ""))
    return _finish(done)


def _finish(done: list[_Mark]) -> int:
    """After the commit: log, and let events wait again that are parked under an id known by now."""
    for mark in done:
        _log(mark)
    parked = [mark.event for mark in done if mark.state == State.PARKED]
    known = [mark.event for mark in done if mark.state == State.APPLIED]
    found = _look_up(parked)
    unpark(message_ids={event.message_id for event in [*known, *(one for one in parked if one.fingerprint in found)]})
    return len(done)


def _read(row: EmailEvent) -> SesEvent:
    """The event in a stored body. The fingerprint stays the stored one, also when its recipe changes."""
    event = _READERS[EmailEvent.Route(row.route)](bytes(row.body), received_at=row.received_at)
    return replace(event, fingerprint=row.fingerprint)


def _look_up(events: list[SesEvent]) -> dict[str, KnownMail]:
    known: dict[str, KnownMail] = {}
    interesting = [event for event in events if event.is_of_interest]
    if interesting:
        answers: Iterable[tuple[Any, Any]] = signals.email_lookup.send(sender=EmailEvent, events=interesting)
        for _, answer in answers:
            known.update(answer)
    return known


def _losses(events: list[SesEvent], known: dict[str, KnownMail]) -> Iterable[Loss]:
    """Who is lost: only a stored recipient of that very mail, whoever else the event names."""
    for event in events:
        mail, effect = known.get(event.fingerprint), meaning.decide(event)
        if mail and effect and meaning.concerns(event, mail.email):
            yield Loss(
                email=mail.email,
                effect=effect,
                occurred_at=event.occurred_at,
                fingerprint=event.fingerprint,
                campaign_key=mail.campaign_key,
                user_agent=event.user_agent,
            )


def _suppress(losses: list[Loss], now: datetime) -> None:
    with connection.cursor() as cursor:
        # One batch with losses at a time: three statements cannot keep one order of addresses.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOSSES])
    for effect, reason in _REASONS.items():
        emails = {loss.email for loss in losses if loss.effect is effect}
        if real := [email for email in emails if addresses.domain_of(email) != meaning.SIMULATOR_DOMAIN]:
            suppressing.suppress(real, reason=reason, source="SES", now=now)


def _judge(event: SesEvent, known: dict[str, KnownMail]) -> _Mark:
    if not event.is_of_interest:
        return _Mark(event, State.IGNORED, "")
    mail = known.get(event.fingerprint)
    if not mail:
        return _Mark(event, State.PARKED, _PARKED)
    return _Mark(event, State.APPLIED, meaning.decide(event) if meaning.concerns(event, mail.email) else "")


def _mark(rows: list[EmailEvent], marks: list[_Mark], now: datetime) -> None:
    values: dict[str, Any] = {
        "ids": [row.pk for row in rows],
        "states": [mark.state for mark in marks],
        "outcomes": [mark.outcome for mark in marks],
        "now": now,
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
        "complaint_feedback_type": event.complaint_feedback_type,
    }
    log.info("email_event", **{name: word for name, word in words.items() if word})


def _log_of_no_interest(event: SesEvent) -> None:
    """`Sending Status Disabled` and its like are news about the whole account."""
    if event.event_type.startswith(("Sending Status", "Advisor Recommendation")):
        log.warning("ses_account_event", event_type=event.event_type)
    else:
        log.info("email_event", event_type=event.event_type, state=str(State.IGNORED))
