"""What people put on the suppression list shows in the status of those whose address it is."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from notifications import signals, suppressing
from notifications.models import Suppression, SuppressionReason


@transaction.atomic
def put(notes: Mapping[str, str], *, reason: SuppressionReason, source: str, now: datetime) -> tuple[int, int]:
    """Put normalised addresses on the list, each with its note, and tell the apps above.

    Returns how many were put there and how many changed; a reason never becomes weaker. Repeating it changes nothing.
    """
    if len(notes) > 1:
        # Events suppress by several statements, and so in no order of addresses that we could keep to.
        suppressing.one_writer_at_a_time()
    written = suppressing.suppress_noted(notes, reason=reason, source=source, now=now)
    if notes:
        signals.addresses_listed.send(sender=Suppression, emails=list(notes), now=now)
    return written
