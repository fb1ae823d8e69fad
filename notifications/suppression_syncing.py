"""SES' own suppression list and ours learn of each other; nothing is deleted there without a person.

Theirs comes to ours whole. Ours goes there as far as it is about a mailbox (bounces, complaints); who only
unsubscribed may still get transactional mail, and what soft bounces said may be taken back. Safe to repeat and to break
off: each step is remembered with its row.
https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import structlog
from django.db import connection, transaction
from django.db.models import QuerySet

from notifications import suppressing
from notifications.models import SesListConflict, Suppression, SuppressionReason
from notifications.transports.ses_suppressions import Listed, ListUnavailable
from outreach import addresses, keyed_hashes
from outreach.errors import DomainError

log = structlog.get_logger("notifications")

SOURCE = "SES account list"
_ONE_RUN = 0x5E5_0005  # the key of an advisory lock
_REASONS = {"BOUNCE": SuppressionReason.BOUNCE, "COMPLAINT": SuppressionReason.COMPLAINT}
_NAMES = {reason: name for name, reason in _REASONS.items()}


class AccountList(Protocol):
    """What a sync needs of SES (`transports.ses_suppressions`)."""

    def pages(self) -> Iterator[list[Listed]]: ...

    def put(self, address: str, reason: str) -> None: ...

    def delete(self, address: str) -> bool: ...


class SyncRunning(DomainError):
    """The lists are being compared already: try again when that has ended."""

    code = "SYNC_RUNNING"


class RemovalNeedsReason(DomainError):
    """Taking an address off SES' list needs a reason: say why it may be written to again."""

    code = "REMOVAL_NEEDS_REASON"
    status = 400
    attr = "reason"


class StillSuppressed(DomainError):
    """The address is on our own list: take it off there first."""

    code = "STILL_SUPPRESSED"


@dataclass
class Report:
    """What a sync did, or would have done."""

    theirs: int = 0
    taken: int = 0
    unreadable: int = 0
    put: int = 0
    waiting: int = 0
    conflicts: list[Listed] = field(default_factory=list)


def sync(there: AccountList, *, dry_run: bool = False, most_puts: int | None = None, now: datetime) -> Report:
    """Take over what SES lists, then put what it lacks, at most `most_puts` addresses.

    Raises SyncRunning, and ListUnavailable when SES does not answer; what was done by then is kept.
    """
    report, seen = Report(), set[str]()
    with _one_run():
        for page in there.pages():
            _take(page, report, dry_run=dry_run, now=now)
            if dry_run:
                seen.update(one.address.lower() for one in page)
        if dry_run:
            missing = _missing().values_list("email", flat=True)
            report.put = sum(email not in seen for email in missing.iterator())
            return report
        _store_conflicts(report.conflicts, now=now)
        _put(there, report, most=most_puts, now=now)
    return report


def sync_quietly(there: AccountList, *, most_puts: int, now: datetime) -> None:
    """The same for a task: what happened, or why nothing did, is one line of the log."""
    try:
        report = sync(there, most_puts=most_puts, now=now)
    except (ListUnavailable, SyncRunning) as error:
        log.error("suppressions_not_synced", error=str(error))
    else:
        found = {"theirs": report.theirs, "taken": report.taken, "put": report.put, "waiting": report.waiting}
        log.info("suppressions_synced", **found, conflicts=len(report.conflicts))


def remove_at_ses(there: AccountList, address: str, *, by: str, why: str, now: datetime) -> bool:
    """Take an address, as SES spells it, off SES' list and keep who did it and why; False when it was not there.

    Raises RemovalNeedsReason, StillSuppressed and ListUnavailable.
    """
    if not why.strip():
        raise RemovalNeedsReason
    if _blocked_here(address):
        raise StillSuppressed
    there_was = there.delete(address)
    _settle(address, by=by, why=why.strip(), now=now)
    log.warning("ses_suppression_removed", to=address, by=by, found=there_was)
    return there_was


