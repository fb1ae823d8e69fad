"""Events → sends: which row an event is about, and the facts it adds to it.

A fact is written as the least of old and new, and the row's status follows from the facts in the
database itself; so events may come late, twice or backwards.

A send that a person had sent again (`settling`) has several attempts, each with its own tag and message id. The row
speaks of the latest; an event about an earlier one states its facts about the same person all the same.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from campaigns import composing
from campaigns.models import Campaign, EmailSend, SendAttempt
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
    "soft_bounced_at",
    "not_attempted_at",
    "complained_at",
    "rejected_at",
    "unsubscribed_at",
)

# The rows are locked in the order of their ids before they change, so that two batches cannot deadlock.
# `error` tells of the earliest bounce, or else of the earliest refusal (ties: the lesser text), whatever
# the order of arrival. Only constants of this module are interpolated.
_RECORD = f"""
WITH told AS (
    SELECT * FROM unnest(%(id)s::bigint[], %(message_id)s::text[], %(earlier_id)s::text[], %(error)s::text[],
                         {", ".join(f"%({fact})s::timestamptz[]" for fact in _FACTS)})
                  AS t (id, message_id, earlier_id, error, {", ".join(_FACTS)})
), locked AS (
    SELECT s.id FROM email_sends s JOIN told USING (id) ORDER BY s.id FOR NO KEY UPDATE OF s
)
UPDATE email_sends s
   SET {", ".join(f"{fact} = least(s.{fact}, t.{fact})" for fact in _FACTS)},
       message_id = CASE WHEN t.message_id <> '' THEN t.message_id
                         WHEN s.message_id = '' AND s.call_started_at IS NULL THEN t.earlier_id
                         ELSE s.message_id END,
       error = CASE
           WHEN t.bounced_at IS NOT NULL THEN
               CASE WHEN s.bounced_at IS NULL OR (t.bounced_at, t.error COLLATE "C") < (s.bounced_at, s.error)
                    THEN t.error ELSE s.error END
           WHEN t.rejected_at IS NOT NULL AND s.bounced_at IS NULL THEN
               CASE WHEN s.rejected_at IS NULL OR (t.rejected_at, t.error COLLATE "C") < (s.rejected_at, s.error)
                    THEN t.error ELSE s.error END
           ELSE s.error END
  FROM told t JOIN locked USING (id)
 WHERE s.id = t.id AND (t.message_id = '' OR s.message_id IN ('', t.message_id))
   AND (s.message_id = '' AND (t.message_id <> '' OR s.call_started_at IS NULL)
        OR ({", ".join(f"least(s.{fact}, t.{fact})" for fact in _FACTS)})
           IS DISTINCT FROM ({", ".join(f"s.{fact}" for fact in _FACTS)})
        OR (t.bounced_at = s.bounced_at OR s.bounced_at IS NULL AND t.rejected_at = s.rejected_at)
           AND t.error COLLATE "C" < s.error)
"""  # noqa: S608

# Of an attempt that is not the row's own: the message id and what became of that very mail.
_RECORD_ATTEMPT = """
INSERT INTO email_send_attempts AS old (send_id, attempt, message_id, error, sent_at, rejected_at)
SELECT * FROM unnest(%(send)s::bigint[], %(attempt)s::int[], %(message_id)s::text[], %(error)s::text[],
                     %(sent_at)s::timestamptz[], %(rejected_at)s::timestamptz[])
ON CONFLICT (send_id, attempt) DO UPDATE
   SET message_id = excluded.message_id,
       sent_at = least(old.sent_at, excluded.sent_at), rejected_at = least(old.rejected_at, excluded.rejected_at),
       error = CASE WHEN excluded.error <> '' THEN excluded.error ELSE old.error END
 WHERE old.message_id IN ('', excluded.message_id)
"""

# By way of the campaigns: the index on (campaign, address) is asked once for each of them.
_DELIVERED = """
SELECT s.email, s.message_id, s.delivered_at
  FROM email_campaigns c
 CROSS JOIN LATERAL (SELECT email, message_id, delivered_at FROM email_sends
                      WHERE campaign_id = c.id AND email = ANY(%s) AND delivered_at IS NOT NULL) AS s
