"""Three wrong strategies, made of the right one: the oracles must catch each.

Measured on a bare loop, 5,000 recipients and 100 kills: 4,409, 99 and 95 people mailed twice.
"""

import json
from typing import Any

from tests.chaos.sabotage import arms
from tests.chaos.sabotage_points import LOCK_OVER_THE_CALL, RETRY_WHEN_STALE, SEND_THEN_MARK

_UNMARK = """
UPDATE email_sends SET call_started_at = NULL
 WHERE id = ANY(%(ids)s::bigint[]) AND call_started_at IS NOT NULL AND sent_at IS NULL AND claimed_by IS NOT NULL
"""
_RETRY = """
UPDATE email_sends SET unknown_at = NULL, call_started_at = NULL, error = ''
 WHERE unknown_at IS NOT NULL AND sent_at IS NULL AND message_id = ''
"""


def before(statement: str, connection: Any, params: Any) -> None:
    """Lock over the call: what has an outcome now needs its lock no more."""
    chosen = arms.text("mutant")
    if chosen == LOCK_OVER_THE_CALL and statement == "record":
        _locks.change(connection, taken=set(), given_back={row["id"] for row in json.loads(params["outcomes"])})
    if chosen == RETRY_WHEN_STALE and statement == "sweep":
        # One step, or the campaign may be found finished between the two.
        connection.connection.execute("BEGIN")


def after(statement: str, connection: Any, cursor: Any, params: Any) -> None:
    """What the wrong strategy does besides: nothing says in time that the call has started."""
    chosen = arms.text("mutant")
    if chosen == RETRY_WHEN_STALE and statement == "sweep":
        connection.connection.execute(_RETRY)
        connection.connection.execute("COMMIT")
    if chosen in {SEND_THEN_MARK, LOCK_OVER_THE_CALL} and statement == "start":
        connection.connection.execute(_UNMARK, {"ids": params["ids"]})
    if chosen == LOCK_OVER_THE_CALL and statement == "start":
        _locks.change(connection, taken=_returned(cursor), given_back=set())


class _Locks:
    """Row locks that last as long as the calls, in a session of their own; they end with the process."""

    def __init__(self) -> None:
        self._session: Any = None
        self._held: set[int] = set()

    def change(self, connection: Any, *, taken: set[int], given_back: set[int]) -> None:
        if self._session is None:
            self._session = connection.get_new_connection(connection.get_connection_params())
            self._session.autocommit = False
        self._held = (self._held | taken) - given_back
        self._session.rollback()
        if self._held:
            self._session.execute("SELECT FROM email_sends WHERE id = ANY(%s) FOR UPDATE", [list(self._held)])


def _returned(cursor: Any) -> set[int]:
    """The ids that a statement returned; whoever ran it can still fetch them."""
    rows = cursor.cursor.fetchall()
    cursor.cursor.scroll(0, mode="absolute")
    return {row[0] for row in rows}


_locks = _Locks()