def _take(page: list[Listed], report: Report, *, dry_run: bool, now: datetime) -> None:
    readable = [(email, one) for one in page if (email := _normal(one.address)) and one.reason in _REASONS]
    report.theirs += len(page)
    report.unreadable += len(page) - len(readable)
    emails = [email for email, _ in readable]
    ours = set(Suppression.objects.filter(email__in=emails).values_list("email", flat=True))
    erased = _erased(emails)
    lifts = suppressing.lifted(emails)
    new: dict[SuppressionReason, dict[str, datetime]] = {reason: {} for reason in _NAMES}
    for email, one in readable:
        reason = _REASONS[one.reason]
        if email not in ours and suppressing.lifted_since(lifts, email, reason, known_at=one.updated_at):
            report.conflicts.append(one)
        elif email not in erased:
            new[reason][email] = min(one.updated_at, now)
    if not dry_run:
        report.taken += _store(new, emails, now=now)
    else:
        report.taken += sum(email not in ours for since in new.values() for email in since)


@transaction.atomic
def _store(new: Mapping[SuppressionReason, Mapping[str, datetime]], emails: list[str], *, now: datetime) -> int:
    suppressing.one_writer_at_a_time()
    taken = sum(suppressing.suppress_since(since, reason=reason, source=SOURCE) for reason, since in new.items())
    Suppression.objects.filter(email__in=emails).update(at_ses_at=now)
    return taken


def _erased(emails: list[str]) -> set[str]:
    """Those on our list by their hash alone: SES telling their address again must not bring it back here."""
    hashes = {keyed_hashes.hash_of(email): email for email in emails}
    found = Suppression.objects.filter(email__in=hashes, reason__in=list(_NAMES)).values_list("email", flat=True)
    return {hashes[one] for one in found}


def _missing() -> QuerySet[Suppression]:
    rows = Suppression.objects.filter(reason__in=["bounce", "complaint"], at_ses_at=None, email__contains="@")
    return rows.exclude(source=suppressing.SOFT_BOUNCES).order_by("pk")


def _put(there: AccountList, report: Report, *, most: int | None, now: datetime) -> None:
    for pk, email, reason in list(_missing().values_list("pk", "email", "reason")[:most]):
        # Lifted meanwhile, or stronger by now: as the row is at this moment.
        if Suppression.objects.filter(pk=pk, email=email, reason=reason).exists():
            there.put(email, _NAMES[SuppressionReason(reason)])
            report.put += Suppression.objects.filter(pk=pk).update(at_ses_at=now)
    report.waiting = _missing().count()


@transaction.atomic
def _store_conflicts(conflicts: list[Listed], *, now: datetime) -> None:
    """The open conflicts are those that were found this time."""
    open_ones = SesListConflict.objects.filter(settled_at=None)
    open_ones.exclude(address__in=[one.address for one in conflicts]).delete()
    rows = [
        SesListConflict(address=one.address, reason=_REASONS[one.reason], listed_at=one.updated_at, found_at=now)
        for one in conflicts
    ]
    SesListConflict.objects.bulk_create(rows, ignore_conflicts=True)
    for one in conflicts:
        log.warning("ses_suppression_conflict", to=one.address, reason=one.reason)


@transaction.atomic
def _settle(address: str, *, by: str, why: str, now: datetime) -> None:
    words: dict[str, Any] = {"settled_at": now, "settled_by": by, "why": why}
    if not SesListConflict.objects.filter(address=address, settled_at=None).update(**words):
        SesListConflict.objects.create(address=address, reason=SuppressionReason.MANUAL, found_at=now, **words)


def _blocked_here(address: str) -> bool:
    email = _normal(address)
    return bool(email) and suppressing.listed(email).exclude(reason=SuppressionReason.UNSUBSCRIBE).exists()


def _normal(address: str) -> str:
    try:
        return addresses.normalise(address)
    except addresses.InvalidAddress:
        return ""


@contextmanager
def _one_run() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_RUN])
        if not cursor.fetchone()[0]:
            raise SyncRunning
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_RUN])
