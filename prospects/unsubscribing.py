"""Saying no: who asks, what follows, and the record of it. A no is never refused; `undoing` is for whoever said it."""

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import Q

from notifications import suppressing
from notifications.models import SuppressionReason
from outreach import outages
from prospects import signals
from prospects.models import Prospect, RetiredToken, Unsubscribe

logger = logging.getLogger(__name__)

SAID_BY_THE_PERSON = (Unsubscribe.Method.PAGE, Unsubscribe.Method.ONE_CLICK)


@dataclass(frozen=True)
class Person:
    """Whom a link belongs to; `prospect_id` is None when only the address is left of them."""

    email: str
    prospect_id: int | None
    unsubscribed: bool


def find_person(token: UUID) -> Person | None:
    """Whose link this is, also after the prospect was deleted; None for a token that was never given out."""
    if prospect := Prospect.objects.filter(unsubscribe_token=token).first():
        return _person(prospect)
    if retired := RetiredToken.objects.filter(token=token).first():
        # Deleted, and perhaps imported again since under a new token: the old no is about the new row, too.
        if prospect := Prospect.objects.filter(email=retired.email).first():
            return _person(prospect)
        return Person(retired.email, None, suppressing.is_suppressed(retired.email))
    return None


@transaction.atomic
def unsubscribe(
    token: UUID, *, method: Unsubscribe.Method, campaign_key: str = "", user_agent: str = "", now: datetime
) -> Person | None:
    """Take the owner of this token off every outreach list, for good. Repeating it changes nothing.

    `user_agent` is one of Unsubscribe.UserAgent, or empty. Returns the person as they are afterwards, or None (and no
    change) for an unknown token. Raises the error of a database in trouble: then nothing is stored, and it is to be repeated.
    """
    person = find_person(token)
    if person is None:
        return None
    _record(person, method=method, source="unsubscribe", campaign_key=campaign_key, user_agent=user_agent, now=now)
    return Person(person.email, person.prospect_id, unsubscribed=True)


@transaction.atomic
def unsubscribe_by_staff(
    prospect: Prospect, *, by: str, now: datetime, method: Unsubscribe.Method = Unsubscribe.Method.API
) -> None:
    """The same no, passed on by a member of staff or another service; `by` is kept as its source."""
    _record(_person(prospect), method=method, source=by, campaign_key="", user_agent="", now=now)


def retire_token(prospect_id: int) -> None:
    """Keep the token of a prospect who is about to be deleted, inside the deleting transaction.

    The lock makes a no that is being said at this moment come first, and keeps both sides in one
    order: the prospect before its sends.
    """
    rows = Prospect.objects.select_for_update().filter(pk=prospect_id).values_list("unsubscribe_token", "email")
    retired = [RetiredToken(token=token, email=email) for token, email in rows]
    RetiredToken.objects.bulk_create(retired, ignore_conflicts=True)


def _person(prospect: Prospect) -> Person:
    return Person(prospect.email, prospect.pk, prospect.unsubscribed_at is not None)


def _record(
    person: Person, *, method: Unsubscribe.Method, source: str, campaign_key: str, user_agent: str, now: datetime
) -> None:
    # First, because this statement locks the address until commit, also when it changes nothing: of
    # fifty requests at once one gets through, and events, which suppress first as well, cannot deadlock with it.
    listed = suppressing.suppress([person.email], reason=SuppressionReason.UNSUBSCRIBE, source=source, now=now)
    prospect = _locked(person.prospect_id)
    moved = _mark(prospect, now) if prospect else 0
    if not (listed or moved) and _is_recorded(person.email, campaign_key, method):
        return
    Unsubscribe.objects.create(
        prospect=prospect,
        email=person.email,
        method=method,
        campaign_key=campaign_key,
        user_agent=user_agent,
        created_at=now,
    )
    if prospect:
        _tell(prospect.pk, campaign_key, now)


def _locked(prospect_id: int | None) -> Prospect | None:
    """The prospect's row; None when it was deleted, perhaps a moment ago."""
    if prospect_id is None:
        return None
    return Prospect.objects.select_for_update(no_key=True).filter(pk=prospect_id).first()


def _mark(prospect: Prospect, now: datetime) -> int:
    later_or_never = Q(unsubscribed_at__isnull=True) | Q(unsubscribed_at__gt=now)
    return Prospect.objects.filter(later_or_never, pk=prospect.pk).update(unsubscribed_at=now, updated_at=now)


def _is_recorded(email: str, campaign_key: str, method: Unsubscribe.Method) -> bool:
    """Whether the audit already says so. What the person said and what staff passed on are two things, as only
    the first can be taken back; rows that came with an event tell of a complaint, not of this."""
    same = SAID_BY_THE_PERSON if method in SAID_BY_THE_PERSON else [method]
    said = Unsubscribe.objects.filter(email=email, campaign_key=campaign_key, method__in=same, event_fingerprint="")
    return said.filter(undone_at=None).exists()


def _tell(prospect_id: int, campaign_key: str, now: datetime) -> None:
    """Pass the fact up. A no stands, whatever breaks above: receivers fail in a savepoint of their own.

    Raises the error of a database in trouble: then the no does not stand either, or what follows from it would be lost
    for good, as repeating a no that stands changes nothing.
    """
    try:
        with transaction.atomic():
            signals.unsubscribed.send(sender=Prospect, prospect_ids=[prospect_id], campaign_key=campaign_key, now=now)
    except Exception as error:
        if outages.is_outage(error):
            raise
        if transaction.get_rollback():
            raise OperationalError("The session ended while a no was passed up.") from error
        logger.exception("unsubscribed_receiver_failed", extra={"prospect_id": prospect_id})
