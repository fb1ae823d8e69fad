"""The suppression list that SES keeps for the account: read, added to, and taken from.

API calls other than sending are answered about once a second: pages are asked for at a gentle pace, and a client of its
own tries again after a throttle, which none of these calls minds. Addresses keep their case there, and calls need it.
https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_PAGE = 1000
_PAUSE = 1.1  # seconds between calls: SES answers about one a second
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized"})


class ListUnavailable(Exception):
    """SES did not answer, or refused; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One address on the account's list, spelled as SES has it; the reason is BOUNCE or COMPLAINT."""

    address: str
    reason: str
    updated_at: datetime


class SesSuppressions:
    """The list of one account in one region."""

    def __init__(self, region: str, *, client: Any = None, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client or _client(region)
        self._pause = pause
        self._called = False

    def pages(self) -> Iterator[list[Listed]]:
        """The whole list, page by page. Raises ListUnavailable."""
        token = ""
        while True:
            asked = {"PageSize": _PAGE} | ({"NextToken": token} if token else {})
            answer = self._call("list_suppressed_destinations", "ses:ListSuppressedDestinations", **asked)
            rows = answer.get("SuppressedDestinationSummaries", [])
            yield [Listed(row["EmailAddress"], row["Reason"], row["LastUpdateTime"]) for row in rows]
            token = answer.get("NextToken") or ""
            if not token:
                return

    def put(self, address: str, reason: str) -> None:
        """Put an address on the list: BOUNCE or COMPLAINT. Raises ListUnavailable."""
        self._call("put_suppressed_destination", "ses:PutSuppressedDestination", EmailAddress=address, Reason=reason)

    def delete(self, address: str) -> bool:
        """Take an address, as SES spells it, off the list; False when it was not there. Raises ListUnavailable."""
        return bool(self._call("delete_suppressed_destination", "ses:DeleteSuppressedDestination", EmailAddress=address))

    def _call(self, name: str, permission: str, **asked: Any) -> dict[str, Any]:
        if self._called:
            self._pause(_PAUSE)
        self._called = True
        try:
            answer: dict[str, Any] = getattr(self._client, name)(**asked)
            return answer or {"done": True}
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NotFoundException" and name.startswith("delete"):
                return {}
            raise ListUnavailable(_said(error, permission)) from error
        except BotoCoreError as error:
            raise ListUnavailable(f"{type(error).__name__}: {error}") from error


def _said(error: ClientError, permission: str) -> str:
    if error.response.get("Error", {}).get("Code") in _FORBIDDEN:
        return f"The AWS credentials may not do this: allow {permission} on *. ({error})"
    return str(error)


def _client(region: str) -> Any:
    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=20)
    return boto3.session.Session().client("sesv2", region_name=region, config=config)
