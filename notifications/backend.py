"""Django's own mail (password resets, error mail, whatever an app sends) through the outbox: EMAIL_BACKEND.

So suppression, the ledger, events and the log hold for it too. Every recipient, cc and bcc included, gets a mail
of their own, addressed to them alone (docs/decisions).
"""

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from email.header import Header
from email.message import Message
from email.utils import getaddresses, parseaddr
from typing import Any

import structlog
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.utils import timezone

from notifications import posting
from notifications.messages import LONGEST_LINE, Attachment, OutgoingMessage, subject_octets
from outreach import addresses

log = structlog.get_logger("notifications")

# SES writes these itself, or they have an argument of their own.
_OURS = frozenset({"from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "return-path"})
_SHORTENED = 200
# Error mail about an error in here would never end.
_busy: ContextVar[bool] = ContextVar("posting_mail", default=False)


class UnsupportedMessage(ValueError):
    """The outbox cannot send such a mail faithfully, and refuses it instead of changing what it says."""


class EmailBackend(BaseEmailBackend):
    """Puts messages into the outbox; a worker sends them. Nothing is sent when the transaction is rolled back."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Accept messages; returns how many were accepted for at least one recipient.

        A recipient who must not be written to gets a row that says so, and no error. Raises UnsupportedMessage,
        posting.Unsendable and database errors, unless `fail_silently`: then they are logged.
        """
        if _busy.get():
            return 0
        token = _busy.set(True)
        try:
            return sum(self._post(message) for message in email_messages)
        finally:
            _busy.reset(token)

    def _post(self, message: EmailMessage) -> bool:
        try:
            prepared = list(_messages(message))
            with transaction.atomic():
                rows = [posting.post_message(one, by=_sender_of(message), now=timezone.now()) for one in prepared]
            return any(not row.skip_reason for row in rows)
        except Exception as error:
            if not self.fail_silently:
                raise
            # A warning: loggers of Django's that mail errors to people are not above this one.
            log.warning("email_not_posted", subject=str(message.subject)[:_SHORTENED], error=f"{type(error).__name__}: {error}")
            return False


def _messages(message: EmailMessage) -> Iterator[OutgoingMessage]:
    """The message for each of its recipients, checked before any of them is stored."""
    from_name, from_email = parseaddr(str(message.extra_headers.get("From", message.from_email)))
    html, text = _bodies(message)
    parts: dict[str, Any] = {
        "from_email": _normal(from_email, "from_email"),
        "from_name": from_name,
        "reply_to": tuple(_normal(address, "reply_to") for address in _addresses(_reply_to(message))),
        "subject": _subject(message),
        "html": html,
        "text": text,
        "headers": tuple(_headers(message.extra_headers)),
        "attachments": tuple(_attachment(one) for one in message.attachments),
        "template_name": str(getattr(message, "template_name", "")),
    }
    for to in dict.fromkeys(_normal(address, "to") for address in _addresses(message.recipients())):
        yield posting.compose(to=to, **parts)


def _addresses(values: Iterable[Any]) -> Iterator[str]:
    yield from (address for _, address in getaddresses([str(value) for value in values]))


def _normal(address: str, field: str) -> str:
    try:
        return addresses.normalise(address)
    except addresses.InvalidAddress as error:
        raise posting.Unsendable(f"{field}: not an e-mail address: {error}") from error


def _reply_to(message: EmailMessage) -> list[Any]:
    header = message.extra_headers.get("Reply-To")
    return [header] if header else list(message.reply_to)


def _subject(message: EmailMessage) -> str:
    """Cut where SES' limit would refuse it: the subject of error mail is an exception's message."""
    subject = str(message.subject)
    return subject if subject_octets(subject) <= LONGEST_LINE else f"{subject[:_SHORTENED]}…"


def _bodies(message: EmailMessage) -> tuple[str, str]:
    """HTML and text. Raises UnsupportedMessage for other alternatives, such as an invitation to a meeting."""
    body = str(message.body or "")
    html, text = (body, "") if message.content_subtype == "html" else ("", body)
    for content, kind in message.alternatives if isinstance(message, EmailMultiAlternatives) else []:
        if kind != "text/html" or html:
            raise UnsupportedMessage(f"A mail has one text and one HTML body; this one has a {kind} alternative besides.")
        html = content.decode() if isinstance(content, bytes) else str(content)
    # Django allows a mail that says nothing; SES does not.
    return html, text or ("" if html else "\n")


def _headers(extra: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in extra.items():
        if name.lower() not in _OURS:
            words = str(value)
            encoded = words.isascii() or "\n" in words or "\r" in words  # a line break is refused as it is
            yield name, words if encoded else Header(words, "utf-8").encode(linesep="", maxlinelen=75)


def _attachment(given: Any) -> Attachment:
    """Django's attachment, (name, content, type) or a MIME part, as SES takes it."""
    if isinstance(given, Message):
        content_id = str(given.get("Content-ID", "")).strip().strip("<>")
        return _named(given.get_filename(), _payload(given), given.get_content_type(), content_id)
    name, content, kind = given[0], given[1], given[2]
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, Message):
        content = content.as_bytes()
    return _named(name, content.encode() if isinstance(content, str) else bytes(content), kind, "")


def _payload(part: Message) -> bytes:
    payload: Any = part.get_payload() if part.is_multipart() else part.get_payload(decode=True)
    # An attached mail is a part that holds one; of other parts within parts the outermost is what is attached.
    if isinstance(payload, list):
        return payload[0].as_bytes() if part.get_content_type() == "message/rfc822" else part.as_bytes()
    return bytes(payload or b"")


def _named(name: str | None, content: bytes, kind: str | None, content_id: str) -> Attachment:
    kind = (kind or mimetypes.guess_type(name or "")[0] or "application/octet-stream").lower()
    name = name or f"attachment{mimetypes.guess_extension(kind) or ''}"
    return Attachment(name=name, content=content, content_type=kind, content_id=content_id)


def _sender_of(message: EmailMessage) -> str:
    return str(getattr(message, "created_by", "")) or "Django"
