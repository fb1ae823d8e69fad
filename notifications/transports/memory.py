"""A transport for tests: keeps what was sent and answers what it was told to."""

import threading
from collections.abc import Callable

from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Verdict


class MemoryTransport:
    """Accepts by default; `answer` may be replaced by a function of the message."""

    longest_call = 1.0

    def __init__(self, answer: Callable[[OutgoingMessage], Outcome] | None = None) -> None:
        self.sent: list[OutgoingMessage] = []
        self.answer = answer
        self._lock = threading.Lock()

    def send(self, message: OutgoingMessage) -> Outcome:
        if self.answer and (outcome := self.answer(message)).verdict is not Verdict.ACCEPTED:
            return outcome
        with self._lock:
            self.sent.append(message)
            return Outcome(Verdict.ACCEPTED, message_id=f"memory-{len(self.sent)}")
