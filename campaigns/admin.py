"""Campaigns in the admin: the list, the form, and what may be done with one."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from campaigns import editing, overseeing
from campaigns.admin_pages import CampaignPages
from campaigns.forms import CampaignForm
from campaigns.models import EDITABLE, Campaign, CampaignStatus
from campaigns.panels import TONES, panel, short_bar
from campaigns.sends_admin import EmailSendAdmin
from outreach.staff_pages import choice_filter, label

__all__ = ["CampaignAdmin", "EmailSendAdmin"]

_AUDIENCE = (
    "When you save, people who still wait and no longer match leave the campaign. People who match now join when it is sent."
)


@admin.register(Campaign)
class CampaignAdmin(CampaignPages):
    """Its words may be edited while no mail leaves; its life is in the domain's hands."""

    form = CampaignForm
    list_display = ("name", "status_label", "progress", "subject", "created_at")
    list_filter = (choice_filter("status", CampaignStatus.choices),)
    list_per_page = 20
    search_fields = ("name",)
    search_help_text = "Part of the name"
    ordering = ("-pk",)
    change_form_outer_before_template = "admin/campaigns/campaign/live.html"
    warn_unsaved_form = True
    fieldsets = (
        ("Words", {"fields": ("name", "subject", "body_html", "body_text")}),
        ("Sender", {"fields": ("from_name", "from_email", "reply_to")}),
        ("Audience", {"fields": ("include_tags", "exclude_tags"), "description": _AUDIENCE}),
    )

    def find(self, queryset: QuerySet[Campaign], text: str) -> QuerySet[Campaign]:
        return queryset.filter(name__icontains=text)

    def prepare_rows(self, rows: QuerySet[Campaign]) -> None:
        found = overseeing.progress([campaign.pk for campaign in rows])
        for campaign in rows:
            campaign.seen_progress = found[campaign.pk]  # type: ignore[attr-defined]  # for this page only

    @admin.display(description="Status")
    def status_label(self, campaign: Campaign) -> SafeString:
        return label(campaign.get_status_display(), TONES[CampaignStatus(campaign.status)])

    @admin.display(description="Progress")
    def progress(self, campaign: Campaign) -> str:
        bar = short_bar(campaign.seen_progress)  # type: ignore[attr-defined]  # see prepare_rows
        return render_to_string("admin/campaigns/campaign/short_bar.html", {"bar": bar})

    @admin.display(description="HTML body")
    def html_words(self, campaign: Campaign) -> SafeString:
        return format_html('<pre class="o-json" tabindex="0">{}</pre>', campaign.body_html or "Made from the text.")

    @admin.display(description="Text body")
    def text_words(self, campaign: Campaign) -> SafeString:
        return format_html('<pre class="o-json" tabindex="0">{}</pre>', campaign.body_text or "Made from the HTML.")

    @admin.display(description="Only people tagged")
    def include_tags(self, campaign: Campaign) -> str:
        return ", ".join(campaign.audience.get("include_tags", [])) or "Everybody active"

    @admin.display(description="Except people tagged")
    def exclude_tags(self, campaign: Campaign) -> str:
        return ", ".join(campaign.audience.get("exclude_tags", [])) or "-"

    def get_fieldsets(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        words = ("Words", {"fields": ("name", "subject", "html_words", "text_words")})
        return (words, *self.fieldsets[1:])

    def has_change_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """While mail leaves, and afterwards, everybody gets the same words."""
        return super().has_change_permission(request, obj) and (obj is None or obj.status in EDITABLE)

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.started_at is None)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        campaign = self.get_object(request, object_id) if object_id else None
        if request.method == "POST" and campaign and campaign.status not in EDITABLE:
            self.message_user(
                request, f"Not saved: the campaign is {campaign.status} by now, and its words are fixed.", messages.ERROR
            )
            return HttpResponseRedirect(request.get_full_path())
        if campaign and self.has_view_permission(request, campaign):
            seen = {"panel": panel(campaign, user=request.user, now=timezone.now()), "EMAIL_MODE": settings.EMAIL_MODE}
            extra_context = (extra_context or {}) | seen
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Campaign, form: ModelForm[Campaign], change: bool) -> None:
        """Through the domain's own verb, with the changed fields only."""
        assert isinstance(form, CampaignForm)  # noqa: S101 (it is this class' `form`)
        by = request.user.get_username()
        if change:
            editing.change_campaign(obj, form.changes, by=by)
        else:
            obj.pk = editing.create_campaign(form.changes, by=by).pk

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        campaign = self.get_object(request, object_id)
        if campaign and campaign.started_at is not None and self.has_view_permission(request, campaign):
            self.message_user(request, "It has been sent to people: the record of who got it cannot be deleted.", messages.ERROR)
            return self._back(campaign)
        answer: HttpResponse = super().delete_view(request, object_id, extra_context)
        return answer

    def delete_model(self, request: HttpRequest, obj: Campaign) -> None:
        editing.delete_campaign(obj)
