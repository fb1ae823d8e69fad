"""EventBridge's API destination: who may call, and what is in the envelope.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-ses.html
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from notifications import ses_events
from outreach.errors import DomainError

SENDING_ENABLED = "Sending Status Enabled"
SENDING_DISABLED = "Sending Status Disabled"


class WebhookNotConfigured(DomainError):
    """No webhook secret is configured: set SES_WEBHOOK_SECRET."""

    code = "WEBHOOK_NOT_CONFIGURED"
    status = 503


class WrongWebhookSecret(DomainError):
    """The webhook secret is missing or wrong."""

    code = "WRONG_WEBHOOK_SECRET"
    # EventBridge retries a 401 for a day, so a botched rotation loses nothing; a 403 it drops at once.
    status = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingStatus:
    """Sending was switched on or off, for the `resources` named (ARNs), or for a whole account in a region."""

    enabled: bool
    account: str
    region: str
    resources: tuple[str, ...]
    cause: str
    occurred_at: datetime


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


def sending_status(event: ses_events.SesEvent, body: bytes, *, received_at: datetime) -> SendingStatus | None:
    """What an event says about sending as a whole; nothing when it is about something else."""
    if event.event_type not in {SENDING_ENABLED, SENDING_DISABLED}:
        return None
    return read_sending_status(body, received_at=received_at)


def read_sending_status(body: bytes, *, received_at: datetime) -> SendingStatus:
    """The status in an envelope that has been read before. Raises NotAnEvent."""
    envelope = ses_events.load(body)
    resources = envelope.get("resources")
    return SendingStatus(
        enabled=envelope.get("detail-type") == SENDING_ENABLED,
        account=_words(envelope.get("account")),
        region=_words(envelope.get("region")),
        resources=tuple(_words(arn) for arn in resources if isinstance(arn, str)) if isinstance(resources, list) else (),
        cause=_cause(envelope.get("detail")),
        occurred_at=_time(envelope.get("time"), received_at),
    )


def _cause(detail: Any) -> str:
    """Why, in SES' words. The schema is not documented further; captures have it in one of these places."""
    data = detail.get("data") if isinstance(detail, dict) else None
    record = data.get("record") if isinstance(data, dict) else None
    places = [(record, "cause"), (data, "cause"), (data, "reason")]
    return next((words for place, key in places if isinstance(place, dict) and (words := _words(place.get(key)))), "")


def _time(value: Any, received_at: datetime) -> datetime:
    """The envelope's time, whole seconds; never later than it came."""
    try:
        moment = datetime.fromisoformat(value)
        return min((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC), received_at)
    except (TypeError, ValueError, OverflowError):
        return received_at


def _words(value: Any) -> str:
    """A short text that a log and PostgreSQL can hold."""
    return value[:300].encode("utf-8", "replace").decode().replace("\x00", "") if isinstance(value, str) else ""


def _header_bytes(value: str) -> bytes:
    """A header's bytes as they came: WSGI hands them over as Latin-1 (PEP 3333)."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
