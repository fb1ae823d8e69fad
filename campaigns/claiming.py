"""The ledger's rows on their way: claimed, started, settled, released. One set-based statement each.

A row is claimed with a lease, and a second statement, committed right before the call, marks that
the call starts; both ask whether the campaign still sends and the person may still be written to.
So a lease that ends before the call started goes back to waiting, and one that ends after it is
unknown, because the mail may have left: no machine sends it again.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection

from campaigns.models import SkipReason
from notifications import ledgers, patience, recording, suppressing
from notifications.ledgers import Settled
from notifications.transports.base import Verdict
from outreach import keyed_hashes

# The campaign first, as everybody else locks it: whoever starts it again may hold it and want a person, and whoever deletes
# the person may want their rows.
_CLAIM = """
WITH sending AS MATERIALIZED (
    SELECT id FROM email_campaigns WHERE id = %(campaign)s AND status = 'sending' FOR SHARE
), picked AS (
    SELECT s.id, s.email, s.prospect_id
      FROM email_sends s
     WHERE s.campaign_id = %(campaign)s AND s.status = 'queued' AND EXISTS (SELECT FROM sending)
     ORDER BY s.id LIMIT %(limit)s
       FOR UPDATE OF s SKIP LOCKED
), judged AS (
    SELECT picked.id, p.first_name, p.last_name, p.company, p.attributes, p.unsubscribe_token,
           CASE WHEN p.id IS NULL THEN %(deleted)s
                WHEN p.status <> 'active' THEN p.status
                WHEN x.id IS NOT NULL OR {listed_by_hash} THEN %(suppressed)s
                WHEN p.email <> picked.email THEN %(changed)s
                ELSE '' END AS skip
      FROM picked
      LEFT JOIN prospects p ON p.id = picked.prospect_id
      LEFT JOIN email_suppressions x ON x.email = picked.email
)
UPDATE email_sends s
   SET claimed_by  = CASE WHEN skip = '' THEN %(slice)s::uuid END,
       lease_until = CASE WHEN skip = '' THEN clock_timestamp() + %(lease)s * interval '1 second' END,
       skipped_at  = CASE WHEN skip <> '' THEN clock_timestamp() END,
       skip_reason = skip
  FROM judged WHERE s.id = judged.id
RETURNING s.id, s.email, skip, first_name, last_name, company, attributes, unsubscribe_token
""".replace("{listed_by_hash}", suppressing.LISTED_BY_HASH.replace("{column}", "picked.email"))

_START = """
UPDATE email_sends s
   SET call_started_at = clock_timestamp()
  FROM email_campaigns c
 WHERE s.id = ANY(%(ids)s::bigint[]) AND s.claimed_by = %(slice)s AND s.call_started_at IS NULL
   AND s.sent_at IS NULL AND s.lease_until > clock_timestamp()
   AND c.id = s.campaign_id AND c.status = 'sending'
   AND EXISTS (SELECT FROM prospects p WHERE p.id = s.prospect_id AND p.status = 'active' AND p.email = s.email)
   AND NOT EXISTS (SELECT FROM email_suppressions x WHERE x.email = s.email)
   AND NOT {listed_by_hash}
