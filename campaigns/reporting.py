"""The account of a campaign: every planned person in exactly one column, at any instant."""

from django.db.models import Count, Q

from campaigns.models import EmailSend
from notifications.models import ACCEPTED, DeliveryStatus

LEDGER = ("waiting", "in_flight", "sent", "failed", "unknown", "skipped")
_FACTS = ("delivered", "delayed", "opened", "clicked", "bounced", "complained", "unsubscribed")


def stats(campaign_id: int) -> dict[str, int]:
    """Counts of one campaign, read in one statement so that they balance.

    `planned = waiting + in_flight + sent + failed + unknown + skipped`; the other counts are of
    people, however many events each had.
    """
    facts = {name: Count(f"{name}_at") for name in _FACTS}
    return EmailSend.objects.filter(campaign_id=campaign_id).aggregate(**_columns(), **facts)


def ledger(campaign_id: int) -> dict[str, int]:
    """The planned people and the columns of the account alone, which one index tells."""
    return EmailSend.objects.filter(campaign_id=campaign_id).aggregate(**_columns())


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
