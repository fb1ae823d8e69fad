"""For what must be written down although the database is restarting: mail has left already."""

import time
from collections.abc import Callable

from django.db import Error, connection

from outreach import outages

_PATIENCE = 30.0  # seconds


def patiently(store: Callable[[], None]) -> None:
    """Call `store`, again and again for half a minute while the database is away or read-only; then raises its error.

    A connection that broke inside a task never heals by itself, so it is closed before each retry.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            store()
            return
        except Error as error:
            if not outages.is_outage(error) or connection.in_atomic_block or time.monotonic() > until:
                raise
            connection.close()
            time.sleep(0.5)
