"""The last gate of a rehearsal: nobody outside EMAIL_ALLOWED_RECIPIENTS is written to, whoever asks."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any

from django.conf import settings

from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Transport, Verdict
from outreach import addresses

_REFUSED = Outcome(Verdict.REFUSED, error="EMAIL_ALLOWED_RECIPIENTS of this installation does not list the recipient.")


class GuardedTransport:
    """Hands on what goes to allowed recipients and refuses the rest.

    Only what is written here passes: a way of sending that the inner transport learns later has no way around.
    """

    def __init__(self, inner: Transport, allowed: Collection[str]) -> None:
        self.longest_call = inner.longest_call
        self._inner: Any = inner
        self._allowed = frozenset(allowed)

    @property
    def most_together(self) -> int:
        """As many as the inner transport takes now."""
        most: int = getattr(self._inner, "most_together", 1)
        return most

    def call_key(self, message: OutgoingMessage) -> Hashable | None:
        """The inner transport's: it mails nobody."""
        key: Hashable | None = self._inner.call_key(message)
        return key

    def send(self, message: OutgoingMessage) -> Outcome:
        """Hand on one mail, or refuse it."""
        outcome: Outcome = self._inner.send(message) if is_listed(message.to, self._allowed) else _REFUSED
        return outcome

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand on those that are listed, together; the outcomes come in the order of the messages."""
        passes = [is_listed(message.to, self._allowed) for message in messages]
        listed = [message for message, may in zip(messages, passes, strict=True) if may]
        outcomes = iter(self._inner.send_many(listed) if listed else ())
        return [next(outcomes) if may else _REFUSED for may in passes]

    def account(self) -> Any:
        """What the provider allows: asking mails nobody."""
        return self._inner.account()


def may_receive(email: str) -> bool:
    """Whether this installation may write to a normalised address; production may write to everybody."""
    guarded = settings.EMAIL_MODE == "ses" and settings.EMAIL_ALLOWED_RECIPIENTS
    return not guarded or is_listed(email, settings.EMAIL_ALLOWED_RECIPIENTS)


def is_listed(email: str, allowed: Collection[str]) -> bool:
    """Whether a list of addresses and `@domain` items names this address; a domain does not stand for its subdomains."""
    email = email.lower()
    return email in allowed or f"@{addresses.domain_of(email)}" in allowed
