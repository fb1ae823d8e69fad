"""Several sessions of the tests' database at once: work in threads, and waiting until somebody waits."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

# Generous: every core of a test machine is busy with other tests.
SECONDS = 30


@contextmanager
def sessions_of_their_own(threads: int = 1) -> Iterator[Callable[..., "Future[Any]"]]:
    """Yields `run(work, *args)`: it does the work in a thread, with a session of its own, and returns its future."""

    def in_session(work: Callable[..., Any], *args: Any) -> Any:
        try:
            return work(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        yield lambda work, *args: pool.submit(in_session, work, *args)


def wait_for_waiters(number: int = 1) -> None:
    """Until `number` sessions of this database wait for a lock."""
    give_up = time.monotonic() + SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < give_up:
            # Within a transaction PostgreSQL shows the sessions as they were when it was first asked.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[0] >= number:
                return
            time.sleep(0.02)
    pytest.fail(f"fewer than {number} wait")
