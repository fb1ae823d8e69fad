"""Events → transactional mail: which row an event is about, and the facts it adds to it.

The rules of `campaigns.tracking`: a fact is the least of old and new, so that order and repetition cannot matter.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

from django.db import connection
from django.db.models import Q, QuerySet

from notifications import meaning
from notifications.models import EmailEvent, TransactionalEmail
from notifications.ses_events import SesEvent
from notifications.signals import KnownMail

# The facts of a mail, in the order in which they happen when all goes well.
FACTS = {
    "created_at": "accepted into the outbox",
    "skipped_at": "skipped",
    "call_started_at": "handed to SES",
    "sent_at": "accepted by SES",
    "failed_at": "failed",
    "unknown_at": "no answer from SES",
    "rejected_at": "rejected by SES",
    "delayed_at": "delivery delayed",
    "delivered_at": "delivered",
    "opened_at": "opened",
    "clicked_at": "clicked",
    "soft_bounced_at": "bounced for now",
    "not_attempted_at": "not attempted by SES",
    "bounced_at": "bounced",
    "complained_at": "reported as spam",
}
_TOLD = (
    *("sent_at", "delivered_at", "delayed_at", "opened_at", "clicked_at"),
    *("soft_bounced_at", "not_attempted_at", "bounced_at", "complained_at", "rejected_at"),
)
_TAG = re.compile(r"t-([0-9a-f]{24})")
_EVENTS_SHOWN = 100

# Locked in the order of their ids, so that two batches cannot deadlock. `error` tells of the earliest bounce, or
# else of the earliest refusal. Only constants of this module are interpolated.
_RECORD = f"""
WITH told AS (
    SELECT * FROM unnest(%(id)s::bigint[], %(message_id)s::text[], %(error)s::text[],
                         {", ".join(f"%({fact})s::timestamptz[]" for fact in _TOLD)})
                  AS t (id, message_id, error, {", ".join(_TOLD)})
), locked AS (
    SELECT s.id FROM transactional_emails s JOIN told USING (id) ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE transactional_emails s
   SET {", ".join(f"{fact} = least(s.{fact}, t.{fact})" for fact in _TOLD)},
       message_id = t.message_id,
       error = CASE
           WHEN t.bounced_at IS NOT NULL THEN
               CASE WHEN s.bounced_at IS NULL OR (t.bounced_at, t.error COLLATE "C") < (s.bounced_at, s.error)
                    THEN t.error ELSE s.error END
           WHEN t.rejected_at IS NOT NULL AND s.bounced_at IS NULL THEN
               CASE WHEN s.rejected_at IS NULL OR (t.rejected_at, t.error COLLATE "C") < (s.rejected_at, s.error)
                    THEN t.error ELSE s.error END
           ELSE s.error END
  FROM told t JOIN locked USING (id)
 WHERE s.id = t.id AND s.message_id IN ('', t.message_id)
   AND (s.message_id = ''
        OR ({", ".join(f"least(s.{fact}, t.{fact})" for fact in _TOLD)})
           IS DISTINCT FROM ({", ".join(f"s.{fact}" for fact in _TOLD)})
        OR (t.bounced_at = s.bounced_at OR s.bounced_at IS NULL AND t.rejected_at = s.rejected_at)
           AND t.error COLLATE "C" < s.error)
"""  # noqa: S608


def look_up(events: Iterable[SesEvent]) -> dict[str, KnownMail]:
    """Whose mail each event is about, by its fingerprint; only for transactional mail."""
    return {event.fingerprint: KnownMail(email.email) for event, email in _match(list(events))}


def delivered(emails: list[str]) -> dict[str, dict[str, datetime]]:
    """When transactional mails to these addresses were delivered, by address and message id."""
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    rows = TransactionalEmail.objects.filter(email__in=emails, delivered_at__isnull=False)
    for email, message_id, moment in rows.values_list("email", "message_id", "delivered_at"):
        found[email][message_id] = cast(datetime, moment)
    return found


def record(events: Iterable[SesEvent]) -> int:
    """Add what the events state to their mails; returns how many changed.

    Leases are the workers' business and stay as they are.
    """
    told: dict[int, list[tuple[SesEvent, TransactionalEmail]]] = defaultdict(list)
    for event, email in _match(list(events)):
        told[email.pk].append((event, email))
    rows = [_row(pairs) for _, pairs in sorted(told.items())]
    if not rows:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, {name: [row.get(name) for row in rows] for name in ("id", "message_id", "error", *_TOLD)})
        return int(cursor.rowcount)


def history(email: TransactionalEmail) -> list[dict[str, Any]]:
    """What is known to have happened, the earliest first: when (`at`), what, and by which column (`fact`)."""
    order = list(FACTS)
    known = [(moment, order.index(fact), fact) for fact in order if (moment := getattr(email, fact))]
    return [{"at": moment, "what": FACTS[fact], "fact": fact} for moment, _, fact in sorted(known)]


def events_of(email: TransactionalEmail) -> QuerySet[EmailEvent]:
    """The events of a mail, the earliest first: by our own id, or by that of SES; each has its index."""
    about = Q(send_id=email.send_id) | (Q(message_id=email.message_id) if email.message_id else Q(pk__in=[]))
    return EmailEvent.objects.filter(about).defer("body").order_by("occurred_at", "pk")[:_EVENTS_SHOWN]


def _match(events: list[SesEvent]) -> list[tuple[SesEvent, TransactionalEmail]]:
    """Each event with its mail: the row that stores its message id, else the row that its tag names.

    A tag may give a row its message id, and never moves an event to a row that has another one.
    """
    message_ids = {event.message_id for event in events}
    # Said twice, because an index for message ids that are not empty serves only who asks for such.
    by_message = TransactionalEmail.objects.filter(message_id__in=message_ids).exclude(message_id="")
    found = {email.message_id: email for email in _lean(by_message).order_by("-pk")}
    for event, email in _tagged([event for event in events if event.message_id not in found]):
        found.setdefault(event.message_id, email)
    return [(event, found[event.message_id]) for event in events if event.message_id in found]


def _tagged(events: list[SesEvent]) -> Iterable[tuple[SesEvent, TransactionalEmail]]:
    """Events with the mail their tag names, while it has no message id: one message for each row."""
    keys = {event.fingerprint: tag[1] for event in events if (tag := _TAG.fullmatch(event.send_id))}
    emails = _lean(TransactionalEmail.objects.filter(key__in=set(keys.values()), message_id="")) if keys else ()
    free = {email.key: email for email in emails}
    taken: dict[int, str] = {}
    for event in events:
        email = free.get(keys.get(event.fingerprint, ""))
        if email and taken.setdefault(email.pk, event.message_id) == event.message_id:
            yield event, email


def _lean(emails: QuerySet[TransactionalEmail]) -> QuerySet[TransactionalEmail]:
    return emails.only("pk", "email", "message_id", "key")


def _row(told: list[tuple[SesEvent, TransactionalEmail]]) -> dict[str, Any]:
    """One row of the update: the earliest time of each fact, and the words for the worst of them."""
    event, email = told[0]
    row: dict[str, Any] = {"id": email.pk, "message_id": event.message_id, "error": ""}
    words = []
    for event, _ in told:
        stated = meaning.facts(event, email.email)
        for fact, moment in stated.items():
            if fact in _TOLD:  # leaving a list is news about a person, not about such a mail
                row[fact] = min(moment, row.get(fact, moment))
        if went_wrong := stated.get("bounced_at") or stated.get("rejected_at"):
            words.append(("bounced_at" not in stated, went_wrong, meaning.reason(event)))
    return row | {"error": min(words)[2]} if words else row
