"""A person's rights: everything held about an address erased, or told; both are kept in the audit by keyed hash.

The suppression of the address stays (SUPPRESSION_KEEP says in which form), and so do the rows of the ledger and of the
audit of nos, without the person: accounts still balance, and nobody gets a campaign twice.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet

from notifications import erasing, signals
from outreach import addresses, keyed_hashes
from outreach.errors import DomainError
from prospects.importing import UNFINISHED
from prospects.models import PersonRequest, Prospect, ProspectImport, RejectedRow, RetiredToken, Unsubscribe

log = structlog.get_logger("prospects")

_ERASED = "(erased)"


class NotAnAddress(DomainError):
    """This is not an e-mail address."""

    code = "NOT_AN_ADDRESS"
    status = 400
    attr = "email"


class ErasureNeedsReason(DomainError):
    """Erasing a person needs a reason: it is kept, so that somebody can say later why they are gone."""

    code = "ERASURE_NEEDS_REASON"
    status = 400
    attr = "reason"


class ImportsWaiting(DomainError):
    """Files wait to be imported, and may hold this person: erase when the imports have ended."""

    code = "IMPORTS_WAITING"


def erase_person(address: str, *, by: str, why: str, now: datetime) -> dict[str, int]:
    """Erase everything about the person, or nothing. Works for addresses that are no prospect (any more), and again.

    Returns how many rows of what were erased. Raises NotAnAddress, ErasureNeedsReason and ImportsWaiting.
    """
    email = _normalised(address)
    if not why.strip():
        raise ErasureNeedsReason
    with transaction.atomic():
        if ProspectImport.objects.filter(state__in=UNFINISHED).exists():
            raise ImportsWaiting
        counts = _erase(email, now=now)
        _audit(PersonRequest.Kind.ERASE, email, by=by, why=erasing.without_addresses(why.strip()), counts=counts, now=now)
    log.info("person_erased", by=by, email_hash=keyed_hashes.hash_of(email), **counts)
    return counts


@transaction.atomic
def export_person(address: str, *, by: str, why: str = "", now: datetime) -> dict[str, Any]:
    """Everything held about an address, by section. Raises NotAnAddress."""
    email = _normalised(address)
    names, people = [email, keyed_hashes.hash_of(email)], Prospect.objects.filter(email=email)
    held: dict[str, Any] = {
        "email": email,
        "prospects": list(people.values()),
        "unsubscribes": list(Unsubscribe.objects.filter(email__in=names).order_by("pk").values()),
        "retired_unsubscribe_tokens": list(RetiredToken.objects.filter(email__in=names).values()),
        "rejected_import_rows": list(RejectedRow.objects.filter(email__iexact=email).order_by("pk").values()),
        "admin_log": list(_log_entries(email, _ids(email)).order_by("pk").values()),
        "requests": list(PersonRequest.objects.filter(email_hash=names[1]).order_by("pk").values()),
        **erasing.export(email, _mails(email)),
    }
    answers: Iterable[tuple[Any, Any]] = signals.person_exported.send(sender=Prospect, email=email, prospect_ids=_ids(email))
    for _, sections in answers:
        held |= sections or {}
    counts = {name: len(rows) for name, rows in held.items() if isinstance(rows, list)}
    _audit(PersonRequest.Kind.EXPORT, email, by=by, why=erasing.without_addresses(why.strip()), counts=counts, now=now)
    return held


def _erase(email: str, *, now: datetime) -> dict[str, int]:
    # Events, addresses, people, sends: the order of locks everywhere.
    counts = erasing.redact_events(email, _mails(email)) | erasing.keep_no(email)
    people = list(Prospect.objects.select_for_update().filter(email=email))
    ids = [person.pk for person in people]
    answers: Iterable[tuple[Any, Any]] = signals.person_erased.send(sender=Prospect, email=email, prospect_ids=ids, now=now)
    for _, erased in answers:
        counts |= erased or {}
    counts["admin_log"] = _forget_log(email, ids)
    for person in people:
        person.delete()  # retires the link in their old mails
    return counts | {"prospects": len(ids)} | _anonymise(email) | erasing.erase(email)


def _anonymise(email: str) -> dict[str, int]:
    left = keyed_hashes.hash_of(email)
    rejected = RejectedRow.objects.filter(email__iexact=email)
    return {
        "unsubscribes": Unsubscribe.objects.filter(email=email).update(email=left, user_agent=""),
        "unsubscribe_tokens": RetiredToken.objects.filter(email=email).update(email=left),
        "rejected_import_rows": rejected.update(email=_ERASED, detail=_ERASED),
    }


def _forget_log(email: str, ids: list[int]) -> int:
    return _log_entries(email, ids).update(object_repr=keyed_hashes.hash_of(email), change_message="")


def _log_entries(email: str, ids: list[int]) -> QuerySet[LogEntry]:
    of_person = Q(content_type=ContentType.objects.get_for_model(Prospect), object_id__in=[str(pk) for pk in ids])
    return LogEntry.objects.filter(of_person | Q(object_repr__icontains=email) | Q(change_message__icontains=email))


def _mails(email: str) -> erasing.Mails:
    """The ids of every mail to the person, told by the apps that send."""
    message_ids, send_ids = set[str](), set[str]()
    answers: Iterable[tuple[Any, Any]] = signals.person_mails.send(sender=Prospect, email=email, prospect_ids=_ids(email))
    for _, (messages, tags) in answers:
        message_ids |= messages
        send_ids |= tags
    return message_ids, send_ids


def _ids(email: str) -> list[int]:
    return list(Prospect.objects.filter(email=email).values_list("pk", flat=True))


def _audit(kind: PersonRequest.Kind, email: str, *, by: str, why: str, counts: dict[str, int], now: datetime) -> None:
    words = {"requested_by": by, "requested_at": now, "why": why, "counts": counts}
    PersonRequest.objects.create(kind=kind, email_hash=keyed_hashes.hash_of(email), **words)


def _normalised(address: str) -> str:
    try:
        return addresses.normalise(address)
    except addresses.InvalidAddress as error:
        raise NotAnAddress(f"Not an e-mail address: {error}.") from error