"""

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


@dataclass(frozen=True, slots=True)
class _Found:
    """The send that an event is about, and which of its attempts; `own` when that is the row's own."""

    send: EmailSend
    attempt: int
    own: bool


_Told = tuple[SesEvent, _Found]


def look_up(events: Iterable[SesEvent]) -> dict[str, KnownMail]:
    """Whose mail each event is about, by its fingerprint; only for mails of campaigns, and their rehearsals."""
    events = list(events)
    rehearsals = _rehearsals(events)
    known = {event.fingerprint: KnownMail("", rehearsal=True) for event in events if event.message_id in rehearsals}
    found = ((event.fingerprint, one.send) for event, one in _match(events))
    return known | {fingerprint: KnownMail(send.email, send.campaign.key) for fingerprint, send in found}


def delivered(emails: list[str]) -> dict[str, dict[str, datetime]]:
    """When campaigns' mails to these addresses were delivered, by address and message id."""
    history: dict[str, dict[str, datetime]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERED, [emails])
        for email, message_id, moment in cursor.fetchall():
            history[email][message_id] = moment
    return history


def record(events: Iterable[SesEvent]) -> int:
    """Add what the events state to their sends; returns how many changed.

    Leases are the workers' business and stay as they are.
    """
    told: dict[int, list[_Told]] = defaultdict(list)
    for event, found in _match(list(events)):
        told[found.send.pk].append((event, found))
    if not told:
        return 0
    rows = [_row(pairs) for _, pairs in sorted(told.items())]
    attempts = [_attempt_row(pairs) for _, group in sorted(told.items()) for pairs in _by_attempt(group)]
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, _columns(rows, ("id", "message_id", "earlier_id", "error", *_FACTS)))
        changed = int(cursor.rowcount)
        if attempts:
            names = ("send", "attempt", "message_id", "error", "sent_at", "rejected_at")
            cursor.execute(_RECORD_ATTEMPT, _columns(attempts, names))
    return changed


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


def _match(events: list[SesEvent]) -> list[_Told]:
    """Each event with its send: the row (or attempt) that stores its message id, else the one that its tag names.

    A tag may give an attempt its message id, and never moves an event to one that has another.
    """
    found = _by_message({event.message_id for event in events})
    for event, one in _tagged([event for event in events if event.message_id not in found]):
        found.setdefault(event.message_id, one)
    return [(event, found[event.message_id]) for event in events if event.message_id in found]


def _by_message(message_ids: set[str]) -> dict[str, _Found]:
    # Said twice, because an index for message ids that are not empty serves only who asks for such.
    sends = _lean(EmailSend.objects.filter(message_id__in=message_ids).exclude(message_id=""))
    found = {send.message_id: _Found(send, send.attempt, own=True) for send in sends.order_by("-pk")}
    if missing := message_ids - found.keys() - {""}:
        for one in SendAttempt.objects.filter(message_id__in=missing).exclude(message_id="").select_related("send__campaign"):
            found[one.message_id] = _Found(one.send, one.attempt, own=False)
    return found


def _tagged(events: list[SesEvent]) -> Iterable[_Told]:
    """Events with the attempt their tag names, while it has no message id: one message for each attempt."""
    tags = {event.fingerprint: tag for event in events if (tag := parse_tag(event.send_id))}
    sends = _lean(EmailSend.objects.filter(pk__in={pk for _, pk, _ in tags.values()})) if tags else ()
    known = {(send.campaign.key, send.pk): send for send in sends}
    occupied = _message_ids_of_attempts([send for send in known.values() if send.attempt > 1])
    taken: dict[tuple[int, int], str] = {}
    for event in events:
        key, pk, attempt = tags.get(event.fingerprint, ("", 0, 0))
        send = known.get((key, pk))
        found = _free(send, attempt, occupied) if send else None
        if found and taken.setdefault((pk, attempt), event.message_id) == event.message_id:
            yield event, found


