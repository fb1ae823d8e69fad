"""What a transport is, and the five answers it can give about one mail."""

from collections.abc import Hashable, Sequence
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

    `throttled` says that the mail waits because we were too fast: the pace should fall. `unreached` says that it waits
    because SES was out of reach, which no pace mends. `about_mail` says that it waits for a reason of its own: the
    others of its call may fare better. `about_sender` says that a halt is about the sender (or, in
    the sandbox, the recipient): mail of another one may fare better.
    """

    verdict: Verdict
    message_id: str = ""
    error: str = ""
    retry_after: float = 0.0
    throttled: bool = False
    unreached: bool = False
    about_mail: bool = False
    about_sender: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What the provider allows: mails a second, and in a rolling 24 hours (None: no limit), of which some are used."""

    max_send_rate: float
    max_24_hour_send: float | None
    sent_last_24_hours: float
    sending_enabled: bool
    in_sandbox: bool


class Transport(Protocol):
    """Hands mails over. Never raises: whatever happens is an Outcome."""

    longest_call: float
    """Seconds after which a call has certainly ended; leases are longer."""

    @property
    def most_together(self) -> int:
        """How many mails one call of `send_many` takes; 1 where each mail is a call of its own."""

    def call_key(self, message: OutgoingMessage) -> Hashable | None:
        """Mails of one key may share a call; None: this one must go alone."""

    def send(self, message: OutgoingMessage) -> Outcome: ...

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        """The outcomes of up to `most_together` mails of one `call_key`, in their order."""

    def account(self) -> Account | None:
        """What the provider allows; None where nothing limits. May raise when it cannot be asked."""
