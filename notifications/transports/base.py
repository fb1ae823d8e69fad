"""What a transport is, and the five answers it can give about one mail."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from notifications.messages import OutgoingMessage


class Verdict(StrEnum):
    """What is certain after a call."""

    ACCEPTED = "accepted"
    WAIT = "wait"  # not accepted, nobody's fault: the mail waits and goes again
    REFUSED = "refused"  # not accepted, and never will be: this mail failed
    UNKNOWN = "unknown"  # perhaps accepted: never again by a machine
    HALT = "halt"  # not accepted, and neither will the next be: a person must act


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer about one mail; `error` is for people, `retry_after` in seconds.

    `throttled` says that the mail waits because we were too fast: the pace should fall. Without it a mail
    waits because SES was out of reach, which no pace mends.
    """

    verdict: Verdict
    message_id: str = ""
    error: str = ""
    retry_after: float = 0.0
    throttled: bool = False


class Transport(Protocol):
    """Hands one mail over. Never raises: whatever happens is an Outcome."""

    longest_call: float
    """Seconds after which a call has certainly ended; leases are longer."""

    def send(self, message: OutgoingMessage) -> Outcome: ...