def _free(send: EmailSend, attempt: int, occupied: dict[tuple[int, int], str]) -> _Found | None:
    """Where the message id of an attempt may go, or None when it has one."""
    if attempt > send.attempt or occupied.get((send.pk, attempt)):
        return None
    if attempt == send.attempt and not send.message_id:
        return _Found(send, attempt, own=True)
    # A late answer to an earlier call may have taken the row's place: then the attempt keeps its message id itself.
    return _Found(send, attempt, own=False) if send.attempt > 1 else None


def _message_ids_of_attempts(sends: list[EmailSend]) -> dict[tuple[int, int], str]:
    rows = SendAttempt.objects.filter(send__in=sends).values_list("send_id", "attempt", "message_id") if sends else ()
    return {(pk, attempt): message_id for pk, attempt, message_id in rows}


def parse_tag(send_id: str) -> tuple[str, int, int] | None:
    """A send's tag as (campaign key, row id, attempt); None for what is none of ours."""
    key, *numbers = send_id.split("-")
    if not key or len(numbers) not in {1, 2} or not all(_is_number(number) for number in numbers):
        return None
    pk, attempt = int(numbers[0]), int(numbers[1]) if len(numbers) == 2 else 1
    return (key, pk, attempt) if attempt > 1 or len(numbers) == 1 else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _rehearsals(events: list[SesEvent]) -> set[str]:
    """The message ids of test mails: their tag names a campaign of ours and no row, and no row is made of them."""
    keys = {event.message_id: key for event in events if (key := composing.rehearsed_campaign(event.send_id))}
    ours = set(Campaign.objects.filter(key__in=set(keys.values())).values_list("key", flat=True)) if keys else set()
    return {message_id for message_id, key in keys.items() if key in ours}


def _lean(sends: Any) -> Any:
    return sends.select_related("campaign").only("pk", "email", "message_id", "attempt", "campaign__key")


def _by_attempt(told: list[_Told]) -> Iterable[list[_Told]]:
    """The events of each attempt that is not the row's own."""
    attempts: dict[int, list[_Told]] = defaultdict(list)
    for event, found in told:
        if not found.own:
            attempts[found.attempt].append((event, found))
    return [attempts[attempt] for attempt in sorted(attempts)]


def _row(told: list[_Told]) -> dict[str, Any]:
    """One row of the update: the earliest time of each fact, and the words for the worst of them."""
    send = told[0][1].send
    own = next((event.message_id for event, found in told if found.own), "")
    row: dict[str, Any] = {"id": send.pk, "message_id": own, "earlier_id": "", "error": ""}
    words = []
    for event, found in told:
        stated = meaning.facts(event, send.email)
        if not found.own and "rejected_at" in stated:
            # That mail came to nothing; the person is still to get the one that was sent instead.
            continue
        if not found.own:
            row["earlier_id"] = event.message_id
        for fact, moment in stated.items():
            row[fact] = min(moment, row.get(fact, moment))
        if went_wrong := stated.get("bounced_at") or stated.get("rejected_at"):
            words.append(("bounced_at" not in stated, went_wrong, meaning.reason(event)))
    return row | {"error": min(words)[2]} if words else row


def _attempt_row(told: list[_Told]) -> dict[str, Any]:
    """What the events say of one attempt: its message id, when SES took it, or that it was rejected, and why."""
    event, found = told[0]
    row: dict[str, Any] = {"send": found.send.pk, "attempt": found.attempt, "message_id": event.message_id, "error": ""}
    for event, _ in told:
        stated = meaning.facts(event, found.send.email)
        for fact in {"sent_at", "rejected_at"} & stated.keys():
            row[fact] = min(stated[fact], row.get(fact, stated[fact]))
        if {"bounced_at", "rejected_at"} & stated.keys():
            row["error"] = meaning.reason(event)
    return row


def _columns(rows: list[dict[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in names}
