"""Applying stored events again: what they did to mails, people and addresses is rebuilt from them.

Every effect is a function of the events, so a replay of what has been applied changes nothing, and one after
damage restores it. It only adds: it takes nobody off the suppression list, and whom a person took off stays off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Q

from notifications import recording
from notifications.models import EmailEvent
from notifications.recording import Report
from outreach.errors import DomainError

_BATCH = 500
_LAST_DAY = datetime(9999, 12, 30, tzinfo=UTC)


class NotADate(DomainError):
    """Not a date (2026-11-01) or a time (2026-11-01T12:30:00+00:00)."""

    code = "NOT_A_DATE"
    status = 400


class EmptyRange(DomainError):
    """The range ends before it begins."""

    code = "EMPTY_RANGE"
    status = 400


@dataclass(frozen=True)
class Progress:
    """After a batch: what it came to, how many events have been replayed, and from when on to continue."""

    report: Report
    done: int
    through: datetime


def parse_moment(text: str, *, end: bool = False) -> datetime:
    """A time in ISO 8601, in UTC unless it says otherwise; of a day alone its beginning, or (`end`) the next day's.

    Raises NotADate.
    """
    try:
        if len(text) <= len("2026-11-01"):
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
            return min(day, _LAST_DAY) + timedelta(days=end)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotADate(f"{text!r} is not a date (2026-11-01) or a time (2026-11-01T12:30:00+00:00).") from error


def replay(*, begin: datetime, end: datetime, dry_run: bool, now: datetime) -> Iterator[Progress]:
    """Apply the events that were received from `begin` to before `end`, in batches. Raises EmptyRange.

    Each batch commits by itself, so that a replay may be broken off and go on. A `dry_run` undoes each batch.
    """
    if end <= begin:
        raise EmptyRange(f"The range ends ({end.isoformat()}) before it begins ({begin.isoformat()}).")
    return _batches(begin, end, dry_run, now)


def _batches(begin: datetime, end: datetime, dry_run: bool, now: datetime) -> Iterator[Progress]:
    done, last = 0, (begin, 0)
    while batch := _after(*last, end):
        done, last = done + len(batch), batch[-1]
        stored = EmailEvent.objects.filter(pk__in=[pk for _, pk in batch]).order_by("id")
        yield Progress(_rehearse(stored, now) if dry_run else recording.apply(stored, now=now, quietly=True), done, last[0])
    if not dry_run:
        # Parked ones whose mail a replayed event has named wait again.
        while recording.apply_events(now=now, limit=_BATCH) == _BATCH:
            pass


def _after(moment: datetime, pk: int, end: datetime) -> list[tuple[datetime, int]]:
    later = Q(received_at__gt=moment) | Q(received_at=moment, pk__gt=pk)
    rows = EmailEvent.objects.filter(later, received_at__gte=moment, received_at__lt=end).order_by("received_at", "pk")
    return list(rows.values_list("received_at", "pk")[:_BATCH])


@transaction.atomic
def _rehearse(stored: "recording.Events", now: datetime) -> Report:
    report = recording.apply(stored, now=now, quietly=True)
    transaction.set_rollback(True)
    return report
