"""Events → sends: which row an event is about, and the facts it adds to it.

A fact is written as the least of old and new, and the row's status follows from the facts in the
database itself; so events may come late, twice or backwards.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection

from campaigns.models import EmailSend
from notifications import meaning
from notifications.ses_events import SesEvent
from notifications.signals import KnownMail

_FACTS = (
    "sent_at",
    "delivered_at",
    "delayed_at",
    "opened_at",
    "clicked_at",
    "bounced_at",
    "complained_at",
    "rejected_at",
    "unsubscribed_at",
)

# The rows are locked in the order of their ids before they change, so that two batches cannot deadlock.
# `error` tells of the earliest bounce, or else of the earliest refusal (ties: the lesser text), whatever
# the order of arrival. Only constants of this module are interpolated.
_RECORD = f"""
WITH told AS (
    SELECT * FROM unnest(%(id)s::bigint[], %(message_id)s::text[], %(error)s::text[],
                         {", ".join(f"%({fact})s::timestamptz[]" for fact in _FACTS)})
                  AS t (id, message_id, error, {", ".join(_FACTS)})
), locked AS (
    SELECT s.id FROM email_sends s JOIN told USING (id) ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE email_sends s
   SET {", ".join(f"{fact} = least(s.{fact}, t.{fact})" for fact in _FACTS)},
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
"""  # noqa: S608

_UNSUBSCRIBED = """
WITH locked AS (
    SELECT s.id FROM email_sends s JOIN email_campaigns c ON c.id = s.campaign_id
     WHERE c.key = %(key)s AND s.prospect_id = ANY(%(prospects)s)
     ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE email_sends s SET unsubscribed_at = least(s.unsubscribed_at, %(now)s::timestamptz) FROM locked WHERE s.id = locked.id
"""

_TAKEN_BACK = """
WITH locked AS (
    SELECT id FROM email_sends WHERE prospect_id = ANY(%(prospects)s) AND unsubscribed_at = %(said_at)s
     ORDER BY id FOR NO KEY UPDATE
)
UPDATE email_sends s SET unsubscribed_at = NULL FROM locked WHERE s.id = locked.id
"""


def look_up(events: Iterable[SesEvent]) -> dict[str, KnownMail]:
    """Whose mail each event is about, by its fingerprint; only for mails of campaigns."""
    return {event.fingerprint: KnownMail(send.email, send.campaign.key) for event, send in _match(list(events))}


def record(events: Iterable[SesEvent]) -> None:
    """Add what the events state to their sends. Leases are the workers' business and stay as they are."""
    told: dict[int, list[tuple[SesEvent, EmailSend]]] = defaultdict(list)
    for event, send in _match(list(events)):
        told[send.pk].append((event, send))
    rows = [_row(pairs) for _, pairs in sorted(told.items())]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_RECORD, {name: [row.get(name) for row in rows] for name in ("id", "message_id", "error", *_FACTS)})


def record_unsubscribes(prospect_ids: list[int], *, campaign_key: str, now: datetime) -> None:
    """Note on the send through which people left that they did; without a campaign nothing changes."""
    if campaign_key:
        with connection.cursor() as cursor:
            cursor.execute(_UNSUBSCRIBED, {"key": campaign_key, "prospects": prospect_ids, "now": now})


def forget_unsubscribes(prospect_ids: list[int], *, said_at: datetime) -> None:
    """Remove the note of a no that was said at that very moment and taken back since."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN_BACK, {"prospects": prospect_ids, "said_at": said_at})


def addresses_mailed(prospect_ids: list[int]) -> list[str]:
    """Every address under which campaigns have known these people; they may have another one now."""
    return list(EmailSend.objects.filter(prospect_id__in=prospect_ids).values_list("email", flat=True).distinct())


def _match(events: list[SesEvent]) -> list[tuple[SesEvent, EmailSend]]:
    """Each event with its send: the row that stores its message id, else the row that its tag names.

    A tag may give a row its message id, and never moves an event to a row that has another one.
    """
    message_ids = {event.message_id for event in events}
    # Said twice, because an index for message ids that are not empty serves only who asks for such.
    by_message = EmailSend.objects.filter(message_id__in=message_ids).exclude(message_id="")
    found = {send.message_id: send for send in _lean(by_message).order_by("-pk")}
    for event, send in _tagged([event for event in events if event.message_id not in found]):
        found.setdefault(event.message_id, send)
    return [(event, found[event.message_id]) for event in events if event.message_id in found]


def _tagged(events: list[SesEvent]) -> Iterable[tuple[SesEvent, EmailSend]]:
    """Events with the send their tag names, while it has no message id: one message for each send."""
    tags = {event.fingerprint: tag for event in events if (tag := _parse_tag(event.send_id))}
    sends = _lean(EmailSend.objects.filter(pk__in={pk for _, pk in tags.values()}, message_id="")) if tags else ()
    free = {(send.campaign.key, send.pk): send for send in sends}
    taken: dict[int, str] = {}
    for event in events:
        send = free.get(tags.get(event.fingerprint, ("", 0)))
        if send and taken.setdefault(send.pk, event.message_id) == event.message_id:
            yield event, send


def _parse_tag(send_id: str) -> tuple[str, int] | None:
    """A send's tag as (campaign key, row id); None for what is none of ours."""
    key, _, pk = send_id.rpartition("-")
    return (key, int(pk)) if key and pk.isascii() and pk.isdecimal() and len(pk) <= 18 else None


def _lean(sends: Any) -> Any:
    return sends.select_related("campaign").only("pk", "email", "message_id", "campaign__key")


def _row(told: list[tuple[SesEvent, EmailSend]]) -> dict[str, Any]:
    """One row of the update: the earliest time of each fact, and the words for the worst of them."""
    event, send = told[0]
    row: dict[str, Any] = {"id": send.pk, "message_id": event.message_id, "error": ""}
    words = []
    for event, _ in told:
        stated = meaning.facts(event, send.email)
        for fact, moment in stated.items():
            row[fact] = min(moment, row.get(fact, moment))
        if went_wrong := stated.get("bounced_at") or stated.get("rejected_at"):
            words.append(("bounced_at" not in stated, went_wrong, meaning.reason(event)))
    return row | {"error": min(words)[2]} if words else row
