"""Three wrong strategies, made of the right one: the oracles must catch each.

Measured on a bare loop, 5,000 recipients and 100 kills: 4,409, 99 and 95 people mailed twice.
"""

import os
from typing import Any

NAMES = ("send_then_mark", "lock_over_the_call", "retry_when_stale")
_CHOSEN = os.environ.get("CHAOS_MUTANT", "")

_UNMARK = """
UPDATE email_sends SET call_started_at = NULL
 WHERE id = ANY(%(ids)s) AND call_started_at IS NOT NULL AND sent_at IS NULL AND claimed_by IS NOT NULL
"""
_RETRY = """
UPDATE email_sends SET unknown_at = NULL, call_started_at = NULL, error = ''
 WHERE unknown_at IS NOT NULL AND sent_at IS NULL AND message_id = ''
"""
_locked: set[int] = set()


def before(statement: str, connection: Any) -> None:
    """Lock over the call: the transaction that marks the call stays open until its outcome is stored."""
    if _CHOSEN == "lock_over_the_call" and statement == "start" and not _locked:
        connection.connection.execute("BEGIN")


def after(statement: str, connection: Any, cursor: Any, params: Any) -> None:
    """What the wrong strategy does besides."""
    if _CHOSEN == "send_then_mark" and statement == "start":
        connection.connection.execute(_UNMARK, {"ids": list(params["ids"])})
    elif _CHOSEN == "retry_when_stale" and statement == "sweep":
        connection.connection.execute(_RETRY)
    elif _CHOSEN == "lock_over_the_call" and statement == "start":
        _locked.update(_returned(cursor))
    elif _CHOSEN == "lock_over_the_call" and statement == "record" and _locked:
        _locked.difference_update(params["ids"])
        if not _locked:
            connection.connection.execute("COMMIT")


def _returned(cursor: Any) -> set[int]:
    """The ids that a statement returned; whoever ran it can still fetch them."""
    rows = cursor.cursor.fetchall()
    cursor.cursor.scroll(0, mode="absolute")
    return {row[0] for row in rows}
