"""EventBridge's API destination: who may call, and what is in the envelope.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-ses.html
"""

import hmac
from collections.abc import Sequence
from datetime import datetime

from notifications import ses_events
from outreach.errors import DomainError


class WebhookNotConfigured(DomainError):
    """No webhook secret is configured: set SES_WEBHOOK_SECRET."""

    code = "WEBHOOK_NOT_CONFIGURED"
    status = 503


class WrongWebhookSecret(DomainError):
    """The webhook secret is missing or wrong."""

    code = "WRONG_WEBHOOK_SECRET"
    # EventBridge retries a 401 for a day, so a botched rotation loses nothing; a 403 it drops at once.
    status = 401


def check_secret(given: str, *, secrets: Sequence[str]) -> None:
    """Compare `X-Webhook-Secret` with every configured secret, in constant time.

    Raises WebhookNotConfigured and WrongWebhookSecret.
    """
    expected = [secret.encode() for secret in secrets if secret]
    if not expected:
        raise WebhookNotConfigured
    presented = _header_bytes(given)
    # A list, not a generator: no early exit that would tell which secret came close.
    if not any([hmac.compare_digest(presented, secret) for secret in expected]):  # noqa: C419
        raise WrongWebhookSecret


def read(body: bytes, *, received_at: datetime) -> ses_events.SesEvent:
    """The event in an envelope of source `aws.ses`, also one that is of no interest to us.

    Sending status changes and the like share the source, but tell of no mail. Raises NotAnEvent.
    """
    envelope = ses_events.load(body)
    source, name, detail = envelope.get("source"), envelope.get("detail-type"), envelope.get("detail")
    if not (isinstance(source, str) and (source == "aws.ses" or source.startswith("aws.ses."))):
        raise ses_events.NotAnEvent("The envelope's source is not aws.ses.")
    if not isinstance(name, str) or not isinstance(detail, dict):
        raise ses_events.NotAnEvent("The envelope has no detail-type or no detail.")
    return ses_events.read(detail, raw=body, received_at=received_at, other_type=name)


def _header_bytes(value: str) -> bytes:
    """A header's bytes as they came: WSGI hands them over as Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
