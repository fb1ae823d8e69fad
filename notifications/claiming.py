"""The outbox' rows on their way: claimed, started, settled, released. The discipline of `campaigns.claiming`.

A lease that ends before the call started goes back to waiting, and one that ends after it is unknown,
because the mail may have left: no machine sends it again.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from notifications import ledgers, patience, recording, suppressing
from notifications.ledgers import Settled
from notifications.models import BLOCKS_ALL_MAIL, DeliveryStatus, SkipReason, TransactionalContent, TransactionalEmail
from notifications.transports.base import Verdict
from outreach import keyed_hashes

# Of those who were erased, too: a no to outreach blocks no mail of this kind.
_BLOCKED_BY_HASH = suppressing.LISTED_BY_HASH.replace("hashed.email =", "hashed.reason = ANY(%(blocking)s) AND hashed.email =")

_CLAIM = """
WITH picked AS (
    SELECT id, email FROM transactional_emails
     WHERE status = 'queued' AND (retry_at IS NULL OR retry_at <= clock_timestamp())
     ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT picked.id,
           EXISTS (SELECT FROM email_suppressions x WHERE x.email = picked.email AND x.reason = ANY(%(blocking)s))
           OR {listed_by_hash} AS no
      FROM picked
)
UPDATE transactional_emails t
   SET claimed_by  = CASE WHEN NOT no THEN %(slice)s::uuid END,
       lease_until = CASE WHEN NOT no THEN clock_timestamp() + %(lease)s * interval '1 second' END,
       skipped_at  = CASE WHEN no THEN clock_timestamp() END,
       skip_reason = CASE WHEN no THEN %(suppressed)s ELSE '' END
  FROM judged WHERE t.id = judged.id
RETURNING t.id, no
""".replace("{listed_by_hash}", _BLOCKED_BY_HASH.replace("{column}", "picked.email"))

_START = """
UPDATE transactional_emails t
   SET call_started_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s * interval '1 second'
 WHERE t.id = ANY(%(ids)s::bigint[]) AND t.claimed_by = %(slice)s AND t.call_started_at IS NULL
   AND t.sent_at IS NULL AND t.lease_until > clock_timestamp()
   AND NOT EXISTS (SELECT FROM email_suppressions x WHERE x.email = t.email AND x.reason = ANY(%(blocking)s))
   AND NOT {listed_by_hash}
RETURNING t.id
""".replace("{listed_by_hash}", _BLOCKED_BY_HASH.replace("{column}", "t.email"))

_RETRY = """retry_at   = CASE o.verdict WHEN 'wait' THEN clock_timestamp() + o.rest * interval '1 second'
                                   WHEN 'halt' THEN clock_timestamp() + %(halt)s * interval '1 second' END"""
_RECORD = ledgers.record_statement("transactional_emails", more=_RETRY)
_RELEASE = ledgers.release_statement("transactional_emails")

# A lease that ends minutes from now was given by a clock that has been set back since.
_RECLAIM = """
WITH expired AS (
    SELECT id FROM transactional_emails
     WHERE lease_until < clock_timestamp() OR lease_until > clock_timestamp() + interval '10 minutes'
     ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE transactional_emails t
   SET unknown_at = CASE WHEN call_started_at IS NULL OR sent_at IS NOT NULL THEN unknown_at ELSE clock_timestamp() END,
       error      = CASE WHEN call_started_at IS NULL OR sent_at IS NOT NULL THEN error ELSE %(why)s END,
       claimed_by = NULL, lease_until = NULL
  FROM expired WHERE t.id = expired.id
RETURNING t.status
"""

# Longer than what waits behind it rests. Its own sender may be at fault, so the others need not wait for it.
_HALT_SECONDS = 300.0
_LOST_DURING_CALL = "The worker was lost during the call to SES: the mail may have left."
_TOO_LATE = "It could not leave for {hours} hours and was given up (TRANSACTIONAL_GIVE_UP_HOURS)."
# What a mail says that may have left is kept this long, so that a person can look and decide.
_UNKNOWN_KEPT = timedelta(days=7)
_BATCH = 1000
_LATEST = 50_000
# So many mails may have left without an answer, or this share of a minute's, before everybody rests.
_TOLERATED_UNKNOWN = 5
_UNKNOWN_SHARE = 0.01
_DONE = {Verdict.ACCEPTED, Verdict.REFUSED}


def claim(*, slice_id: UUID, limit: int, lease: float) -> tuple[list[int], int]:
    """Claim up to `limit` waiting rows for `lease` seconds, the oldest first; suppressed ones are skipped.

    Returns the ids of the claimed rows, in order, and how many were skipped.
    """
    values: dict[str, Any] = {"slice": slice_id, "limit": limit, "lease": lease, "suppressed": SkipReason.SUPPRESSED}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values | {"blocking": list(BLOCKS_ALL_MAIL)} | keyed_hashes.parameters())
        rows = cursor.fetchall()
    claimed = sorted(id_ for id_, no in rows if not no)
    return claimed, len(rows) - len(claimed)


class TransactionalLedger:
    """The outbox' rows that one worker has claimed; `call_lease` seconds outlast any call."""

    def __init__(self, *, slice_id: UUID, call_lease: float) -> None:
        self.slice_id, self.call_lease = slice_id, call_lease

    def start(self, ids: list[int]) -> set[int]:
        """Mark calls started where the address still allows it; returns those ids."""
        values: dict[str, Any] = {
            "ids": ledgers.as_array(ids),
            "slice": self.slice_id,
            "lease": self.call_lease,
            "blocking": list(BLOCKS_ALL_MAIL),
        }
        return ledgers.mark_started(_START, values | keyed_hashes.parameters())

    def record(self, settled: Sequence[Settled]) -> None:
        """Store outcomes; a late acceptance fills an empty message id and never overwrites one."""
        rows = ledgers.as_rows(settled, now=time.monotonic())
        patience.patiently(partial(_store_outcomes, rows, self.slice_id))

    def give_sign_of_life(self) -> None:
        """Nobody looks for any: whoever finds mail that is late sends it."""

    def release(self, ids: Sequence[int]) -> None:
        """Return claims whose call was not started to waiting."""
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, {"ids": ledgers.as_array(ids), "slice": self.slice_id})


