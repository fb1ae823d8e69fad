"""One person at a time: added, changed, deleted by staff or another service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from psycopg.errors import UniqueViolation

from notifications import suppressing
from notifications.models import Suppression, SuppressionReason
from outreach.errors import DomainError
from prospects import unsubscribing
from prospects.models import Prospect, ProspectStatus

_ONE_PER_ADDRESS = "prospects_email_key"
_FACTS = {
    ProspectStatus.UNSUBSCRIBED: "unsubscribed_at",
    ProspectStatus.BOUNCED: "bounced_at",
    ProspectStatus.COMPLAINED: "complained_at",
}
_FACT_OF_REASON = {
    SuppressionReason.UNSUBSCRIBE: "unsubscribed_at",
    SuppressionReason.BOUNCE: "bounced_at",
    SuppressionReason.COMPLAINT: "complained_at",
}
_NO = {"unsubscribed_at": SuppressionReason.UNSUBSCRIBE, "complained_at": SuppressionReason.COMPLAINT}
_REASON_OF_STATUS = {
    ProspectStatus.BOUNCED: SuppressionReason.BOUNCE,
    ProspectStatus.COMPLAINED: SuppressionReason.COMPLAINT,
}


class ProspectExists(DomainError):
    """There is a prospect with this address already."""

    code = "PROSPECT_EXISTS"
    attr = "email"


class ProspectGone(DomainError):
    """The prospect was deleted meanwhile."""

    code = "PROSPECT_GONE"
    status = 404


class StatusChanged(DomainError):
    """The prospect's status changed at this moment: look at it again before making it active."""

    code = "PROSPECT_STATUS"
    attr = "status"


@transaction.atomic
def create_prospect(fields: Mapping[str, Any], *, by: str, now: datetime) -> Prospect:
    """Add a person. What the suppression list knows about the address shows in the status at once.

    Raises ProspectExists. `status: active` is no consent: only a change of an existing person lifts a no.
    """
    values = dict(fields)
    status = values.pop("status", ProspectStatus.ACTIVE)
    with _one_per_address():
        prospect = Prospect.objects.create(**values, **_known_facts(values["email"]))
    if status != ProspectStatus.ACTIVE:
        _set_status(prospect, status, by=by, now=now)
    return _fresh(prospect)


@transaction.atomic
def change_prospect(prospect: Prospect, fields: Mapping[str, Any], *, by: str, now: datetime) -> Prospect:
    """Write the given fields and no others; the status as the fact behind it.

    `unsubscribed`, `bounced`, `complained` add that fact and suppress the address; a stronger fact
    still names the status. `active` takes all three back, and the suppression of somebody who had
    unsubscribed, but never one for a bounce or complaint. Raises ProspectExists, ProspectGone, StatusChanged.
    """
    values = dict(fields)
    status = values.pop("status", None)
    # Addresses are locked before the person, as events and unsubscribes do, so that none can deadlock.
    if values.get("email", prospect.email) != prospect.email:
        _take_along(prospect, values["email"], by=by, now=now)
        prospect.email = values["email"]
        changed = status is not None
    else:
        changed = status not in {None, prospect.status}
    if changed:
        _set_status(prospect, str(status), by=by, now=now)
    if values:
        _write(prospect, values, now=now)
    return _fresh(prospect)


def delete_prospect(prospect: Prospect) -> None:
    """Forget a person; the link in their old mails and a suppression of their address stay."""
    prospect.delete()


def _take_along(prospect: Prospect, email: str, *, by: str, now: datetime) -> None:
    """A person's no is about the person: it follows them to a new address. A bounce stays with the old one."""
    for fact, reason in _NO.items():
        if getattr(prospect, fact):
            suppressing.suppress([email], reason=reason, source=by, now=now, note="said no under an earlier address")


def _write(prospect: Prospect, values: dict[str, Any], *, now: datetime) -> None:
    if "email" in values:
        values |= _known_facts(values["email"])
    with _one_per_address():
        Prospect.objects.filter(pk=prospect.pk).update(**values, updated_at=now)


def _set_status(prospect: Prospect, status: str, *, by: str, now: datetime) -> None:
    # The address is suppressed before the prospect is written: events take the same order, so that
    # the two cannot deadlock.
    match ProspectStatus(status):
        case ProspectStatus.ACTIVE:
            _make_active(prospect, by=by, now=now)
        case ProspectStatus.UNSUBSCRIBED:
            unsubscribing.unsubscribe_by_staff(prospect, by=by, now=now)
        case fact:
            suppressing.suppress([prospect.email], reason=_REASON_OF_STATUS[fact], source=by, now=now)
            unknown = {f"{_FACTS[fact]}__isnull": True}
            Prospect.objects.filter(pk=prospect.pk, **unknown).update(**{_FACTS[fact]: now}, updated_at=now)


def _make_active(prospect: Prospect, *, by: str, now: datetime) -> None:
    listed = Suppression.objects.select_for_update().filter(email=prospect.email, reason=SuppressionReason.UNSUBSCRIBE).first()
    if prospect.unsubscribed_at and listed:
        suppressing.lift(listed, by=by, why=f"set active by {by}", now=now)
    elif prospect.unsubscribed_at:
        # Under a bounce or complaint, which stays, the no is taken back as well.
        covered = Suppression.objects.filter(email=prospect.email).exclude(reason=SuppressionReason.UNSUBSCRIBE)
        covered.update(unsubscribed_at=None)
    # Only the facts that were seen: a no that comes in at this moment must stand.
    seen = {name: getattr(prospect, name) for name in _FACTS.values()}
    moved = Prospect.objects.filter(pk=prospect.pk, **seen).update(**dict.fromkeys(seen), updated_at=now)
    if not moved:
        raise StatusChanged


def _known_facts(email: str) -> dict[str, datetime]:
    """What the suppression list says about an address, as a prospect's facts."""
    facts: dict[str, datetime] = {}
    for listed in suppressing.listed(email):
        if fact := _FACT_OF_REASON.get(SuppressionReason(listed.reason)):
            facts[fact] = listed.suppressed_at
        if listed.unsubscribed_at:
            facts["unsubscribed_at"] = listed.unsubscribed_at
    return facts


def _fresh(prospect: Prospect) -> Prospect:
    try:
        return Prospect.objects.get(pk=prospect.pk)
    except Prospect.DoesNotExist as error:
        raise ProspectGone from error


@contextmanager
def _one_per_address() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        cause = error.__cause__
        if isinstance(cause, UniqueViolation) and cause.diag.constraint_name == _ONE_PER_ADDRESS:
            raise ProspectExists from error
        raise
