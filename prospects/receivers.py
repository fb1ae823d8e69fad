"""What other people's facts mean for prospects."""

from datetime import datetime
from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from notifications.signals import Loss, Revision, addresses_listed, addresses_lost, addresses_revised
from prospects import consent, unsubscribing
from prospects.models import Prospect


@receiver(pre_delete, sender=Prospect)
def retire_token(instance: Prospect, **_: Any) -> None:
    unsubscribing.retire_token(instance.pk)


@receiver(addresses_lost)
def record_losses(losses: list[Loss], now: datetime, **_: Any) -> int:
    return consent.record_losses(losses, now=now)


@receiver(addresses_revised)
def revise(revisions: list[Revision], now: datetime, **_: Any) -> int:
    return consent.revise(revisions, now=now)


@receiver(addresses_listed)
def show(emails: list[str], now: datetime, **_: Any) -> int:
    return consent.show_listed(emails, now=now)
