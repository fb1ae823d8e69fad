"""Mail out, events in, and who must not be written to."""

from notifications.models.deliveries import ACCEPTED, SETTLED, UNSETTLED, Delivery, DeliveryStatus, delivery_constraints
from notifications.models.inbox import EmailEvent, SoftBounce
from notifications.models.outbox import IdempotencyKey, SkipReason, TransactionalContent, TransactionalEmail, _new_key
from notifications.models.pace import SendPace
from notifications.models.suppressions import (
    BLOCKS_ALL_MAIL,
    STRENGTH,
    SesListConflict,
    Suppression,
    SuppressionLift,
    SuppressionReason,
)

__all__ = [
    "ACCEPTED",
    "BLOCKS_ALL_MAIL",
    "SETTLED",
    "STRENGTH",
    "UNSETTLED",
    "Delivery",
    "DeliveryStatus",
    "EmailEvent",
    "IdempotencyKey",
    "SendPace",
    "SesListConflict",
    "SkipReason",
    "SoftBounce",
    "Suppression",
    "SuppressionLift",
    "SuppressionReason",
    "TransactionalContent",
    "TransactionalEmail",
    "_new_key",  # migrations name it
    "delivery_constraints",
]
