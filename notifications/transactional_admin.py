"""The outbox in the admin: which program mailed whom, what became of it, and why."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from notifications import tracking
from notifications.models import DeliveryStatus, SkipReason, TransactionalEmail
from outreach.staff_pages import ReadOnlyAdmin, choice_filter, label

_TONES = {
    DeliveryStatus.SENDING: "live",
    DeliveryStatus.SENT: "live",
    DeliveryStatus.DELIVERED: "good",
    DeliveryStatus.OPENED: "good",
    DeliveryStatus.CLICKED: "good",
    DeliveryStatus.SKIPPED: "warn",
    DeliveryStatus.UNKNOWN: "warn",
    DeliveryStatus.BOUNCED: "bad",
    DeliveryStatus.COMPLAINED: "bad",
    DeliveryStatus.FAILED: "bad",
}
_BAD = {"failed_at", "rejected_at", "bounced_at", "complained_at"}


@admin.register(TransactionalEmail)
class TransactionalEmailAdmin(ReadOnlyAdmin[TransactionalEmail]):
    """One row for each mail and recipient. What a mail said is not shown: it may let somebody sign in."""

    list_display = ("email", "status_label", "template_name", "subject", "why", "created_at")
    list_filter = (choice_filter("status", DeliveryStatus.choices),)
    search_fields = ("email",)
    search_help_text = "A whole address, or a message id"
    ordering = ("-pk",)
    change_form_outer_before_template = "admin/notifications/transactionalemail/timeline.html"
    fields = ("email", "template_name", "subject", "from_email", "status_label", "why", "message_id", "send_id", "created_by")
    readonly_fields = ("status_label", "send_id", "why")

    def find(self, queryset: QuerySet[TransactionalEmail], text: str) -> QuerySet[TransactionalEmail]:
        return queryset.filter(Q(email=text.lower()) if "@" in text else Q(message_id=text) & ~Q(message_id=""))

    @admin.display(description="Status")
    def status_label(self, email: TransactionalEmail) -> SafeString:
        status = DeliveryStatus(email.status)
        return label(status.label, _TONES.get(status, "quiet"))

    @admin.display(description="Why")
    def why(self, email: TransactionalEmail) -> str:
        skipped = SkipReason(email.skip_reason).label if email.skip_reason in SkipReason.values else email.skip_reason
        return skipped or email.error or "-"

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        email = self.get_object(request, object_id)
        if email and self.has_view_permission(request, email):
            events = list(tracking.events_of(email)) if request.user.has_perm("notifications.view_emailevent") else []
            extra_context = (extra_context or {}) | {"timeline": timeline(email), "events": events}
        return super().change_view(request, object_id, form_url, extra_context)


def timeline(email: TransactionalEmail) -> list[tuple[datetime, str, str]]:
    """What is known about a mail, the earliest first: when, what, and its tone."""
    facts = tracking.history(email)
    return [(fact["at"], capfirst(fact["what"]), "bad" if fact["fact"] in _BAD else "good") for fact in facts]
