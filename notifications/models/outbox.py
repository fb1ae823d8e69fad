"""Transactional mail out."""

import secrets
from typing import ClassVar

from django.db import models
from django.db.models import Q

from notifications.models.deliveries import Delivery, delivery_constraints


class SkipReason(models.TextChoices):
    """Why a transactional mail was not sent although somebody asked for it."""

    SUPPRESSED = "suppressed"
    NOT_ALLOWED = "not_allowed", "not in EMAIL_ALLOWED_RECIPIENTS"
    ERASED = "erased", "the person was erased"


def _new_key() -> str:
    return secrets.token_hex(12)


class TransactionalEmail(Delivery):
    """The outbox: one mail to one person that a program asked for, from accepted to settled."""

    # Travels in the mail's tags; random, so that another installation's events never match our rows.
    key = models.CharField(max_length=24, default=_new_key, unique=True, editable=False)
    template_name = models.CharField(max_length=100, blank=True)
    subject = models.CharField(max_length=1000)
    from_email = models.CharField(max_length=254)
    created_by = models.CharField(max_length=150, blank=True)
    # Not before this moment again: SES asked for a pause, or a person must act first.
    retry_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "transactional_emails"
        indexes: ClassVar = [
            models.Index(fields=["id"], name="outbox_waiting", condition=Q(status="queued")),
            models.Index(fields=["lease_until"], name="outbox_leased", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["message_id"], name="outbox_by_message", condition=~Q(message_id="")),
            models.Index(fields=["email", "-id"], name="outbox_by_address"),
        ]
        constraints: ClassVar = delivery_constraints(prefix="outbox_")

    def __str__(self) -> str:
        return f"{self.template_name or 'mail'} to {self.email}"

    @property
    def send_id(self) -> str:
        """The opaque id that travels as a message tag and comes back with every event."""
        return f"t-{self.key}"


class TransactionalContent(models.Model):
    """What a transactional mail says, kept apart so that it can be forgotten: it may be personal or a way to sign in."""

    email = models.OneToOneField(TransactionalEmail, primary_key=True, on_delete=models.CASCADE, related_name="content")
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)
    from_name = models.CharField(max_length=320, blank=True)
    reply_to = models.JSONField(default=list)
    headers = models.JSONField(default=list)
    attachments = models.JSONField(default=list)

    class Meta:
        db_table = "transactional_contents"

    def __str__(self) -> str:
        return f"content of {self.email_id}"


class IdempotencyKey(models.Model):
    """One answered request: the same key with the same body gets the same answer until `expires_at`."""

    caller = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    body_digest = models.CharField(max_length=64)
    answer_status = models.PositiveSmallIntegerField()
    answer = models.JSONField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "idempotency_keys"
        constraints: ClassVar = [models.UniqueConstraint(fields=["caller", "key"], name="one_answer_per_key")]

    def __str__(self) -> str:
        return f"{self.key} of {self.caller}"