RETURNING s.id
""".replace("{listed_by_hash}", suppressing.LISTED_BY_HASH.replace("{column}", "s.email"))

# A mail that waits for a reason of its own is left alone for so long: the sweep then ends its claim. Else it would be the
# first of every chunk, and take the slots of those behind it.
_CLAIM_AFTER = """claimed_by = CASE WHEN o.alone THEN s.claimed_by END,
       lease_until = CASE WHEN o.alone THEN clock_timestamp() + o.rest * interval '1 second' END"""
_RECORD = ledgers.record_statement("email_sends", claim=_CLAIM_AFTER)
_RELEASE = ledgers.release_statement("email_sends")

# Whoever holds such a row at this moment starts its call or ends its claim: waiting for them, who lock the rows in another
# order, would be a deadlock.
_RELEASE_ALL = """
WITH free AS (
    SELECT id FROM email_sends
     WHERE campaign_id = %(campaign)s AND status = 'sending' AND call_started_at IS NULL
       FOR UPDATE SKIP LOCKED
)
UPDATE email_sends s SET claimed_by = NULL, lease_until = NULL FROM free WHERE s.id = free.id
"""

# A lease that ends minutes from now was given by a clock that has been set back since; so was such a start of a call.
# The lease is left alone when the call starts, so that the update stays on its page: a started call has
# `call_lease` seconds from its start, and all that are leased are few.
_RECLAIM = """
WITH expired AS (
    SELECT id FROM email_sends
     WHERE (lease_until < clock_timestamp() OR lease_until > clock_timestamp() + interval '10 minutes')
       AND (call_started_at IS NULL
            OR abs(extract(epoch FROM clock_timestamp() - call_started_at)) > %(call_lease)s)
     ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE email_sends s
   SET unknown_at = CASE WHEN call_started_at IS NULL OR sent_at IS NOT NULL THEN unknown_at ELSE clock_timestamp() END,
       error      = CASE WHEN call_started_at IS NULL OR sent_at IS NOT NULL THEN error ELSE %(why)s END,
       claimed_by = NULL, lease_until = NULL
  FROM expired WHERE s.id = expired.id
RETURNING s.status
"""

# What `safeguards` wants to look at: a list may be burning, or mails may be lost to SES' silence.
_TROUBLE = frozenset({Verdict.REFUSED, Verdict.UNKNOWN})
LOST_DURING_CALL = "The worker was lost during the call to SES: the mail may have left."


@dataclass(frozen=True, slots=True)
class Claimed:
    """One claimed row with what its mail is rendered from."""

    id: int
    email: str
    first_name: str
    last_name: str
    company: str
    attributes: dict[str, Any]
    unsubscribe_token: UUID


def claim(campaign_id: int, *, slice_id: UUID, limit: int, lease: float) -> tuple[list[Claimed], int]:
    """Claim up to `limit` waiting rows for `lease` seconds; those who must not get mail are skipped.

    Returns the claimed rows, in the order of their ids, and how many were skipped. Nothing is
    claimed unless the campaign is sending.
    """
    values: dict[str, Any] = {"campaign": campaign_id, "slice": slice_id, "limit": limit, "lease": lease}
    reasons = {"deleted": SkipReason.DELETED, "suppressed": SkipReason.SUPPRESSED, "changed": SkipReason.ADDRESS_CHANGED}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values | reasons | keyed_hashes.parameters())
        rows = cursor.fetchall()
    claimed = [
        Claimed(id_, email, first, last, company, _attributes(attributes), token)
        for id_, email, skip, first, last, company, attributes, token in rows
        if not skip
    ]
    return sorted(claimed, key=lambda row: row.id), len(rows) - len(claimed)


def _attributes(text: str | None) -> dict[str, Any]:
    """Django's cursors leave jsonb as text; of most people there is none."""
    found = json.loads(text) if text and text != "{}" else {}
    return found if isinstance(found, dict) else {}


class CampaignLedger:
    """The rows that one slice of a campaign has claimed. `sign_of_life` is called now and then while it sends."""

    def __init__(self, campaign_id: int, *, slice_id: UUID, sign_of_life: Callable[[], None] = lambda: None) -> None:
        self.campaign_id, self.slice_id, self.sign_of_life = campaign_id, slice_id, sign_of_life
        self.trouble = False
        self._last_sign = 0.0
        self._waiting: set[int] = set()

    def claim(self, *, limit: int, lease: float) -> tuple[list[Claimed], int]:
        """Claim for this slice: see `claim`."""
        claimed, skipped = claim(self.campaign_id, slice_id=self.slice_id, limit=limit, lease=lease)
        self._waiting |= {row.id for row in claimed}
        return claimed, skipped

    def start(self, ids: list[int]) -> set[int]:
        """Mark calls started where campaign, person and address still allow it; returns those ids."""
        self.give_sign_of_life()
        values: dict[str, Any] = {"ids": ledgers.as_array(ids), "slice": self.slice_id}
        started = ledgers.mark_started(_START, values | keyed_hashes.parameters())
        self._waiting -= started
        return started

    def record(self, settled: Sequence[Settled]) -> None:
        """Store outcomes; a late acceptance fills an empty message id and never overwrites one."""
        self.trouble |= any(one.outcome.verdict in _TROUBLE for one in settled)
        rows = ledgers.as_rows(settled, now=time.monotonic())
        message_ids = [row["message_id"] for row in rows if row["message_id"]]
        patience.patiently(partial(_store_outcomes, {"outcomes": ledgers.as_json(rows), "slice": self.slice_id}, message_ids))

    def give_sign_of_life(self) -> None:
        """Say that the loop lives, once a second at most."""
        if time.monotonic() - self._last_sign > 1:
            self._last_sign = time.monotonic()
            self.sign_of_life()

    def release(self) -> None:
        """Return claims whose call was not started to waiting."""
        if self._waiting:
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE, {"ids": ledgers.as_array(sorted(self._waiting)), "slice": self.slice_id})


def _store_outcomes(values: dict[str, Any], message_ids: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, values)
    # Events that came before their mail was known; after the commit, so that one of the two finds the other.
    recording.unpark(message_ids=message_ids)


def release_all(campaign_id: int) -> None:
    """Return every claim of a campaign whose call is not started or starting: whoever holds one may not call any more."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE_ALL, {"campaign": campaign_id})


def reclaim_expired(*, call_lease: float) -> dict[str, int]:
    """End the leases that ran out: not started → waiting, started `call_lease` seconds ago → unknown. Returns counts by status.

    `call_lease` outlasts any call, or an answer might come for a row that is unknown already.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RECLAIM, {"why": LOST_DURING_CALL, "call_lease": call_lease})
        statuses = [status for (status,) in cursor.fetchall()]
    return {status: statuses.count(status) for status in set(statuses)}
