"""Suppressions and events in the admin."""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications import suppressing, suppression_files, suppression_syncing, transports
from notifications.forms import LiftForm, SuppressionFileForm, SuppressionForm
from notifications.models import EmailEvent, SesListConflict, Suppression, SuppressionLift, SuppressionReason
from notifications.ses_events import EventType
from notifications.transactional_admin import TransactionalEmailAdmin
from notifications.transports.ses_suppressions import ListUnavailable
from outreach import csv_text, uploading
from outreach.errors import DomainError
from outreach.redacting import hide_links
from outreach.staff_pages import ReadOnlyAdmin, StaffAdmin, choice_filter, label

__all__ = ["EmailEventAdmin", "SuppressionAdmin", "SuppressionLiftAdmin", "TransactionalEmailAdmin"]

_REASON_TONES = {
    SuppressionReason.UNSUBSCRIBE: "quiet",
    SuppressionReason.MANUAL: "live",
    SuppressionReason.BOUNCE: "warn",
    SuppressionReason.COMPLAINT: "bad",
}
_ROUTES: dict[str, str] = {EmailEvent.Route.EVENTBRIDGE: "EventBridge", EmailEvent.Route.SNS: "SNS"}
_STATE_TONES = {
    EmailEvent.State.PENDING: "live",
    EmailEvent.State.APPLIED: "good",
    EmailEvent.State.PARKED: "warn",
}


def _reason_label(row: Suppression | SuppressionLift) -> SafeString:
    return label(row.get_reason_display(), _REASON_TONES[SuppressionReason(row.reason)])


class _BySuppressedAddress:
    """Columns and search that the list and its audit have in common."""

    search_fields: ClassVar[Any] = ("email",)
    search_help_text: ClassVar[Any] = "Beginning of the address"

    def find(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        return queryset.filter(email__startswith=text.lower())

    @admin.display(description="Reason")
    def reason_label(self, row: Suppression | SuppressionLift) -> SafeString:
        return _reason_label(row)


@admin.register(Suppression)
class SuppressionAdmin(_BySuppressedAddress, StaffAdmin[Suppression]):
    """Added by hand with the reason manual; taken off only with a reason, which is kept."""

    form = SuppressionForm
    list_display = ("email", "reason_label", "suppressed_at", "source", "note")
    list_filter = (choice_filter("reason", SuppressionReason.choices),)
    ordering = ("-suppressed_at",)
    fields = ("email", "reason_label", "suppressed_at", "source", "note")
    readonly_fields = ("reason_label", "suppressed_at", "source")
    add_fieldsets = ((None, {"fields": ("email", "note")}),)
    change_form_outer_before_template = "admin/notifications/suppression/lifting.html"

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/lift/", view(self.lift_page), name="notifications_suppression_lift"),
            path("import/", view(self.import_page), name="notifications_suppression_import"),
            path("export/", view(self.export), name="notifications_suppression_export"),
            *super().get_urls(),
        ]

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        extra_context = (extra_context or {}) | {"may_lift": self.has_delete_permission(request), "show_delete": False}
        return super().change_view(request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Taking an address off needs a reason: the page that asks for it."""
        if self.get_object(request, object_id) is None:
            return self._to_list()
        return HttpResponseRedirect(reverse("admin:notifications_suppression_lift", args=[object_id]))

    def lift_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks why, POST takes the address off the list."""
        suppression = get_object_or_404(Suppression, pk=pk)
        if not self.has_delete_permission(request, suppression):
            raise PermissionDenied
        form = LiftForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            context = {"title": "Take off the list", "opts": self.opts, "original": suppression, "form": form}
            context = {**self.admin_site.each_context(request), **context}
            return TemplateResponse(request, "admin/notifications/suppression/lift.html", context)
        by, why = request.user.get_username(), form.cleaned_data["why"]
        try:
            suppressing.lift(suppression, by=by, why=why, now=timezone.now())
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, f"{suppression.email} is off the list.")
        return self._to_list()

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """A file of addresses goes on the list; its account is shown at once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = SuppressionFileForm(request.POST or None, request.FILES or None, initial={"complete": "yes"})
        account = None
        if request.method == "POST" and form.is_valid():
            try:
                account = _take_in(form.cleaned_data["file"], by=request.user.get_username())
            except DomainError as error:
                form.add_error("file", error.detail)
        context = {"title": "Import", "opts": self.opts, "form": form, "account": account}
        context = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/notifications/suppression/import.html", context)

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """The whole list as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return csv_text.attachment(suppression_files.export_rows(), name="suppressions.csv")

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        by = request.user.get_username()
        suppressing.suppress(
            [obj.email], reason=SuppressionReason.MANUAL, source=by, note=form.cleaned_data["note"], now=timezone.now()
        )
        obj.pk = Suppression.objects.get(email=obj.email).pk

    def _to_list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:notifications_suppression_changelist"))


@admin.register(SuppressionLift)
class SuppressionLiftAdmin(_BySuppressedAddress, ReadOnlyAdmin[SuppressionLift]):
    """Who took which address off the list, and why."""

    list_display = ("email", "reason_label", "suppressed_at", "lifted_at", "lifted_by", "why")
    ordering = ("-pk",)
    fields = ("email", "reason_label", "suppressed_at", "lifted_at", "lifted_by", "why")
    readonly_fields = ("reason_label",)


