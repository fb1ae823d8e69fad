"""One mail to one person, of a campaign or not, and what became of it."""

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


def delivery_constraints(*, prefix: str = "") -> list[models.BaseConstraint]:
    """What the database holds every kind of delivery to. Names are unique in a database, so each kind has its prefix."""
    return [
        models.CheckConstraint(
            condition=Q(claimed_by__isnull=True, lease_until__isnull=True)
            | Q(claimed_by__isnull=False, lease_until__isnull=False),
            name=f"{prefix}claim_and_lease_together",
        ),
        models.CheckConstraint(
            condition=Q(skipped_at__isnull=True, skip_reason="") | (Q(skipped_at__isnull=False) & ~Q(skip_reason="")),
            name=f"{prefix}skipped_says_why",
        ),
        models.CheckConstraint(
            condition=Q(skipped_at__isnull=True) | Q(call_started_at__isnull=True), name=f"{prefix}skipped_was_never_called"
        ),
    ]
