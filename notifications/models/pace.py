"""The pace that all workers share, and what SES allows."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


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