@admin.register(SesListConflict)
class SesListConflictAdmin(ReadOnlyAdmin[SesListConflict]):
    """Addresses that SES still lists after a person took them off our list; deleting one there takes a reason."""

    list_display = ("address", "reason_label", "listed_at", "found_at", "state_label", "settled_by", "why")
    ordering = ("-pk",)
    fields = ("address", "reason_label", "listed_at", "found_at", "settled_at", "settled_by", "why")
    readonly_fields = ("reason_label",)
    search_fields = ("address",)
    search_help_text = "Beginning of the address"
    change_form_outer_before_template = "admin/notifications/seslistconflict/removing.html"

    def find(self, queryset: QuerySet[SesListConflict], text: str) -> QuerySet[SesListConflict]:
        return queryset.filter(address__istartswith=text)

    def get_urls(self) -> list[URLPattern]:
        remove = self.admin_site.admin_view(self.remove_page)
        return [path("<int:pk>/remove/", remove, name="notifications_seslistconflict_remove"), *super().get_urls()]

    @admin.display(description="Reason")
    def reason_label(self, row: SesListConflict) -> SafeString:
        return label(row.get_reason_display(), _REASON_TONES[SuppressionReason(row.reason)])

    @admin.display(description="State")
    def state_label(self, row: SesListConflict) -> SafeString:
        return label("Removed at SES", "quiet") if row.settled_at else label("Open", "warn")

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        extra_context = (extra_context or {}) | {"may_remove": _may_remove(request)}
        return super().change_view(request, object_id, form_url, extra_context)

    def remove_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks why, POST takes the address off SES' list."""
        if not _may_remove(request):
            raise PermissionDenied
        conflict = get_object_or_404(SesListConflict, pk=pk, settled_at=None)
        form = LiftForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            context = {"title": "Take off SES' list", "opts": self.opts, "original": conflict, "form": form}
            context = {**self.admin_site.each_context(request), **context}
            return TemplateResponse(request, "admin/notifications/seslistconflict/remove.html", context)
        by, why = request.user.get_username(), form.cleaned_data["why"]
        try:
            suppression_syncing.remove_at_ses(transports.suppressions(), conflict.address, by=by, why=why, now=timezone.now())
        except (DomainError, ListUnavailable) as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{conflict.address} is off SES' list.")
        return HttpResponseRedirect(reverse("admin:notifications_seslistconflict_changelist"))


@admin.register(EmailEvent)
class EmailEventAdmin(ReadOnlyAdmin[EmailEvent]):
    """The inbox: what SES told, as it came, and what became of it."""

    list_display = ("event_type", "state_label", "route_label", "received_at", "outcome", "message_id")
    list_filter = (
        choice_filter("event_type", [(str(one), str(one)) for one in EventType], title="type"),
        choice_filter("state", [(state.value, state.name.capitalize()) for state in EmailEvent.State]),
        choice_filter("route", _ROUTES.items()),
    )
    search_fields = ("message_id",)
    search_help_text = "A whole message id or send id"
    ordering = ("-received_at",)
    _columns = (
        "event_type",
        "state_label",
        "outcome",
        "message_id",
        "send_id",
        "route_label",
        "occurred_at",
        "received_at",
        "applied_at",
    )
    fields = (*_columns, "pretty_body")
    readonly_fields = ("state_label", "route_label", "pretty_body")

    def get_queryset(self, request: HttpRequest) -> QuerySet[EmailEvent]:
        return super().get_queryset(request).defer("body")

    def find(self, queryset: QuerySet[EmailEvent], text: str) -> QuerySet[EmailEvent]:
        return queryset.filter(Q(message_id=text) | Q(send_id=text))

    @admin.display(description="State")
    def state_label(self, event: EmailEvent) -> SafeString:
        return label(EmailEvent.State(event.state).name.capitalize(), _STATE_TONES.get(EmailEvent.State(event.state), "quiet"))

    @admin.display(description="Route")
    def route_label(self, event: EmailEvent) -> str:
        return _ROUTES[event.route]

    @admin.display(description="Event")
    def pretty_body(self, event: EmailEvent) -> SafeString:
        return format_html('<pre class="o-json" tabindex="0">{}</pre>', pretty(bytes(event.body)))


def _may_remove(request: HttpRequest) -> bool:
    return request.user.has_perm("notifications.delete_seslistconflict")


def _take_in(upload: UploadedFile[Any], *, by: str) -> suppression_files.Account:
    uploading.refuse_too_large(upload.size or 0)
    return suppression_files.import_file(uploading.keep(upload.chunks()), by=by, now=timezone.now())


def pretty(body: bytes) -> str:
    """An event's JSON to read, an SNS message's inner JSON included, without the unsubscribe link in its headers."""
    text = body.decode("utf-8", "replace")
    try:
        event = json.loads(text)
        if isinstance(event, dict) and isinstance(event.get("Message"), str):
            event["Message"] = json.loads(event["Message"])
    except (ValueError, RecursionError):
        return hide_links(None, "", text)
    return hide_links(None, "", json.dumps(event, indent=2, ensure_ascii=False))
