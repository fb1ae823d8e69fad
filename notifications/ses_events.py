"""SES events: JSON → typed events. Pure: no models, no clock.

Three shapes carry the same news (event publishing by EventBridge, by SNS, and feedback notifications
of an identity by SNS); this module reads the part that they share.
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from outreach import addresses
from outreach.errors import DomainError


class EventType(StrEnum):
    """The ten event types of SES, in the spelling of `eventType`."""

    SEND = "Send"
    DELIVERY = "Delivery"
    BOUNCE = "Bounce"
    COMPLAINT = "Complaint"
    REJECT = "Reject"
    OPEN = "Open"
    CLICK = "Click"
    RENDERING_FAILURE = "Rendering Failure"
    DELIVERY_DELAY = "DeliveryDelay"
    SUBSCRIPTION = "Subscription"


# The key of the part that says more; `failure` and `deliveryDelay` do not follow from the type's name.
_PART = {kind: kind.lower() for kind in EventType} | {
    EventType.RENDERING_FAILURE: "failure",
    EventType.DELIVERY_DELAY: "deliveryDelay",
}
# The API and other people's code also write RENDERING_FAILURE, RenderingFailure, DELIVERY_DELAY.
_KINDS = frozenset(EventType)
_SPELLINGS = {kind.lower().replace(" ", ""): kind for kind in EventType}
_RECIPIENTS = {
    EventType.DELIVERY: "recipients",
    EventType.BOUNCE: "bouncedRecipients",
    EventType.COMPLAINT: "complainedRecipients",
    EventType.DELIVERY_DELAY: "delayedRecipients",
}
_SES_BEGAN = datetime(2011, 1, 1, tzinfo=UTC)
_CLOCKS_DIFFER = timedelta(days=1)
_LONGEST_ADDRESS = 400
# `Ada <ada@example.com>`. Not parseaddr, which recurses into comments of whoever wrote the bounce.
_ANGLED = re.compile(r"<([^<>]*)>\s*$")


class NotAnEvent(DomainError):
    """The body is not a JSON object that holds an SES event."""

    code = "NOT_AN_EVENT"
    status = 400


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person whom an event names: normalised where possible; `action` and `status` are a bounce's (RFC 3464, 2.3.3, 2.3.4)."""

    email: str
    action: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SesEvent:
    """What SES says about one mail. Texts can be stored as they are: no NUL, no half characters.

    `fingerprint` hashes what the event says, so that the same news has the same one by every route.
    `mailed_at` is when SES accepted the mail. An event without a message id is of no interest.
    """

    fingerprint: str
    event_type: str
    message_id: str
    send_id: str
    campaign_id: str
    kind: str
    mailed_at: datetime
    occurred_at: datetime
    source: str
    destination: tuple[str, ...]
    recipients: tuple[Recipient, ...]
    bounce_type: str
    bounce_sub_type: str
    delay_type: str
    complaint_feedback_type: str
    complaint_sub_type: str
    diagnostic: str
    link: str
    user_agent: str
    leaves_list: bool

    @property
    def is_of_interest(self) -> bool:
        """Whether it is one of the ten types and says which mail it is about."""
        return bool(self.message_id) and self.event_type in _KINDS


