"""Taking a no back, by whoever said it, within minutes: the person and the list are as they were before.

Only the one no that stands can be taken back. An earlier one, another one since, a bounce, a complaint or a
decision of staff stays what it is.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from notifications import suppressing
from notifications.models import Suppression, SuppressionReason
from prospects import signals, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.unsubscribing import Person

logger = logging.getLogger(__name__)

UNDO_WITHIN = timedelta(minutes=10)
_WHY = "taken back on the unsubscribe page, within ten minutes"


def time_left(person: Person, *, now: datetime) -> timedelta:
    """How long this person's no can still be taken back; zero when it cannot."""
    found = _find(person.email, now=now) if person.unsubscribed else None
    return found.no.created_at + UNDO_WITHIN - now if found else timedelta()


@transaction.atomic
def undo(token: UUID, *, user_agent: str, now: datetime) -> Person | None:
    """Take the no back that the owner of this token said within the last ten minutes.

    Returns the person as they are afterwards (`unsubscribed` when it is too late, or something else stands), or None
    for an unknown token. Repeating it changes nothing.
    """
    # The address is locked first and the person second, as everywhere, so that no two of these can deadlock.
    person = unsubscribing.find_person(token)
    if person is None:
        return None
    found = _find(person.email, now=now, lock=True)
    if found is None:
        return unsubscribing.find_person(token)
    found.take_back(by=f"the person, on the unsubscribe page ({user_agent or Unsubscribe.UserAgent.OTHER})", now=now)
    return Person(person.email, person.prospect_id, unsubscribed=False)


class _Standing:
    """A no that may be taken back, with what it wrote."""

    def __init__(self, no: Unsubscribe, suppression: Suppression, prospect: Prospect | None) -> None:
        self.no, self.suppression, self.prospect = no, suppression, prospect

    def take_back(self, *, by: str, now: datetime) -> None:
        suppressing.lift(self.suppression, by=by, why=_WHY, now=now)
        Unsubscribe.objects.filter(pk=self.no.pk).update(undone_at=now, undone_by=by)
        if self.prospect:
            Prospect.objects.filter(pk=self.prospect.pk).update(unsubscribed_at=None, updated_at=now)
            signals.unsubscribe_undone.send(
                sender=Prospect, prospect_ids=[self.prospect.pk], said_at=self.no.created_at, by=by, why=_WHY, now=now
            )
        logger.info("unsubscribe_undone", extra={"unsubscribe_id": self.no.pk})


def _find(email: str, *, now: datetime, lock: bool = False) -> _Standing | None:
    """The no of this address that may be taken back now.

    It wrote both facts that stand, the suppression's and the person's, and so nothing was there before it.
    """
    suppressions, prospects = Suppression.objects.filter(email=email), Prospect.objects.filter(email=email)
    if lock:
        suppressions, prospects = suppressions.select_for_update(), prospects.select_for_update(no_key=True)
    suppression = suppressions.first()
    if suppression is None or suppression.reason != SuppressionReason.UNSUBSCRIBE:
        return None
    no = _only_no(email, said_at=suppression.suppressed_at)
    prospect = prospects.first()
    if no is None or now - no.created_at > UNDO_WITHIN or (prospect and not _is_all_that_stands(no, prospect)):
        return None
    return _Standing(no, suppression, prospect)


def _only_no(email: str, *, said_at: datetime) -> Unsubscribe | None:
    """The person's own no of that moment, unless another came after it."""
    standing = Unsubscribe.objects.filter(email=email, undone_at=None)
    if standing.filter(created_at__gt=said_at).exists():
        return None
    return standing.filter(created_at=said_at, method__in=unsubscribing.SAID_BY_THE_PERSON).order_by("pk").first()


def _is_all_that_stands(no: Unsubscribe, prospect: Prospect) -> bool:
    return prospect.unsubscribed_at == no.created_at and not (prospect.bounced_at or prospect.complained_at)
