"""Tells a worker that events or mails wait, without keeping the request that brought them."""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from outreach.publishing import publish

APPLY_EVENTS = "notifications.tasks.apply_events"
SEND_TRANSACTIONAL = "notifications.tasks.send_transactional"
# A message that was not taken by then is not worth taking: the sweep has done what it was about.
_WAKE_EXPIRES = 60.0


class Waker:
    """Calls `publish` soon, from a thread, and at most once every `interval` seconds.

    A request never waits for the broker, not even for a frozen one; after a failure the next try comes
    `after_failure` seconds later. Whatever is not published, beat's sweep finds.
    """

    def __init__(self, publish: Callable[[], bool], *, interval: float = 1.0, after_failure: float = 30.0) -> None:
        self._publish, self._interval, self._after_failure = publish, interval, after_failure
        self._lock = threading.Lock()
        self._due = False
        self._not_before = 0.0

    def wake(self) -> None:
        """Publish after this moment; calls that come before it happens are served by the same one."""
        with self._lock:
            if self._due:
                return
            self._due = True
            delay = max(0.0, self._not_before - time.monotonic())
        # The task names the request that woke it first.
        timer = threading.Timer(delay, copy_context().run, [self._run])
        timer.daemon = True
        timer.start()

    def _run(self) -> None:
        with self._lock:
            # Before publishing: an event stored from here on needs a publication of its own.
            self._due = False
            self._not_before = time.monotonic() + self._interval
        if not self._publish():
            with self._lock:
                self._not_before = time.monotonic() + self._after_failure


apply_events_soon = Waker(partial(publish, APPLY_EVENTS, expires=_WAKE_EXPIRES)).wake
send_transactional_soon = Waker(partial(publish, SEND_TRANSACTIONAL, expires=_WAKE_EXPIRES), interval=0.1, after_failure=5.0).wake
