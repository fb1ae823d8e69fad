"""Campaigns and the ledger of their sends."""

import secrets
from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from notifications.models import Delivery, delivery_constraints
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
    # Since when it sends without a pause: what went wrong before a person resumed it is that person's business.
    sending_since = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    # Tries in a row that did not reach SES, and the last of them; an answer, or whoever resumes it, begins anew.
    unreached_tries = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    unreached_at = models.DateTimeField(null=True, blank=True, editable=False)

    # Travels in every mail's tags, so that another installation's events never match our rows.
    key = models.CharField(max_length=12, default=_new_key, editable=False, unique=True)
    # The ticket of the sending loop: each chunk uses it up, so a doubled task finds it void.
    generation = models.PositiveBigIntegerField(default=0, editable=False)
    loop_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    woken_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Everyone with an id up to here has been enrolled; null when enrolment is complete.
    enrolled_through = models.BigIntegerField(null=True, blank=True, default=0, editable=False)
    # How many rows of the ledger enrolment has made: an alarm compares. Null: it had begun before they were counted.
    enrolled = models.BigIntegerField(null=True, blank=True, default=0, editable=False)
    # Calls were under way when the audience changed: whoever's came back unsent may have to leave before it sends again.
    let_go_before_start = models.BooleanField(default=False, db_default=False, editable=False)

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


class CampaignLane(models.Model):
    """A loop beside a campaign's own, for rates that one process cannot reach. It claims and sends, nothing else.

    `generation` is its ticket and `seen_at` its sign of life, as the campaign's own loop has them; a lane
    without a sign of life rests until the campaign's loop wakes it.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="lanes", db_index=False)
    number = models.PositiveSmallIntegerField()
    generation = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "campaign_lanes"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "number"], name="lane_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="lane_beside_the_loop"),
        ]

    def __str__(self) -> str:
        return f"lane {self.number} of campaign {self.campaign_id}"


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
    # Rises when a person has an unknown mail sent again; the facts of a row are about the person, whichever attempt told.
    attempt = models.PositiveSmallIntegerField(db_default=1, editable=False)

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
            # BRIN: rows are called in the order in which they lie, and marking a call started may then stay on
            # its page (a heap-only update, from PostgreSQL 16) instead of touching every index.
            BrinIndex(fields=["call_started_at"], name="sends_called", pages_per_range=32, autosummarize=True),
            models.Index(fields=["campaign", "status"], name="sends_by_status"),
            models.Index(fields=["message_id"], name="sends_by_message", condition=~Q(message_id="")),
            # Of few rows each, so that they cost nothing while all is well (see `safeguards`, `watching`). None holds
            # what changes when a call starts: that update may stay on its page.
            models.Index(fields=["campaign", "failed_at"], name="sends_refused", condition=Q(failed_at__isnull=False)),
            models.Index(fields=["campaign", "unknown_at"], name="sends_undecided", condition=Q(unknown_at__isnull=False)),
            models.Index(fields=["campaign", "bounced_at"], name="sends_bounced", condition=Q(bounced_at__isnull=False)),
            models.Index(fields=["campaign", "complained_at"], name="sends_complained", condition=Q(complained_at__isnull=False)),
            models.Index(fields=["campaign", "id"], name="sends_retried", condition=Q(attempt__gt=1)),
        ]
        constraints: ClassVar = [
            # Nobody twice: neither the person nor, after a delete and a new import, the address.
            models.UniqueConstraint(fields=["prospect", "campaign"], name="once_per_prospect"),
            models.UniqueConstraint(fields=["campaign", "email"], name="once_per_address"),
            *delivery_constraints(),
        ]

    def __str__(self) -> str:
        return f"{self.email} in campaign {self.campaign_id}"

    @property
    def send_id(self) -> str:
        """The opaque id that travels as a message tag and comes back with every event; each attempt has its own."""
        return send_id(self.campaign.key, self.pk, self.attempt)


def send_id(campaign_key: str, pk: int, attempt: int = 1) -> str:
    """The tag of one attempt: the first has none of its number."""
    return f"{campaign_key}-{pk}" if attempt == 1 else f"{campaign_key}-{pk}-{attempt}"


class SendAttempt(models.Model):
    """An attempt that the row of its send no longer speaks of: it was unknown, and a person had the mail sent again.

    Its mail may have left all the same, so its events must still find the send.
    """

    send = models.ForeignKey(EmailSend, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    attempt = models.PositiveSmallIntegerField()
    message_id = models.CharField(max_length=255, blank=True, default="")
    call_started_at = models.DateTimeField(null=True, blank=True)
    unknown_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        db_table = "email_send_attempts"
        indexes: ClassVar = [
            models.Index(fields=["message_id"], name="attempts_by_message", condition=~Q(message_id="")),
            models.Index(fields=["sent_at"], name="attempts_that_left", condition=Q(sent_at__isnull=False)),
            models.Index(fields=["call_started_at"], name="attempts_called", condition=Q(call_started_at__isnull=False)),
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["send", "attempt"], name="attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of send {self.send_id}"


class SendDecision(models.Model):
    """The audit of what a person decided about an unknown send: who, when, why, and what was known of it before."""

    class Verb(models.TextChoices):
        RETRY = "retry", "Send again"
        GIVE_UP = "give_up", "Give up"

    send = models.ForeignKey(EmailSend, on_delete=models.PROTECT, related_name="decisions")
    verb = models.CharField(max_length=8, choices=Verb)
    attempt = models.PositiveSmallIntegerField()
    decided_at = models.DateTimeField()
    decided_by = models.CharField(max_length=150)
    why = models.TextField()
    call_started_at = models.DateTimeField(null=True, blank=True)
    unknown_at = models.DateTimeField()
    error = models.TextField(blank=True)

    class Meta:
        db_table = "email_send_decisions"
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(why="") & ~Q(decided_by=""), name="decision_says_who_and_why"),
            # Two people who decide at once: the second finds it decided.
            models.UniqueConstraint(fields=["send", "attempt"], name="decided_once"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} send {self.send_id} by {self.decided_by}"


class RaisedAlarm(models.Model):
    """An alarm that goes on: its row is made once and removed once, however many processes watch."""

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=60)
    campaign_id = models.BigIntegerField(null=True, blank=True)
    facts = models.JSONField(default=dict)
    raised_at = models.DateTimeField()

    class Meta:
        db_table = "email_alarms"

    def __str__(self) -> str:
        return self.key
