"""The account's suppression list, with paging.

https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifications.simulator import checking
from notifications.simulator.refusing import Refusal, bad_request

REASONS = ("BOUNCE", "COMPLAINT")
_PAGE = 1_000


@dataclass(frozen=True)
class Suppressed:
    """One address and why; `attributes` name the mail and the feedback that put it there."""

    email: str
    reason: str
    at: float
    attributes: dict[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """As ListSuppressedDestinations shows it."""
        return {"EmailAddress": self.email, "Reason": self.reason, "LastUpdateTime": self.at}

    def whole(self) -> dict[str, Any]:
        """As GetSuppressedDestination shows it."""
        return self.summary() | ({"Attributes": self.attributes} if self.attributes else {})


class SuppressionList:
    """Addresses keep their case, and have to be named in it: so does SES."""

    def __init__(self) -> None:
        self._all: dict[str, Suppressed] = {}

    def __len__(self) -> int:
        return len(self._all)

    def put(self, email: Any, reason: Any, **attributes: str) -> None:
        """Add an address, or give it another reason. Raises Refusal."""
        if reason not in REASONS:
            raise bad_request(f"Reason must be one of: {', '.join(REASONS)}.")
        bare = checking.address(email)
        self._all[bare] = Suppressed(bare, reason, time.time(), attributes)

    def get(self, email: str) -> Suppressed:
        """One entry. Raises Refusal (404) when there is none."""
        try:
            return self._all[email]
        except KeyError:
            raise Refusal("NotFoundException", f"Email address {email} does not exist on your suppression list.") from None

    def delete(self, email: str) -> None:
        """Take an address off. Raises Refusal (404) when it is not there."""
        self.get(email)
        del self._all[email]

    def covers(self, email: str) -> bool:
        """Whether mail to it is accepted, and then not attempted."""
        return bool(self._all) and email in self._all

    def clear(self) -> None:
        """Empty it."""
        self._all.clear()

    def page(self, *, reasons: Sequence[str], start: str, end: str, page_size: str, token: str) -> dict[str, Any]:
        """One page in the order of the addresses, and the token of the next. Raises Refusal."""
        size = int(page_size) if page_size.isascii() and page_size.isdecimal() else 0
        if not 1 <= size <= _PAGE:
            raise bad_request(f"PageSize must be from 1 to {_PAGE}.")
        if wrong := set(reasons) - set(REASONS):
            raise bad_request(f"Unknown reason {min(wrong)!r}.")
        after, since, until = _opened(token), _moment(start, 0.0), _moment(end, float("inf"))
        wanted = (one for one in self._all.values() if one.reason in (reasons or REASONS) and since <= one.at <= until)
        left = sorted((one for one in wanted if one.email > after), key=lambda one: one.email)
        answer: dict[str, Any] = {"SuppressedDestinationSummaries": [one.summary() for one in left[:size]]}
        if len(left) > size:
            answer["NextToken"] = base64.urlsafe_b64encode(left[size - 1].email.encode()).decode()
        return answer


def _opened(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise Refusal("InvalidNextTokenException", "The specified token is not valid.") from None


def _moment(text: str, default: float) -> float:
    """ISO 8601 or seconds since the epoch."""
    if not text:
        return default
    try:
        return float(text) if text.replace(".", "", 1).isdecimal() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise bad_request(f"{text!r} is not a time.") from None
