"""What sending asks of a ledger, campaign's or transactional, and the form in which outcomes reach the database."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected

from notifications.transports.base import Outcome, Verdict

# What SES says may hold anything; PostgreSQL stores neither.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
# Seconds before each new try: at once, the loser would take its rows again before the other is awake, and lose once more.
_RESTS_AFTER_A_DEADLOCK = (0.05, 0.2, 0.8)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one mail; `at` is when the call ended, on the monotonic clock."""

    id: int
    outcome: Outcome
    at: float


# An acceptance is a fact whoever reports it, also a worker whose lease has ended meanwhile; every other answer
# counts only while the row is still this worker's. What an event has said about a failure stays. The mails of one call
# without an answer have one `unknown_at`: calls are counted by it.
_RECORD = """
UPDATE {table} s
   SET sent_at    = CASE WHEN o.verdict = 'accepted'
                         THEN least(s.sent_at, clock_timestamp() - o.age * interval '1 second') ELSE s.sent_at END,
       failed_at  = CASE WHEN o.verdict = 'refused' THEN clock_timestamp() ELSE s.failed_at END,
       unknown_at = CASE WHEN o.verdict = 'unknown'
                         THEN statement_timestamp() - o.age * interval '1 second' ELSE s.unknown_at END,
       call_started_at = CASE WHEN o.verdict IN ('wait', 'halt') THEN NULL ELSE s.call_started_at END,
       message_id = CASE WHEN s.message_id = '' THEN o.message_id ELSE s.message_id END,
       error      = CASE WHEN s.bounced_at IS NULL AND s.rejected_at IS NULL THEN o.error ELSE s.error END,{more}
       {claim}
  FROM json_to_recordset(%(outcomes)s::json)
       AS o (id bigint, verdict text, message_id text, error text, age float8, rest float8, alone boolean)
 WHERE s.id = o.id AND (o.verdict = 'accepted' OR s.claimed_by = %(slice)s)
"""

_RELEASE = """
WITH locked AS (
    SELECT id FROM {table}
     WHERE id = ANY(%(ids)s::bigint[]) AND claimed_by = %(slice)s AND call_started_at IS NULL
     ORDER BY id FOR NO KEY UPDATE
)
UPDATE {table} s SET claimed_by = NULL, lease_until = NULL FROM locked WHERE s.id = locked.id
"""


class Ledger(Protocol):
    """Where the rows are. Every method commits before it returns."""

    def start(self, ids: list[int]) -> set[int]:
        """Mark the calls of those rows started that may still be sent, and return them."""

    def record(self, settled: list[Settled]) -> None:
        """Store outcomes."""

    def give_sign_of_life(self) -> None:
        """Say that whoever sends lives, while it waits for answers."""


def record_statement(table: str, *, more: str = "", claim: str = "claimed_by = NULL, lease_until = NULL") -> str:
    """The SQL that stores `outcomes` (`as_json`) of a `slice` in a ledger's table.

    `more` sets further columns, `claim` those of the claim.
    """
    return _RECORD.format(table=table, more=f"\n       {more}," if more else "", claim=claim)


def release_statement(table: str) -> str:
    """The SQL that returns claims of a `slice` to waiting: those of `ids` (`as_array`) whose call was not started."""
    return _RELEASE.format(table=table)


def mark_started(statement: str, values: Mapping[str, Any]) -> set[int]:
    """The ids that a ledger's statement returns which marks calls started; run again when a deadlock took it back.

    It locks rows in no order of their ids, and a mail on its second attempt may hear of its first at that moment. What was
    marked only then is called only if the deadlock was noticed soon; else it waits for its next turn.
    """
    for rest in _RESTS_AFTER_A_DEADLOCK:
        try:
            return _returned(statement, values)
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
        time.sleep(rest)
    return _returned(statement, values)


def as_rows(settled: Iterable[Settled], *, now: float) -> list[dict[str, Any]]:
    """What a ledger stores: id, verdict, message_id, error, `age` and `rest` in seconds, `alone` for a wait of its own.

    In the order of the ids, so that an event batch about the same rows cannot deadlock with the ledger.
    """
    return [_row(one, now) for one in sorted(settled, key=lambda one: one.id)]


def as_json(rows: list[dict[str, Any]]) -> str:
    """Rows for `json_to_recordset`: Python takes longer to quote five arrays than PostgreSQL to read one text."""
    return orjson.dumps(rows).decode()


def as_array(ids: Iterable[int]) -> str:
    """Ids as a literal of PostgreSQL's bigint[], which is cheaper than to have the driver quote each."""
    return f"{{{','.join(map(str, ids))}}}"


def _returned(statement: str, values: Mapping[str, Any]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {id_ for (id_,) in cursor.fetchall()}


def _row(one: Settled, now: float) -> dict[str, Any]:
    accepted = one.outcome.verdict is Verdict.ACCEPTED
    return {
        "id": one.id,
        "verdict": one.outcome.verdict,
        "message_id": _storable(one.outcome.message_id),
        "error": "" if accepted else _storable(one.outcome.error[:2000]),
        "age": max(0.0, now - one.at),
        "rest": one.outcome.retry_after,
        "alone": one.outcome.verdict is Verdict.WAIT and one.outcome.about_mail,
    }


def _storable(text: str) -> str:
    return text if text.isprintable() else _UNSTORABLE.sub("", text)
