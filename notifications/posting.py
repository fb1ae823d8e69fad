"""Into the outbox: a mail to one person is accepted, or refused with the reason; a worker sends it.

The row is written in the caller's transaction, so a mail whose cause is rolled back is never sent.
"""

import base64
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from notifications import email_templates, waking
from notifications.messages import Attachment, OutgoingMessage, UnsendableMessage, message_tags
from notifications.models import BLOCKS_ALL_MAIL, SkipReason, Suppression, TransactionalContent, TransactionalEmail
from notifications.transports.guarded import may_receive
from outreach import keyed_hashes
from outreach.errors import DomainError

log = structlog.get_logger("notifications")


class EmailSuppressed(DomainError):
    """The address is on the suppression list: it bounced, complained, or was put there by hand."""

    code = "EMAIL_SUPPRESSED"
    attr = "to"


class RecipientNotAllowed(DomainError):
    """This installation is a rehearsal, and its EMAIL_ALLOWED_RECIPIENTS does not list the address."""

    code = "RECIPIENT_NOT_ALLOWED"
    attr = "to"


class Unsendable(DomainError):
    """This mail cannot be made."""

    code = "EMAIL_UNSENDABLE"
    status = 400


def post_template(
    *, to: str, template_name: str, data: dict[str, Any], subject: str = "", by: str, now: datetime
) -> TransactionalEmail:
    """Accept a mail made from a file template for a normalised address.

    Raises EmailSuppressed, RecipientNotAllowed, Unsendable, and the errors of `email_templates.render`.
    """
    words = email_templates.render(template_name, data, subject=subject)
    message = compose(to=to, subject=words.subject, html=words.html, text=words.text, template_name=template_name)
    if refusal := _refusal(to):
        raise EmailSuppressed if refusal == SkipReason.SUPPRESSED else RecipientNotAllowed
    return _store(message, by=by, now=now)


def post_message(message: OutgoingMessage, *, by: str, now: datetime) -> TransactionalEmail:
    """Accept a ready message for the outbox; who must not be written to gets a row that says so, and no mail."""
    return _store(message, by=by, now=now, skip_reason=_refusal(message.to))


def compose(**parts: Any) -> OutgoingMessage:
    """A message from the configured sender. Raises Unsendable."""
    sender = {"from_email": settings.SES_FROM, "configuration_set": settings.SES_CONFIGURATION_SET}
    try:
        return OutgoingMessage(**sender | parts)
    except UnsendableMessage as error:
        raise Unsendable(str(error)) from error


def message_of(email_id: int) -> OutgoingMessage:
    """The message of a row, with its tags, ready for a transport. Raises UnsendableMessage."""
    try:
        email = TransactionalEmail.objects.select_related("content").get(pk=email_id)
        content = email.content
    except (TransactionalEmail.DoesNotExist, TransactionalContent.DoesNotExist):
        raise UnsendableMessage("text", "what this mail said is not kept any more") from None
    return OutgoingMessage(
        to=email.email,
        from_email=email.from_email,
        from_name=content.from_name,
        subject=email.subject,
        html=content.html,
        text=content.text,
        reply_to=tuple(content.reply_to),
        headers=tuple((name, value) for name, value in content.headers),
        tags=message_tags(send_id=email.send_id, campaign_id=None, kind="transactional"),
        template_name=email.template_name,
        configuration_set=settings.SES_CONFIGURATION_SET,
        attachments=tuple(_loaded(one) for one in content.attachments),
    )


def _refusal(to: str) -> str:
    if Suppression.objects.filter(email__in=[to, keyed_hashes.hash_of(to)], reason__in=BLOCKS_ALL_MAIL).exists():
        return SkipReason.SUPPRESSED
    return "" if may_receive(to) else SkipReason.NOT_ALLOWED


@transaction.atomic
def _store(message: OutgoingMessage, *, by: str, now: datetime, skip_reason: str = "") -> TransactionalEmail:
    email = TransactionalEmail.objects.create(
        email=message.to,
        template_name=message.template_name,
        subject=message.subject,
        from_email=message.from_email,
        created_by=by[:150],
        created_at=now,
        skip_reason=skip_reason,
        skipped_at=now if skip_reason else None,
    )
    if skip_reason:
        log.info("email_not_posted", to=message.to, reason=skip_reason, template_name=message.template_name)
        return email
    TransactionalContent.objects.create(
        email=email,
        html=message.html,
        text=message.text,
        from_name=message.from_name,
        reply_to=list(message.reply_to),
        headers=[list(pair) for pair in message.headers],
        attachments=[_stored(one) for one in message.attachments],
    )
    transaction.on_commit(waking.send_transactional_soon)
    return email


def _stored(attachment: Attachment) -> dict[str, str]:
    return {
        "name": attachment.name,
        "content": base64.b64encode(attachment.content).decode(),
        "content_type": attachment.content_type,
        "content_id": attachment.content_id,
    }


def _loaded(stored: dict[str, str]) -> Attachment:
    names = {name: stored[name] for name in ("name", "content_type", "content_id")}
    return Attachment(content=base64.b64decode(stored["content"]), **names)
