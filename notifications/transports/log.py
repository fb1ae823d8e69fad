"""EMAIL_MODE=log: nothing leaves; the caller's log line and row are those of a real mail."""

import uuid

from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Verdict


class LogTransport:
    """Accepts every mail and sends none; its message ids say so."""

    longest_call = 1.0

    def send(self, message: OutgoingMessage) -> Outcome:
        return Outcome(Verdict.ACCEPTED, message_id=f"log-{uuid.uuid4()}")
