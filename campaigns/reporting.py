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
    columns = {
        "planned": Count("pk"),
        "waiting": Count("pk", filter=Q(status=DeliveryStatus.QUEUED)),
        "in_flight": Count("pk", filter=Q(status=DeliveryStatus.SENDING)),
        "sent": Count("pk", filter=Q(status__in=ACCEPTED)),
        "failed": Count("pk", filter=Q(status=DeliveryStatus.FAILED)),
        "unknown": Count("pk", filter=Q(status=DeliveryStatus.UNKNOWN)),
        "skipped": Count("pk", filter=Q(status=DeliveryStatus.SKIPPED)),
    }
    return EmailSend.objects.filter(campaign_id=campaign_id).aggregate(**columns, **{f: Count(f"{f}_at") for f in _FACTS})


def skips(campaign_id: int) -> dict[str, int]:
    """How many were skipped, by reason."""
    rows = EmailSend.objects.filter(campaign_id=campaign_id, status=DeliveryStatus.SKIPPED)
    return dict(rows.values_list("skip_reason").annotate(Count("pk")).order_by("skip_reason"))
