"""EMAIL_MODE=log: nothing leaves; the caller's log line and row are those of a real mail."""

import uuid
from collections.abc import Hashable, Sequence

from notifications.messages import OutgoingMessage
from notifications.transports.base import Account, Outcome, Verdict


class LogTransport:
    """Accepts every mail and sends none; its message ids say so."""

    longest_call = 1.0
    most_together = 50

    def call_key(self, _message: OutgoingMessage) -> Hashable | None:
        return ""

    def send(self, message: OutgoingMessage) -> Outcome:
        return Outcome(Verdict.ACCEPTED, message_id=f"log-{uuid.uuid4()}")

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        return [self.send(message) for message in messages]

    def account(self) -> Account | None:
        return None
