"""A person's rights in this app's own tables: the list, its audit, events. The caller's transaction is all or nothing.

What is left of an address is its keyed hash, so that events that come later still find their mail, and a no still
counts. A redacted event says the same about its mail, and nothing about the person.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Replace

from notifications import suppressing
from notifications.models import EmailEvent, SesListConflict, SoftBounce, Suppression, SuppressionLift, SuppressionReason
from outreach import keyed_hashes

# Message ids and our own tags.
Mails = tuple[set[str], set[str]]

_ADDRESS = re.compile(r"[^\s<>\"',;:()\[\]]+@[^\s<>\"',;:()\[\]]+")
# What mail programs and servers tell about a person, and what the mail itself said to them.
_TELLING = frozenset({"headers", "commonHeaders", "ipAddress", "userAgent", "link", "linkTags", "sourceIp", "remoteMtaIp"})
_NAMING = frozenset({"emailAddress", "destination", "recipients"})
_ERASED = "(erased)"
_BATCH = 200

_NAMED_IN = "SELECT id FROM email_events WHERE position(%s in lower(encode(body, 'escape'))) > 0"


def redact_events(email: str, mails: Mails) -> dict[str, int]:
    """Redact the events of these mails and those that name the address, then hold off whoever applies events.

    First of all, as `recording` does: events, then its own lock, then addresses, people, sends.
    """
    events = EmailEvent.objects.filter(Q(pk__in=_naming(email)) | _of_mails(mails))
    counts = {"events": redact(events, email=email)}
    suppressing.one_writer_at_a_time()
    return counts


def _of_mails(mails: Mails) -> Q:
    """The events of these mails."""
    message_ids, send_ids = mails
    return Q(message_id__in=message_ids - {""}) | Q(send_id__in=send_ids - {""})


def keep_no(email: str) -> dict[str, int]:
    """Lock what the list knows about the address, before people and sends, as everything that says no does; it stays.

    With SUPPRESSION_KEEP=hash it stays under the hash alone. Returns counts.
    """
    list(suppressing.listed(email).order_by("email").select_for_update())
    hashed = _keep_hash(email, keyed_hashes.hash_of(email)) if settings.SUPPRESSION_KEEP == "hash" else 0
    return {"suppressions_hashed": hashed}


def erase(email: str) -> dict[str, int]:
    """Erase the address from the audits of this app. Returns counts."""
    left = keyed_hashes.hash_of(email)
    lifts = SuppressionLift.objects.filter(email=email)
    return {
        "lifts": lifts.update(email=left, why=Replace("why", Value(email), Value(_ERASED))),
        "soft_bounces": SoftBounce.objects.filter(email=email).delete()[0],
        "ses_conflicts": _erase_conflicts(email, left),
    }


def redact(events: QuerySet[EmailEvent], *, email: str) -> int:
    """Leave of these events what they say about the mail, without the person; returns how many there were."""
    ids, redacted = list(events.order_by("pk").values_list("pk", flat=True)), 0
    for at in range(0, len(ids), _BATCH):
        rows = list(EmailEvent.objects.filter(pk__in=ids[at : at + _BATCH]).order_by("pk").select_for_update())
        for row in rows:
            row.body = without_person(bytes(row.body), email)
        redacted += EmailEvent.objects.bulk_update(rows, ["body"])
    return redacted


def export(email: str, mails: Mails) -> dict[str, Any]:
    """Everything this app holds about a normalised address and the mails that were sent to it."""
    names = [email, keyed_hashes.hash_of(email)]
    return {
        "suppressions": list(Suppression.objects.filter(email__in=names).values()),
        "suppression_lifts": list(SuppressionLift.objects.filter(email__in=names).order_by("pk").values()),
        "soft_bounces": list(SoftBounce.objects.filter(email__in=names).order_by("pk").values()),
        "ses_list_conflicts": list(SesListConflict.objects.filter(_spelled(email)).order_by("pk").values()),
        "events": _describe(EmailEvent.objects.filter(Q(pk__in=_naming(email)) | _of_mails(mails))),
    }


def _describe(events: QuerySet[EmailEvent]) -> list[dict[str, Any]]:
    """Events with their bodies as JSON, the oldest first."""
    names = ("id", "event_type", "message_id", "send_id", "occurred_at", "received_at", "route", "state", "outcome")
    rows = events.order_by("pk").values(*names, "body")
    return [{**row, "body": _readable(bytes(row["body"]))} for row in rows]


def without_addresses(text: str) -> str:
    """The text with every e-mail address in it taken out."""
    return _ADDRESS.sub(_ERASED, text)


def without_person(body: bytes, email: str) -> bytes:
    """An event's body without the person; one that is no JSON becomes an empty object."""
    try:
        event = json.loads(body)
        if isinstance(inner := event.get("Message"), str):
            event["Message"] = json.dumps(_pruned(json.loads(inner), keyed_hashes.hash_of(email)))
            return json.dumps(event).encode()
        return json.dumps(_pruned(event, keyed_hashes.hash_of(email))).encode()
    except (ValueError, AttributeError, RecursionError):
        return b"{}"


def _pruned(value: Any, left: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item, left, key) for key, item in value.items() if key not in _TELLING}
    if isinstance(value, list):
        return [_pruned(item, left, name) for item in value]
    if not isinstance(value, str):
        return value
    if name in _NAMING:
        return left
    # Our own sender, in `source`, is not the person.
    return value if name in {"source", "sourceArn"} else without_addresses(value)


def _keep_hash(email: str, left: str) -> int:
    """The suppression under the hash instead of the address; of two the stronger reason counts."""
    kept = 0
    for row in Suppression.objects.filter(email=email):
        since, reason = {left: row.suppressed_at}, SuppressionReason(row.reason)
        if row.unsubscribed_at:
            suppressing.suppress_since({left: row.unsubscribed_at}, reason=SuppressionReason.UNSUBSCRIBE, source=row.source)
        suppressing.suppress_since(since, reason=reason, source=row.source)
        row.delete()
        kept += 1
    return kept


def _erase_conflicts(email: str, left: str) -> int:
    rows = SesListConflict.objects.filter(_spelled(email))
    return rows.filter(settled_at=None).delete()[0] + rows.update(address=left)


def _spelled(email: str) -> Q:
    return Q(address__iexact=email)


def _naming(email: str) -> Iterable[int]:
    """The events whose body names the address, in any case. Reads the whole inbox: minutes for many millions of events."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_NAMED_IN, [email.lower()])
        return [pk for (pk,) in cursor.fetchall()]


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
