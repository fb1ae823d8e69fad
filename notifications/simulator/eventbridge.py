"""EventBridge's API destination: the envelope, the secret, and what it retries.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
"""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notifications.simulator.events import ACCOUNT, DETAIL_TYPES
from notifications.simulator.mails import Mail

_RETRIED = frozenset({401, 407, 409, 429})


@dataclass(frozen=True)
class EventBridge:
    """The route `POST /api/webhooks/ses-events` of an application."""

    url: str
    secret: str
    region: str
    timeout = 5.0

    def request(self, mail: Mail, detail: dict[str, Any], at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers and body of one invocation."""
        resources = [f"arn:aws:ses:{self.region}:{ACCOUNT}:configuration-set/{mail.configuration_set}"]
        envelope = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": DETAIL_TYPES[detail["eventType"]],
            "source": "aws.ses",
            "account": ACCOUNT,
            "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.region,
            "resources": resources if mail.configuration_set else [],
            "detail": detail,
        }
        return self._headers(), json.dumps(envelope).encode()

    def retries(self, status: int) -> bool:
        """Whether this answer (0: none in time) lets EventBridge try again."""
        return status in _RETRIED or status >= 500 or not status

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Amazon/EventBridge/ApiDestinations",
            "Accept-Encoding": "gzip,deflate",
            "Range": "bytes=0-1048575",
            "X-Webhook-Secret": self.secret,
        }
