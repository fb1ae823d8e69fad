"""A transport for tests: keeps what was sent and answers what it was told to."""

import threading
from collections.abc import Callable, Hashable, Sequence

from notifications.messages import OutgoingMessage
from notifications.transports.base import Account, Outcome, Verdict


class MemoryTransport:
    """Accepts by default; `answer` may be replaced by a function of the message.

    `parcels` holds how many mails each call took.
    """

    longest_call = 1.0

    def __init__(self, answer: Callable[[OutgoingMessage], Outcome] | None = None, *, most_together: int = 1) -> None:
        self.sent: list[OutgoingMessage] = []
        self.parcels: list[int] = []
        self.answer = answer
        self.most_together = most_together
        self.allows: Account | None = None
        self._lock = threading.Lock()

    def call_key(self, message: OutgoingMessage) -> Hashable | None:
        return None if message.attachments else ""

    def send(self, message: OutgoingMessage) -> Outcome:
        return self.send_many([message])[0]

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        with self._lock:
            self.parcels.append(len(messages))
        return [self._take(message) for message in messages]

    def account(self) -> Account | None:
        return self.allows

    def _take(self, message: OutgoingMessage) -> Outcome:
        if self.answer and (outcome := self.answer(message)).verdict is not Verdict.ACCEPTED:
            return outcome
        with self._lock:
            self.sent.append(message)
            return Outcome(Verdict.ACCEPTED, message_id=f"memory-{len(self.sent)}")
