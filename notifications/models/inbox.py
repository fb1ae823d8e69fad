"""Events in."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


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
