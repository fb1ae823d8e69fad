"""Traps around the statements that move a row, known by what they say and not by who says them.

So they hold whatever the functions are called. Each has three points: `.before`, `.uncommitted` (it ran,
its transaction is open) and `.committed`.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

from tests.chaos.sabotage import arms, mutants

_WORDS = {
    "sweep": re.compile(r"lease_until < clock_timestamp\(\).*SKIP LOCKED.*UPDATE email_sends", re.S),
    "claim": re.compile(r"SKIP LOCKED.*UPDATE email_sends.*lease_until\s*=", re.S),
    "start": re.compile(r"UPDATE email_sends.*SET\s+call_started_at\s*=\s*clock_timestamp\(\)", re.S),
    "record": re.compile(r"UPDATE email_sends.*message_id\s*=\s*CASE.*json_to_recordset", re.S),
    "enrol": re.compile(r"INSERT INTO email_sends"),
    "finish": re.compile(r'UPDATE "email_campaigns" SET (?=.*"status" = %s)(?=.*"finished_at" = %s)'),
}

_LEASES = {"lease", "call_lease"}


def install() -> None:
    connection_created.connect(_watch, weak=False)


def _watch(connection: Any, **_kwargs: Any) -> None:
    if _around not in connection.execute_wrappers:
        connection.execute_wrappers.append(_around)
    # So that the harness can tell when PostgreSQL has missed a process that was killed.
    connection.connection.execute("SELECT set_config('application_name', %s, false)", [f"pid {os.getpid()}"])


def which(sql: str, params: Any) -> str:
    """The name of a statement that matters, else nothing."""
    if "email_sends" not in sql and "email_campaigns" not in sql:
        return ""
    found = next((name for name, words in _WORDS.items() if words.search(sql)), "")
    # Starting again also writes finished_at, as null.
    return "" if found == "finish" and "sent" not in params else found


def _around(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    name = which(str(sql), params)
    if not name:
        return execute(sql, _hastened(params) if "UPDATE transactional_emails" in sql else params, many, context)
    connection, params = context["connection"], _hastened(params)
    arms.die_at(f"{name}.before")
    if wish := arms.taken(f"{name}.uncommitted"):
        if not connection.in_atomic_block:
            connection.connection.execute("BEGIN")
        execute(sql, params, many, context)
        arms.die(wish)
    mutants.before(name, connection, params)
    result = execute(sql, params, many, context)
    mutants.after(name, connection, context["cursor"], params)
    _after_commit(connection, name)
    return result


def _after_commit(connection: Any, name: str) -> None:
    if not connection.in_atomic_block:
        arms.die_at(f"{name}.committed")
    elif wish := arms.taken(f"{name}.committed"):
        connection.on_commit(lambda: arms.die(wish))


def _hastened(params: Any) -> Any:
    """The same parameters with shorter leases."""
    if not isinstance(params, dict):
        return params
    return params | {name: params[name] / settings.CHAOS_HASTE for name in _LEASES & params.keys()}
