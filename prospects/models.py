"""People, their consent, and the imports that brought them."""

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now


class ProspectStatus(models.TextChoices):
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class ProspectQuerySet(models.QuerySet["Prospect"]):
    def search(self, text: str) -> "ProspectQuerySet":
        """People whose address, name or company contains the text, whatever its case."""
        return self.filter(
            Q(email__icontains=text) | Q(first_name__icontains=text) | Q(last_name__icontains=text) | Q(company__icontains=text)
        )


class Prospect(models.Model):
    """A person who may be written to, until one of three facts says otherwise.

    The status follows from the facts in the database itself; no code path can leave a person
    `active` who bounced, complained or said no.
    """

    email = models.CharField(max_length=254, unique=True)
    first_name = models.CharField(max_length=150, blank=True, default="")
    last_name = models.CharField(max_length=150, blank=True, default="")
    company = models.CharField(max_length=200, blank=True, default="")
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=200, blank=True, default="")
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    bounced_at = models.DateTimeField(null=True, blank=True)
    complained_at = models.DateTimeField(null=True, blank=True)
    unsubscribe_token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    status = models.GeneratedField(
        expression=Case(
            When(complained_at__isnull=False, then=Value(ProspectStatus.COMPLAINED)),
            When(bounced_at__isnull=False, then=Value(ProspectStatus.BOUNCED)),
            When(unsubscribed_at__isnull=False, then=Value(ProspectStatus.UNSUBSCRIBED)),
            default=Value(ProspectStatus.ACTIVE),
        ),
        output_field=models.CharField(max_length=12, choices=ProspectStatus),
        db_persist=True,
    )

    objects = ProspectQuerySet.as_manager()

    class Meta:
        db_table = "prospects"
        permissions: ClassVar = [("erase_person", "Can erase everything held about a person")]
        indexes: ClassVar = [
            GinIndex(fields=["tags"], name="prospects_tags"),
            models.Index(fields=["status", "id"], name="prospects_status"),
        ]
        constraints: ClassVar = [
            # The normal form is computed in one place (outreach.addresses); this catches who forgot it.
            models.CheckConstraint(condition=Q(email__regex=r"^[!-?A-~]+@[!-?A-~]+$"), name="prospect_email_shape"),
            models.CheckConstraint(condition=~Q(email__regex=r"[A-Z]"), name="prospect_email_lower_case"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Unsubscribe(models.Model):
    """The audit of a no: who, when, how, and which campaign the person left through.

    Holds the address and token itself, so that it outlives the prospect and the campaign.
    """

    class Method(models.TextChoices):
        PAGE = "page", "button on the unsubscribe page"
        ONE_CLICK = "one_click", "one click in the mail program (RFC 8058)"
        COMPLAINT = "complaint", "reported as spam"
        SES = "ses", "SES list management"
        API = "api", "API"
        ADMIN = "admin", "admin"

    class UserAgent(models.TextChoices):
        """What kind of program said it. The string itself is not kept: it tells people apart, and nobody needs that."""

        PROVIDER = "mailbox_provider", "mailbox provider or mail program"
        BROWSER = "browser", "browser"
        OTHER = "other", "other"

    prospect = models.ForeignKey(Prospect, null=True, blank=True, on_delete=models.SET_NULL, related_name="unsubscribes")
    email = models.CharField(max_length=254, db_index=True)
    method = models.CharField(max_length=12, choices=Method)
    campaign_key = models.CharField(max_length=12, blank=True, db_index=True)
    user_agent = models.CharField(max_length=20, choices=UserAgent, blank=True)
    event_fingerprint = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    # A no that its owner took back within minutes; the row stays, as the record of both.
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "unsubscribes"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["event_fingerprint"], condition=~Q(event_fingerprint=""), name="one_unsubscribe_per_event"
            ),
            models.CheckConstraint(
                condition=Q(undone_at__isnull=True, undone_by="") | (Q(undone_at__isnull=False) & ~Q(undone_by="")),
                name="undone_says_when_and_by_whom",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.method})"


class RetiredToken(models.Model):
    """The unsubscribe token of a deleted prospect: the link in an old mail works for good."""

    token = models.UUIDField(primary_key=True)
    email = models.CharField(max_length=254)
    retired_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "retired_unsubscribe_tokens"

    def __str__(self) -> str:
        return self.email


class ProspectImport(models.Model):
    """One imported file and the account of its rows."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    file_name = models.CharField(max_length=255, blank=True)
    file_path = models.CharField(max_length=500, blank=True, help_text="Where a background import waits.")
    created_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    rows = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    invalid = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    suppressed = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=50, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        db_table = "prospect_imports"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="done")
                | Q(
                    rows=models.F("created")
                    + models.F("updated")
                    + models.F("unchanged")
                    + models.F("invalid")
                    + models.F("duplicate")
                ),
                name="every_imported_row_accounted_for",
            )
        ]

    def __str__(self) -> str:
        return self.file_name or f"import {self.pk}"


class RejectedRow(models.Model):
    """A row of an imported file that was not taken, and why."""

    prospect_import = models.ForeignKey(ProspectImport, on_delete=models.CASCADE, related_name="rejected_rows")
    line = models.PositiveIntegerField()
    email = models.CharField(max_length=300, blank=True)
    code = models.CharField(max_length=40)
    detail = models.CharField(max_length=500)

    class Meta:
        db_table = "prospect_import_rejected_rows"

    def __str__(self) -> str:
        return f"line {self.line}: {self.code}"


class PersonRequest(models.Model):
    """The audit of a person's rights: whose data was erased or exported (by keyed hash), by whom, when and why."""

    class Kind(models.TextChoices):
        ERASE = "erase", "Erased"
        EXPORT = "export", "Exported"

    kind = models.CharField(max_length=6, choices=Kind)
    email_hash = models.CharField(max_length=80, db_index=True)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    why = models.TextField(blank=True)
    counts = models.JSONField(default=dict)

    class Meta:
        db_table = "person_requests"
        verbose_name = "erasure or export"
        verbose_name_plural = "erased and exported"
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(kind="erase") | ~Q(why=""), name="erasure_has_a_reason"),
            models.CheckConstraint(condition=~Q(requested_by=""), name="person_request_says_who"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.email_hash}"
