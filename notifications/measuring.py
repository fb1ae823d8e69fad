"""Counts and times what the database does not know. Several processes add up: see `outreach.metering`.

Domain code calls one function where something has just happened; a mail costs it well under a microsecond.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prometheus_client import Counter, Histogram

from notifications.ses_events import EventType
from notifications.transports.base import Verdict

P = ParamSpec("P")
R = TypeVar("R")

# What a call's answer means for the mail, in the ledger's words.
_OUTCOMES = {
    Verdict.ACCEPTED: "sent",
    Verdict.REFUSED: "failed",
    Verdict.UNKNOWN: "unknown",
    Verdict.WAIT: "waiting",
    Verdict.HALT: "halted",
}
# Names that come from outside must not become labels without end.
_EVENT_TYPES = frozenset(EventType)
_FLUSH_SECONDS = 0.5

SENDS = Counter("outreach_sends", "Mails handed to the transport, by what its answer meant for the mail.", ["outcome"])
CALLS = Histogram(
    "outreach_send_call_seconds",
    "How long a call to SES took (with EMAIL_MODE=log: to nobody), by outcome.",
    ["outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 65),
)
EVENTS = Counter("outreach_events", "Verified events taken from a webhook.", ["type", "route", "result"])
REFUSALS = Counter("outreach_webhook_refusals", "Webhook requests that were refused.", ["route", "reason"])


class _Calls:
    """Calls that ended and wait to be counted: counting takes microseconds, noting one takes a tenth."""

    def __init__(self) -> None:
        self._ended: deque[tuple[str, float]] = deque()
        self._lock = threading.Lock()
        self._due = False

    def note(self, outcome: str, seconds: float) -> None:
        self._ended.append((outcome, seconds))
        if not self._due:
            self._count_soon()

    def count(self) -> None:
        """Count now what was noted until now."""
        # Before looking: a call noted from here on asks for a count of its own.
        self._due = False
        while self._ended:
            try:
                outcome, seconds = self._ended.popleft()
            except IndexError:
                # Another thread was faster.
                return
            SENDS.labels(outcome).inc()
            CALLS.labels(outcome).observe(seconds)

    def forget(self) -> None:
        """In a forked child: the parent counts its own, and its timer did not come along."""
        self.__init__()  # type: ignore[misc]

    def _count_soon(self) -> None:
        with self._lock:
            if self._due:
                return
            self._due = True
        timer = threading.Timer(_FLUSH_SECONDS, self.count)
        timer.daemon = True
        timer.start()


_calls = _Calls()
os.register_at_fork(after_in_child=_calls.forget)
atexit.register(_calls.count)
count_now = _calls.count
for _outcome in _OUTCOMES.values():
    # There from the start, at 0: a rate needs a first point.
    SENDS.labels(_outcome)


def call_ended(verdict: Verdict, seconds: float) -> None:
    """A transport has answered about one mail, or its call ended without an answer."""
    _calls.note(_OUTCOMES[verdict], seconds)


def count_refusal(route: str, reason: str) -> None:
    """A webhook request was refused; `reason` is the error's code."""
    REFUSALS.labels(str(route), reason).inc()


def counts_events(store: Callable[P, R]) -> Callable[P, R]:
    """Decorates the function that stores an event (the first argument), keyword `route`: counts what became of it."""

    @wraps(store)
    def counted(*args: P.args, **kwargs: P.kwargs) -> R:
        result = store(*args, **kwargs)
        kind = getattr(args[0], "event_type", "")
        EVENTS.labels(kind if kind in _EVENT_TYPES else "other", str(kwargs["route"]), str(result)).inc()
        return result

    return counted
