"""Campaigns and the ledger of their sends."""

import secrets
from typing import ClassVar

from django.db import models
from django.db.models import Q

from notifications.models import Delivery
from prospects.models import Prospect


class CampaignStatus(models.TextChoices):
    DRAFT = "draft"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"


# Their words may still change; while mail leaves, every recipient gets the same.
EDITABLE = frozenset({CampaignStatus.DRAFT, CampaignStatus.PAUSED})


def _new_key() -> str:
    return secrets.token_hex(6)


class Campaign(models.Model):
    """One message to many people."""

    name = models.CharField(max_length=200)
    subject = models.CharField(max_length=250)
    body_html = models.TextField(blank=True, default="")
    body_text = models.TextField(blank=True, default="", help_text="Made from the HTML when empty.")
    from_email = models.CharField(max_length=254, blank=True, default="", help_text="The configured sender when empty.")
    from_name = models.CharField(max_length=100, blank=True, default="")
    reply_to = models.CharField(max_length=254, blank=True, default="")
    audience = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=8, choices=CampaignStatus, default=CampaignStatus.DRAFT)
    pause_reason = models.CharField(max_length=500, blank=True, default="")
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True, blank=True)
    started_by = models.CharField(max_length=150, blank=True, default="")
    finished_at = models.DateTimeField(null=True, blank=True)

    # Travels in every mail's tags, so that another installation's events never match our rows.
    key = models.CharField(max_length=12, default=_new_key, editable=False, unique=True)
    # The ticket of the sending loop: each chunk uses it up, so a doubled task finds it void.
    generation = models.PositiveBigIntegerField(default=0, editable=False)
    loop_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Everyone with an id up to here has been enrolled; null when enrolment is complete.
    enrolled_through = models.BigIntegerField(null=True, blank=True, default=0, editable=False)

    class Meta:
        db_table = "email_campaigns"
        permissions: ClassVar = [("send_campaign", "Can send, pause and resume campaigns")]
        indexes: ClassVar = [models.Index(fields=["id"], name="campaigns_sending", condition=Q(status="sending"))]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(status__in=CampaignStatus.values), name="campaign_status_known"),
            models.CheckConstraint(condition=Q(status="draft") | Q(started_at__isnull=False), name="campaign_started_says_when"),
            models.CheckConstraint(condition=~Q(status="sent") | Q(finished_at__isnull=False), name="campaign_sent_says_when"),
        ]

    def __str__(self) -> str:
        return self.name


class SkipReason(models.TextChoices):
    """Why a person who was planned did not get the mail."""

    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"
    DELETED = "deleted", "the prospect was deleted"
    ADDRESS_CHANGED = "address_changed", "the prospect has another address now"


# What ends a mail, as far as SES tells: what it says afterwards is more of the same, or worse.
_ENDS = (
    "delivered_at",
    "opened_at",
    "clicked_at",
    "bounced_at",
    "soft_bounced_at",
    "complained_at",
    "rejected_at",
)


def _without_end() -> Q:
    # The log transport's message ids begin so: no event will ever tell of its mails.
    accepted = Q(sent_at__isnull=False) & ~Q(message_id__startswith="log-")
    return accepted & Q(**{f"{fact}__isnull": True for fact in _ENDS})


class EmailSendQuerySet(models.QuerySet["EmailSend"]):
    def without_final_event(self) -> "EmailSendQuerySet":
        """Accepted by SES, which has not said yet how it ended."""
        return self.filter(_without_end())


class EmailSend(Delivery):
    """The ledger: one row for each person of a campaign, from planned to settled."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="sends", db_index=False)
    prospect = models.ForeignKey(Prospect, null=True, blank=True, on_delete=models.SET_NULL, related_name="sends", db_index=False)
    unsubscribed_at = models.DateTimeField(null=True, blank=True)

    objects = EmailSendQuerySet.as_manager()

    class Meta:
        db_table = "email_sends"
        indexes: ClassVar = [
            models.Index(fields=["sent_at"], name="sends_without_end", condition=_without_end()),
            models.Index(
                fields=["campaign", "id"],
                name="sends_waiting",
                condition=Q(status="queued"),
            ),
            models.Index(fields=["lease_until"], name="sends_leased", condition=Q(lease_until__isnull=False)),
            models.Index(fields=["call_started_at"], name="sends_called", condition=Q(call_started_at__isnull=False)),
            models.Index(fields=["campaign", "status"], name="sends_by_status"),
            models.Index(fields=["message_id"], name="sends_by_message", condition=~Q(message_id="")),
        ]
        constraints: ClassVar = [
            # Nobody twice: neither the person nor, after a delete and a new import, the address.
            models.UniqueConstraint(fields=["prospect", "campaign"], name="once_per_prospect"),
            models.UniqueConstraint(fields=["campaign", "email"], name="once_per_address"),
            models.CheckConstraint(
                condition=Q(claimed_by__isnull=True, lease_until__isnull=True)
                | Q(claimed_by__isnull=False, lease_until__isnull=False),
                name="claim_and_lease_together",
            ),
            models.CheckConstraint(
                condition=Q(skipped_at__isnull=True, skip_reason="") | (Q(skipped_at__isnull=False) & ~Q(skip_reason="")),
                name="skipped_says_why",
            ),
            models.CheckConstraint(
                condition=Q(skipped_at__isnull=True) | Q(call_started_at__isnull=True), name="skipped_was_never_called"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} in campaign {self.campaign_id}"

    @property
    def send_id(self) -> str:
        """The opaque id that travels as a message tag and comes back with every event."""
        return f"{self.campaign.key}-{self.pk}"