def _store_outcomes(rows: list[dict[str, Any]], slice_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, {"outcomes": ledgers.as_json(rows), "slice": slice_id, "halt": _HALT_SECONDS})
    if not settings.EMAIL_CONTENT_DAYS:
        done = [row["id"] for row in rows if row["verdict"] in _DONE]
        TransactionalContent.objects.filter(email__in=done).delete()
    # Events that came before their mail was known; after the commit, so that one of the two finds the other.
    recording.unpark(message_ids=[row["message_id"] for row in rows if row["message_id"]])


def rest_all(*, until: datetime, error: str) -> None:
    """Let nothing that waits be tried before `until`: a person must act first. What is posted later tries at once."""
    waiting = TransactionalEmail.objects.filter(Q(retry_at=None) | Q(retry_at__lt=until), status=DeliveryStatus.QUEUED)
    waiting.update(retry_at=until, error=error[:2000])


def is_silent(*, now: datetime) -> bool:
    """Whether SES left more than a few of the last minute's mails, and more than one in a hundred, without an answer."""
    minute, mails = now - timedelta(seconds=60), TransactionalEmail.objects
    newest = mails.order_by("-pk").values_list("pk", flat=True).first() or 0
    # The last minute's are among the latest that were posted; there may be millions before them.
    latest = mails.filter(pk__gt=newest - _LATEST)
    unknown = latest.filter(status=DeliveryStatus.UNKNOWN, unknown_at__gt=minute).exclude(error=_LOST_DURING_CALL).count()
    if unknown <= _TOLERATED_UNKNOWN:
        return False
    return unknown > _UNKNOWN_SHARE * latest.filter(call_started_at__gt=minute).count()


def waiting_since(*, now: datetime) -> datetime | None:
    """When the oldest mail that may leave now was posted; None when none waits."""
    due = Q(retry_at=None) | Q(retry_at__lte=now)
    waiting = TransactionalEmail.objects.filter(due, status=DeliveryStatus.QUEUED)
    return waiting.order_by("id").values_list("created_at", flat=True).first()


def reclaim_expired() -> dict[str, int]:
    """End the leases that ran out: not started → waiting, started → unknown. Returns counts by status."""
    with connection.cursor() as cursor:
        cursor.execute(_RECLAIM, {"why": _LOST_DURING_CALL})
        statuses = [status for (status,) in cursor.fetchall()]
    return {status: statuses.count(status) for status in set(statuses)}


def give_up(*, hours: int, now: datetime) -> int:
    """Fail what has waited longer than that: its news is old, and its links have expired. Returns how many."""
    late = TransactionalEmail.objects.filter(status=DeliveryStatus.QUEUED, created_at__lt=now - timedelta(hours=hours))
    return late.update(failed_at=now, error=_TOO_LATE.format(hours=hours), retry_at=None)


def forget_contents(*, days: int, now: datetime) -> int:
    """Delete what settled mails said, `days` after they were settled; returns how many."""
    before = now - timedelta(days=days)
    settled = Q(email__sent_at__lte=before) | Q(email__failed_at__lte=before) | Q(email__skipped_at__lte=before)
    unknown = Q(email__unknown_at__lte=now - max(_UNKNOWN_KEPT, timedelta(days=days)))
    # The oldest that are kept, however many there are: what waits is given up after a while and makes room.
    oldest = list(TransactionalContent.objects.order_by("pk").values_list("pk", flat=True)[:_BATCH])
    return TransactionalContent.objects.filter(settled | unknown, pk__in=oldest).delete()[0]
