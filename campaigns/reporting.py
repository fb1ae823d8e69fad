"""The account of a campaign: every planned person in exactly one column, at any instant."""

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count, Q

from campaigns.models import EmailSend, SendAttempt
from notifications.models import ACCEPTED, DeliveryStatus

LEDGER = ("waiting", "in_flight", "sent", "failed", "unknown", "skipped")
_FACTS = ("delivered", "delayed", "opened", "clicked", "bounced", "soft_bounced", "complained", "not_attempted", "unsubscribed")


def stats(campaign_id: int) -> dict[str, int]:
    """Counts of one campaign, read in one statement so that they balance.

    `planned = waiting + in_flight + sent + failed + unknown + skipped`; the other counts are of
    people, however many events each had.
    """
    own = {
        "own_bounces": Count("bounced_at", filter=Q(not_attempted_at=None)),
        "own_complaints": Count("complained_at", filter=Q(not_attempted_at=None)),
    }
    facts = {name: Count(f"{name}_at") for name in _FACTS}
    return EmailSend.objects.filter(campaign_id=campaign_id).aggregate(**_columns(), **facts, **own)


def ledger(campaign_id: int) -> dict[str, int]:
    """The planned people and the columns of the account alone, which one index tells."""
    return EmailSend.objects.filter(campaign_id=campaign_id).aggregate(**_columns())


def rates(counts: Mapping[str, int]) -> dict[str, float]:
    """Shares of the mails that SES really tried to deliver, from a campaign's `stats`: 0.0 to 1.0.

    What SES did not attempt, because the address is on a list of its own, is neither a bounce or complaint of
    this campaign nor a part of the whole: SES counts it as little.
    https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
    """
    whole = counts["sent"] - counts["not_attempted"]
    own = {"bounce_rate": counts["own_bounces"], "complaint_rate": counts["own_complaints"]}
    return {name: round(count / whole, 6) if whole > 0 else 0.0 for name, count in own.items()}


def called_since(moment: datetime) -> int:
    """How many calls were started after a moment, and claims that are about to start one, over all campaigns.

    Calls of earlier attempts are among them: they may have left.
    """
    called = sum(table.objects.filter(call_started_at__gt=moment).count() for table in (EmailSend, SendAttempt))
    return called + EmailSend.objects.filter(lease_until__isnull=False, call_started_at=None).count()


def skips(campaign_id: int) -> dict[str, int]:
    """How many were skipped, by reason."""
    rows = EmailSend.objects.filter(campaign_id=campaign_id, status=DeliveryStatus.SKIPPED)
    return dict(rows.values_list("skip_reason").annotate(Count("pk")).order_by("skip_reason"))


def _columns() -> dict[str, Count]:
    return {
        "planned": Count("*"),
        "waiting": Count("status", filter=Q(status=DeliveryStatus.QUEUED)),
        "in_flight": Count("status", filter=Q(status=DeliveryStatus.SENDING)),
        "sent": Count("status", filter=Q(status__in=ACCEPTED)),
        "failed": Count("status", filter=Q(status=DeliveryStatus.FAILED)),
        "unknown": Count("status", filter=Q(status=DeliveryStatus.UNKNOWN)),
        "skipped": Count("status", filter=Q(status=DeliveryStatus.SKIPPED)),
    }
