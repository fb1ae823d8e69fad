"""A bound on how long a request may wait for PostgreSQL, also for one that has frozen or vanished without a word.

A server's own time-outs do not help when the server is what hangs, and libpq waits for an answer for ever.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import dup
from typing import Any

from django.db import connection, connections


@contextmanager
def database_deadline(seconds: float) -> Iterator[None]:
    """Cut this thread's database connection should the block take longer than `seconds`.

    What waits for the server then raises OperationalError, as after a lost connection. Connecting is bounded
    by `connect_timeout` besides, and a block that has ended is never cut.
    """
    wrapper, lock = connections[connection.alias], threading.Lock()
    over: list[bool] = []

    def cut() -> None:
        with lock:
            if not over:
                _hang_up(wrapper.connection)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over.append(True)
        timer.cancel()


def _hang_up(raw: Any) -> None:
    """Shut the socket: the thread that waits on it wakes up at once. Closing the connection stays its business."""
    if raw is None or raw.closed:
        return
    with suppress(OSError, ValueError), socket.socket(fileno=dup(raw.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