def load(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body (RFC 8259). Raises NotAnEvent."""
    try:
        # No number of an event is used; as an int, one of 5,000 digits would be refused.
        data = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse, parse_int=float)
    except RecursionError as error:
        raise NotAnEvent("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise NotAnEvent("The body is not valid JSON.") from error
    if not isinstance(data, dict):
        raise NotAnEvent("The body must be a JSON object.")
    return data


def read(event: dict[str, Any], *, raw: bytes, received_at: datetime, other_type: str = "") -> SesEvent:
    """The typed form of one event; whatever is missing or malformed in it is empty.

    `raw` is what the fingerprint of an event of no interest is made of, `other_type` its name.
    Times that are missing, unreadable or impossible become the nearest one that is known.
    """
    mail, kind = _object(event.get("mail")), _kind(event)
    part = _object(event.get(_PART[kind])) if kind else {}
    message_id = _short(mail.get("messageId"), 255)
    tags = _object(mail.get("tags"))
    recipients = tuple(_recipients(part, kind))
    occurred_at = _instant(part.get("timestamp"), received_at)
    mailed_at = _instant(mail.get("timestamp"), received_at)
    return SesEvent(
        fingerprint=_fingerprint(kind, message_id, recipients, part) if kind and message_id else hashlib.sha256(raw).hexdigest(),
        event_type=kind or _text(event.get("eventType") or event.get("notificationType"), 64) or _text(other_type, 64),
        message_id=message_id,
        send_id=_tag(tags, "send_id"),
        campaign_id=_tag(tags, "campaign_id"),
        kind=_tag(tags, "kind"),
        mailed_at=mailed_at or occurred_at or received_at,
        occurred_at=occurred_at or mailed_at or received_at,
        source=_text(mail.get("source"), 320),
        destination=tuple(_address(item) for item in _list(mail.get("destination"))),
        recipients=recipients,
        bounce_type=_text(part.get("bounceType"), 64),
        bounce_sub_type=_text(part.get("bounceSubType"), 64),
        delay_type=_text(part.get("delayType"), 64),
        complaint_feedback_type=_text(part.get("complaintFeedbackType"), 64),
        complaint_sub_type=_text(part.get("complaintSubType"), 64),
        diagnostic=_diagnostic(part, kind),
        link=_text(part.get("link"), 2000),
        user_agent=_text(part.get("userAgent"), 300),
        leaves_list=kind is EventType.SUBSCRIPTION and _leaves_list(part),
    )


def _fingerprint(kind: EventType, message_id: str, recipients: Iterable[Recipient], part: dict[str, Any]) -> str:
    stamp = part.get("timestamp")
    moment = _moment(stamp)
    what = [
        message_id,
        kind,
        sorted({recipient.email for recipient in recipients}),
        _text(part.get("feedbackId"), 300) or (moment.isoformat() if moment else _text(stamp, 100)),
        _text(part.get("link"), 100_000),
    ]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _kind(event: dict[str, Any]) -> EventType | None:
    name = event.get("eventType") or event.get("notificationType")
    return _SPELLINGS.get(re.sub(r"[ _]", "", name).lower()) if isinstance(name, str) else None


def _recipients(part: dict[str, Any], kind: EventType | None) -> Iterable[Recipient]:
    for item in _list(part.get(_RECIPIENTS.get(kind, ""))) if kind else []:
        if isinstance(item, dict):
            action, status = _text(item.get("action"), 64).lower(), _text(item.get("status"), 64).strip()
            yield Recipient(_address(item.get("emailAddress")), action, status)
        else:
            yield Recipient(_address(item))


def _diagnostic(part: dict[str, Any], kind: EventType | None) -> str:
    """The reason in words: of the first recipient who has one, or of SES itself."""
    people = [_object(item) for item in _list(part.get(_RECIPIENTS.get(kind, "")))] if kind else []
    failed_first = sorted(people, key=lambda person: person.get("action") == "delayed")
    words = [person.get("diagnosticCode") for person in failed_first]
    return next(filter(None, (_text(word, 1000) for word in [*words, part.get("reason"), part.get("errorMessage")])), "")


def _leaves_list(part: dict[str, Any]) -> bool:
    """Whether somebody left the list, or a topic that they had not left before (SES list management)."""
    new, old = _object(part.get("newTopicPreferences")), _object(part.get("oldTopicPreferences"))
    return new.get("unsubscribeAll") is True or bool(_topics_left(new) - _topics_left(old))


def _topics_left(preferences: dict[str, Any]) -> set[str]:
    topics = [_object(item) for item in _list(preferences.get("topicSubscriptionStatus"))]
    return {_text(topic.get("topicName"), 200) for topic in topics if topic.get("subscriptionStatus") == "OptOut"}


def _address(value: Any) -> str:
    """The normal form, without a display name; of what has none, the text itself in lower case."""
    text = _text(value, _LONGEST_ADDRESS)
    angled = _ANGLED.search(text)
    try:
        return addresses.normalise(angled[1] if angled else text)
    except addresses.InvalidAddress:
        return text.strip().lower()


def _tag(tags: dict[str, Any], name: str) -> str:
    """The first value of a tag; SES always sends lists."""
    values = tags.get(name)
    return _short(values[0] if isinstance(values, list) and values else values, 256)


def _instant(value: Any, received_at: datetime) -> datetime | None:
    """A time that is possible for an event received then, or None."""
    moment = _moment(value)
    return moment if moment and _SES_BEGAN <= moment <= received_at + _CLOCKS_DIFFER else None


def _moment(value: Any) -> datetime | None:
    """ISO 8601 as AWS writes it: `Z` or an offset, also behind a space; without either it is UTC."""
    text = re.sub(r"\s+(?=[+-]\d\d:?\d\d$)", "", _text(value, 50).strip())
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: Any, longest: int) -> str:
    """A text that PostgreSQL can store; legal JSON may hold NUL and lone surrogates."""
    return value[:longest].encode("utf-8", "replace").decode().replace("\x00", "\ufffd") if isinstance(value, str) else ""


def _short(value: Any, longest: int) -> str:
    """A text that means nothing when it is cut: empty when it is too long."""
    return _text(value, longest) if isinstance(value, str) and len(value) <= longest else ""


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
