"""Mail out, events in, and who must not be written to."""

import secrets
from typing import ClassVar

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now


class DeliveryStatus(models.TextChoices):
    """What became of one mail, told by the strongest fact known about it."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


# Accepted by SES, whatever happened to the mail afterwards.
ACCEPTED = frozenset(
    {
        DeliveryStatus.SENT,
        DeliveryStatus.DELIVERED,
        DeliveryStatus.OPENED,
        DeliveryStatus.CLICKED,
        DeliveryStatus.BOUNCED,
        DeliveryStatus.COMPLAINED,
    }
)
# Nothing more is going to happen to these by themselves.
SETTLED = ACCEPTED | {DeliveryStatus.FAILED, DeliveryStatus.SKIPPED, DeliveryStatus.UNKNOWN}
# On their way: planned, and neither sent, failed, skipped nor unknown yet.
UNSETTLED = frozenset({DeliveryStatus.QUEUED, DeliveryStatus.SENDING})


def _status_from_facts() -> Case:
    # Order is the whole rule: the first fact that is known names the status, so that events may
    # come late, twice or backwards and one result follows (ses_facts: state order).
    return Case(
        When(complained_at__isnull=False, then=Value(DeliveryStatus.COMPLAINED)),
        When(bounced_at__isnull=False, then=Value(DeliveryStatus.BOUNCED)),
        When(rejected_at__isnull=False, then=Value(DeliveryStatus.FAILED)),
        When(clicked_at__isnull=False, then=Value(DeliveryStatus.CLICKED)),
        When(opened_at__isnull=False, then=Value(DeliveryStatus.OPENED)),
        When(delivered_at__isnull=False, then=Value(DeliveryStatus.DELIVERED)),
        When(sent_at__isnull=False, then=Value(DeliveryStatus.SENT)),
        When(failed_at__isnull=False, then=Value(DeliveryStatus.FAILED)),
        When(skipped_at__isnull=False, then=Value(DeliveryStatus.SKIPPED)),
        When(unknown_at__isnull=False, then=Value(DeliveryStatus.UNKNOWN)),
        When(claimed_by__isnull=False, then=Value(DeliveryStatus.SENDING)),
        default=Value(DeliveryStatus.QUEUED),
    )


class Delivery(models.Model):
    """One mail to one person: a timestamp per fact, and the status that follows from them.

    `claimed_by` and `lease_until` are the worker's lease; `call_started_at` is committed before the
    first byte goes to SES, so that a row without it was certainly not sent.
    """

    email = models.CharField(max_length=254)
    claimed_by = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    call_started_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    unknown_at = models.DateTimeField(null=True, blank=True)
    skipped_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    delayed_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    clicked_at = models.DateTimeField(null=True, blank=True)
    bounced_at = models.DateTimeField(null=True, blank=True)
    # SES gave up for now: final for this mail, and no verdict about the address.
    soft_bounced_at = models.DateTimeField(null=True, blank=True)
    # SES never tried, because of a list of its own: bounced or complained, and no part of our rates.
    not_attempted_at = models.DateTimeField(null=True, blank=True)
    complained_at = models.DateTimeField(null=True, blank=True)
    rejected_at = models.DateTimeField(null=True, blank=True)
    message_id = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    skip_reason = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    status = models.GeneratedField(
        expression=_status_from_facts(),
        output_field=models.CharField(max_length=12, choices=DeliveryStatus),
        db_persist=True,
    )

    class Meta:
        abstract = True


class SuppressionReason(models.TextChoices):
    """Why an address is on the list, weakest first."""

    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"


# A stronger reason replaces a weaker one, never the reverse.
STRENGTH: dict[str, int] = {reason: rank for rank, reason in enumerate(SuppressionReason)}
BLOCKS_ALL_MAIL = frozenset({SuppressionReason.MANUAL, SuppressionReason.BOUNCE, SuppressionReason.COMPLAINT})


class Suppression(models.Model):
    """An address that must not be written to. Consulted in the statement that claims a mail."""

    email = models.CharField(max_length=254, unique=True)
    reason = models.CharField(max_length=12, choices=SuppressionReason)
    suppressed_at = models.DateTimeField()
    # When the address said no to outreach; stays when a stronger reason comes and when that is lifted.
    unsubscribed_at = models.DateTimeField(null=True, blank=True, editable=False)
    source = models.CharField(max_length=150, blank=True, help_text="Who or what put it here.")
    note = models.TextField(blank=True)
    # When the SES account's own list was last known to have it; never asked for again from then on.
    at_ses_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "email_suppressions"
        indexes: ClassVar = [
            models.Index(fields=["-suppressed_at"], name="suppressions_recent"),
            models.Index(
                fields=["id"], name="suppressions_for_ses", condition=Q(reason__in=["bounce", "complaint"], at_ses_at=None)
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(reason__in=SuppressionReason.values), name="suppression_reason_known"),
            models.CheckConstraint(
                condition=~Q(reason="unsubscribe") | Q(unsubscribed_at__isnull=False), name="unsubscribe_says_when"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} ({self.reason})"


class SuppressionLift(models.Model):
    """The audit of a lifted suppression: who took which address off the list, and why."""

    email = models.CharField(max_length=254, db_index=True)
    reason = models.CharField(max_length=12, choices=SuppressionReason)
    suppressed_at = models.DateTimeField()
    lifted_at = models.DateTimeField()
    lifted_by = models.CharField(max_length=150)
    why = models.TextField()

    class Meta:
        db_table = "email_suppression_lifts"
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(why=""), name="lift_has_a_reason")]

    def __str__(self) -> str:
        return f"{self.email} lifted by {self.lifted_by}"


class SesListConflict(models.Model):
    """An address that SES still keeps on the account's list after a person took it off ours; and its removal there.

    Nothing is deleted at SES without a person: `settled_*` say who did, when and why.
    """

    address = models.CharField(max_length=320, help_text="As SES spells it.")
    reason = models.CharField(max_length=12, choices=SuppressionReason)
    listed_at = models.DateTimeField(null=True, blank=True, help_text="Since when SES has listed it.")
    found_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.CharField(max_length=150, blank=True)
    why = models.TextField(blank=True)

    class Meta:
        db_table = "email_ses_list_conflicts"
        verbose_name = "conflict with SES"
        verbose_name_plural = "conflicts with SES"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["address"], condition=Q(settled_at=None), name="one_open_conflict_per_address"),
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_by="", why="")
                | (Q(settled_at__isnull=False) & ~Q(settled_by="") & ~Q(why="")),
                name="settled_conflict_says_who_and_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.address} ({self.reason})"


class EmailEvent(models.Model):
    """The durable inbox: one verified event, kept as it came, applied by a task."""

    class Route(models.TextChoices):
        EVENTBRIDGE = "eventbridge"
        SNS = "sns"

    class State(models.TextChoices):
        PENDING = "pending"
        APPLIED = "applied"
        PARKED = "parked", "parked: about a mail that is not known (yet)"
        IGNORED = "ignored", "ignored: of no interest"

    # What the event says, hashed: the same news by both routes, or twice, is one row.
    fingerprint = models.CharField(max_length=64, unique=True)
    route = models.CharField(max_length=12, choices=Route)
    event_type = models.CharField(max_length=64)
    message_id = models.CharField(max_length=255, blank=True)
    send_id = models.CharField(max_length=256, blank=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    body = models.BinaryField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    applied_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    # When a parked event is looked at again; each time it has waited twice as long.
    look_again_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "email_events"
        indexes: ClassVar = [
            models.Index(fields=["id"], name="events_pending", condition=Q(state="pending")),
            models.Index(fields=["message_id"], name="events_parked", condition=Q(state="parked")),
            models.Index(fields=["look_again_at"], name="events_look_again", condition=Q(state="parked")),
            models.Index(fields=["received_at"], name="events_of_strangers", condition=Q(state="parked")),
            models.Index(fields=["message_id", "occurred_at"], name="events_of_a_mail", condition=~Q(message_id="")),
            models.Index(fields=["send_id"], name="events_of_a_send", condition=~Q(send_id="")),
            models.Index(fields=["-received_at"], name="events_recent"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state="applied", applied_at__isnull=False) | ~Q(state="applied"), name="applied_event_says_when"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.message_id}"


class SoftBounce(models.Model):
    """One bounce that was not permanent, by its address: several in a row are a loss (`soft_bouncing`)."""

    fingerprint = models.CharField(max_length=64, unique=True)
    email = models.CharField(max_length=254, db_index=True)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        db_table = "soft_bounces"

    def __str__(self) -> str:
        return f"{self.email} at {self.occurred_at}"


class SendPace(models.Model):
    """The one clock of all workers: no mail leaves before the next free slot (see `pacing`).

    Besides, what the SES account allows, as `GetAccount` last said (see `quota`).
    """

    id = models.SmallIntegerField(primary_key=True)
    next_slot_at = models.DateTimeField()
    urgent_slot_at = models.DateTimeField(null=True, blank=True)
    urgent_taken = models.BigIntegerField(db_default=0)
    # What part of the full rate was left by the throttle at `throttled_at`; it grows from there.
    share = models.FloatField(db_default=1)
    throttled_at = models.DateTimeField(null=True, blank=True)
    account_rate = models.FloatField(null=True, blank=True, help_text="Mails per second.")
    account_quota = models.FloatField(null=True, blank=True, help_text="Mails per rolling 24 hours; empty when unlimited.")
    account_sent = models.FloatField(null=True, blank=True, help_text="Mails of the last 24 hours when SES was asked.")
    account_sending = models.BooleanField(db_default=True)
    account_in_sandbox = models.BooleanField(db_default=False)
    account_asked_at = models.DateTimeField(null=True, blank=True)
    account_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "send_pace"
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="only_one_pace")]

    def __str__(self) -> str:
        return f"next slot at {self.next_slot_at}"


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
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(claimed_by__isnull=True, lease_until__isnull=True)
                | Q(claimed_by__isnull=False, lease_until__isnull=False),
                name="outbox_claim_and_lease_together",
            ),
            models.CheckConstraint(
                condition=Q(skipped_at__isnull=True, skip_reason="") | (Q(skipped_at__isnull=False) & ~Q(skip_reason="")),
                name="outbox_skipped_says_why",
            ),
            models.CheckConstraint(
                condition=Q(skipped_at__isnull=True) | Q(call_started_at__isnull=True), name="outbox_skipped_was_never_called"
            ),
        ]

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
