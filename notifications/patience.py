"""For what must be written down although the database is restarting: mail has left already."""

import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, connection

_PATIENCE = 30.0  # seconds


def patiently(store: Callable[[], None]) -> None:
    """Call `store`, again and again for half a minute while the database is away; then raises its error.

    A connection that broke inside a task never heals by itself, so it is closed before each retry.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            store()
            return
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(0.5)
