"""The ledger in the admin: who got which campaign, who did not, why, and what came back."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from campaigns import watching_events
from campaigns.models import Campaign, EmailSend, SendDecision, SkipReason, send_id
from campaigns.settling_pages import SettlingPages
from notifications.models import DeliveryStatus, EmailEvent
from outreach.staff_pages import ReadOnlyAdmin, choice_filter, label

TONES = {
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

# The facts of a send, in the order in which they happen when all goes well.
_FACTS = {
    "created_at": "Planned",
    "skipped_at": "Skipped",
    "call_started_at": "Handed to SES",
    "sent_at": "Accepted by SES",
    "failed_at": "Refused by SES",
    "unknown_at": "No answer from SES",
    "rejected_at": "Rejected by SES",
    "delayed_at": "Delivery delayed",
    "delivered_at": "Delivered",
    "opened_at": "Opened",
    "clicked_at": "Clicked",
    "soft_bounced_at": "SES gave up (for now)",
    "bounced_at": "Bounced",
    "not_attempted_at": "Not attempted: on a list of SES",
    "complained_at": "Reported as spam",
    "unsubscribed_at": "Unsubscribed",
}
_BAD = {"failed_at", "rejected_at", "bounced_at", "soft_bounced_at", "not_attempted_at", "complained_at"}
_EVENTS_SHOWN = 100


class CampaignFilter(admin.SimpleListFilter):
    """The sends of one campaign; chosen on the campaign's page, shown here so that it can be dropped."""

    title = "campaign"
    parameter_name = "campaign"
    template = "admin/dropped_pill.html"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def value(self) -> str | None:
        given = super().value()
        return given if given and given.isascii() and given.isdecimal() and len(given) < 19 else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[EmailSend]) -> QuerySet[EmailSend]:
        value = self.value()
        return queryset if value is None else queryset.filter(campaign=int(value))

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        if campaign := Campaign.objects.filter(pk=self.value() or 0).first():
            yield {"selected": True, "query_string": changelist.get_query_string(remove=["campaign"]), "display": campaign.name}


class EndFilter(admin.SimpleListFilter):
    """Sends of which SES has not said how they ended, though it should have by now."""

    title = "final event"
    parameter_name = "final_event"
    template = "admin/pills.html"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("missing", f"None after {settings.EVENT_GAP_HOURS} h")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EmailSend]) -> QuerySet[EmailSend]:
        return queryset & watching_events.without_final_event(now=timezone.now()) if self.value() == "missing" else queryset


@admin.register(EmailSend)
class EmailSendAdmin(SettlingPages):
    """One row for each person of a campaign."""

    list_display = ("email", "status_label", "campaign_name", "why", "sent_at")
    list_filter = (CampaignFilter, choice_filter("status", DeliveryStatus.choices), EndFilter)
    list_select_related = ("campaign",)
    search_fields = ("email",)
    search_help_text = "A whole address, or a message id"
    change_form_outer_before_template = "admin/campaigns/emailsend/timeline.html"
    fields = ("email", "campaign", "prospect", "status_label", "message_id", "send_id", "why")
    readonly_fields = ("status_label", "send_id", "why")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Of one campaign in the order of its index: the first page of five million costs as little as of five.
        return ("campaign", "email") if request.GET.get("campaign") else ("-pk",)

    def find(self, queryset: QuerySet[EmailSend], text: str) -> QuerySet[EmailSend]:
        # By way of the campaigns: the index on (campaign, email) is asked once for each of them.
        of_address = Q(campaign__in=Campaign.objects.values("pk"), email=text.lower())
        return queryset.filter(of_address if "@" in text else Q(message_id=text))

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmailSend]:
        return super().get_queryset(request).select_related("campaign")

    @admin.display(description="Status")
    def status_label(self, send: EmailSend) -> SafeString:
        return label(DeliveryStatus(send.status).label, TONES.get(DeliveryStatus(send.status), "quiet"))

    @admin.display(description="Campaign")
    def campaign_name(self, send: EmailSend) -> SafeString:
        url = reverse("admin:campaigns_campaign_change", args=[send.campaign_id])
        return format_html('<a href="{}" class="o-link">{}</a>', url, send.campaign.name)

    @admin.display(description="Why")
    def why(self, send: EmailSend) -> str:
        skipped = SkipReason(send.skip_reason).label if send.skip_reason in SkipReason.values else send.skip_reason
        return skipped or send.error or "-"

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        send = self.get_object(request, object_id)
        if send and self.has_view_permission(request, send):
            events = list(_events(send)) if request.user.has_perm("notifications.view_emailevent") else []
            extra_context = (extra_context or {}) | {
                "timeline": timeline(send),
                "events": events,
                "decisions": send.decisions.order_by("attempt"),
                "attempts": send.attempts.order_by("attempt"),
                "may_settle": send.status == DeliveryStatus.UNKNOWN and self.has_settle_permission(request),
            }
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(SendDecision)
class SendDecisionAdmin(ReadOnlyAdmin[SendDecision]):
    """Who had which unknown mail sent again, or gave it up, and why."""

    list_display = ("address", "verb", "decided_at", "decided_by", "why")
    list_filter = (choice_filter("verb", SendDecision.Verb.choices, title="decision"),)
    list_select_related = ("send",)
    ordering = ("-pk",)
    search_fields = ("send",)
    search_help_text = "A whole address"
    fields = ("send", "verb", "attempt", "decided_at", "decided_by", "why", "call_started_at", "unknown_at", "error")

    def find(self, queryset: QuerySet[SendDecision], text: str) -> QuerySet[SendDecision]:
        # By way of the campaigns, as above.
        sends = EmailSend.objects.filter(campaign__in=Campaign.objects.values("pk"), email=text.lower())
        return queryset.filter(send__in=sends.values("pk"))

    @admin.display(description="Send")
    def address(self, decision: SendDecision) -> str:
        return decision.send.email


def timeline(send: EmailSend) -> list[tuple[datetime, str, str]]:
    """What is known about a send, the earliest first: when, what, and its tone."""
    known = [(getattr(send, name), words, name) for name, words in _FACTS.items() if getattr(send, name)]
    order = list(_FACTS)
    known.sort(key=lambda fact: (fact[0], order.index(fact[2])))
    return [(at, words, "bad" if name in _BAD else "good") for at, words, name in known]


def _events(send: EmailSend) -> QuerySet[EmailEvent]:
    """The events of this send, of all its attempts: by our own ids, or by those of SES; each has its index."""
    tags = [send_id(send.campaign.key, send.pk, attempt) for attempt in range(1, send.attempt + 1)]
    earlier = send.attempts.exclude(message_id="").values_list("message_id", flat=True)
    message_ids = {send.message_id, *earlier} - {""}
    # Said twice, because indexes for ids that are not empty serve only who asks for such.
    about = Q(send_id__in=tags) & ~Q(send_id="")
    if message_ids:
        about |= Q(message_id__in=message_ids) & ~Q(message_id="")
    return EmailEvent.objects.filter(about).defer("body").order_by("occurred_at", "pk")[:_EVENTS_SHOWN]
