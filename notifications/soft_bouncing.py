"""Soft bounces: how many in a row cost an address its place, also when the news comes in the wrong order.

The bounces that count are kept by address, the deliveries by whoever sent the mails, and the verdict is a
function of these two sets. More bounces can only bring it or make it earlier. A delivery that is told late can
take it back: then the address is given back, because it would never have been taken had SES told us in order.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications import meaning, signals, suppressing
from notifications.models import SoftBounce, SuppressionReason
from notifications.ses_events import EventType, SesEvent
from notifications.signals import Revision

Deliveries = Mapping[str, Mapping[str, datetime]]
Bounces = Mapping[str, Mapping[str, tuple[datetime, datetime]]]


@dataclass(frozen=True, slots=True)
class Told:
    """An event about a mail to a known address, and when it reached us."""

    event: SesEvent
    email: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """Since when addresses are lost to soft bounces, and which of them were thought lost from another time on."""

    lost: Mapping[str, datetime]
    revisions: list[Revision]


def run_ends(bounces: Iterable[datetime], deliveries: Iterable[datetime], *, limit: int) -> datetime | None:
    """When the first `limit` bounces in a row were complete: no delivery lies between them. None if they never were."""
    # A delivery at the very time of a bounce counts as between: in doubt for the address.
    moments = sorted([(moment, 0, "delivery") for moment in deliveries] + [(moment, 1, "bounce") for moment in bounces])
    in_a_row = 0
    for moment, _, what in moments:
        in_a_row = in_a_row + 1 if what == "bounce" else 0
        if limit and in_a_row == limit:
            return moment
    return None


def weigh(told: Iterable[Told], *, limit: int) -> Verdict:
    """Keep the soft bounces of a batch, and judge every address that it tells about.

    The caller holds the lock under which one batch at a time is applied. With a limit of 0 nobody is lost.
    """
    told = list(told)
    bounced = [one for one in told if meaning.is_soft(one.event) and meaning.concerns(one.event, one.email)]
    before = _bounces({one.email for one in bounced} | _delivered_to(told))
    _keep(bounced)
    after = _with(before, bounced)
    close = [email for email, bounces in after.items() if len(bounces) >= limit > 0]
    if not close:
        return Verdict({}, [])
    known = _history(close)
    latest = _with_deliveries(known, told)
    lifts = suppressing.lifted(close)
    ends = {email: _ends(after, latest, lifts, email, limit) for email in close}
    ended = {email: _ends(before, known, lifts, email, limit) for email in close}
    revisions = [Revision(email=one, was=was, since=ends[one]) for one, was in ended.items() if was and _later(ends[one], was)]
    return Verdict({email: end for email, end in ends.items() if end}, revisions)


def _later(end: datetime | None, was: datetime) -> bool:
    return end is None or end > was


def _delivered_to(told: list[Told]) -> set[str]:
    return {one.email for one in told if one.event.event_type == EventType.DELIVERY}


def _bounces(emails: set[str]) -> dict[str, dict[str, tuple[datetime, datetime]]]:
    """What is kept of these addresses: occurred and received, by fingerprint."""
    found: dict[str, dict[str, tuple[datetime, datetime]]] = defaultdict(dict)
    rows = SoftBounce.objects.filter(email__in=emails) if emails else SoftBounce.objects.none()
    for email, fingerprint, occurred_at, received_at in rows.values_list("email", "fingerprint", "occurred_at", "received_at"):
        found[email][fingerprint] = (occurred_at, received_at)
    return found


def _keep(bounced: list[Told]) -> None:
    rows = [
        SoftBounce(
            fingerprint=one.event.fingerprint, email=one.email, occurred_at=one.event.occurred_at, received_at=one.received_at
        )
        for one in bounced
    ]
    SoftBounce.objects.bulk_create(rows, ignore_conflicts=True)


def _with(before: Bounces, bounced: list[Told]) -> Bounces:
    after = defaultdict(dict, {email: dict(bounces) for email, bounces in before.items()})
    for one in bounced:
        after[one.email].setdefault(one.event.fingerprint, (one.event.occurred_at, one.received_at))
    return after


def _history(emails: list[str]) -> dict[str, dict[str, datetime]]:
    """When mails to these addresses were delivered, as far as it had been told before this batch."""
    history: dict[str, dict[str, datetime]] = {email: {} for email in emails}
    answers: Iterable[tuple[Any, Any]] = signals.delivery_history.send(sender=SoftBounce, emails=emails)
    for _, answer in answers:
        for email, delivered in answer.items():
            history[email].update(delivered)
    return history


def _with_deliveries(known: Deliveries, told: list[Told]) -> Deliveries:
    latest = {email: dict(delivered) for email, delivered in known.items()}
    for one in told:
        if one.email in latest and (moment := meaning.facts(one.event, one.email).get("delivered_at")):
            mails = latest[one.email]
            # A mail is delivered when it was first said to be.
            mails[one.event.message_id] = min(moment, mails.get(one.event.message_id, moment))
    return latest


def _ends(
    bounces: Bounces, deliveries: Deliveries, lifts: Mapping[tuple[str, str], datetime], email: str, limit: int
) -> datetime | None:
    reason = SuppressionReason.BOUNCE
    counting = [
        occurred_at
        for occurred_at, received_at in bounces.get(email, {}).values()
        if not suppressing.lifted_since(lifts, email, reason, known_at=received_at)
    ]
    return run_ends(counting, deliveries[email].values(), limit=limit)
