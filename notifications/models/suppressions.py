"""Who must not be written to."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


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
