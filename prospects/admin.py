"""People, imports and the record of unsubscriptions in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from notifications.models import Suppression
from outreach import keyed_hashes, uploading
from outreach.errors import DomainError
from outreach.staff_pages import ReadOnlyAdmin, StaffAdmin, choice_filter, label
from prospects import editing, erasing, importing
from prospects.forms import EraseForm, ImportForm, ProspectForm
from prospects.models import PersonRequest, Prospect, ProspectImport, ProspectStatus, Unsubscribe

_TONES = {
    ProspectStatus.ACTIVE: "good",
    ProspectStatus.UNSUBSCRIBED: "quiet",
    ProspectStatus.BOUNCED: "warn",
    ProspectStatus.COMPLAINED: "bad",
}
_STATE_TONES = {
    ProspectImport.State.QUEUED: "quiet",
    ProspectImport.State.RUNNING: "live",
    ProspectImport.State.DONE: "good",
    ProspectImport.State.FAILED: "bad",
}
_FIGURES = ("rows", "created", "updated", "unchanged", "invalid", "duplicate", "suppressed")
_REJECTED_SHOWN = 100


class TagFilter(admin.SimpleListFilter):
    """People with one tag, `?tag=`; chosen by clicking a tag, dropped here."""

    title = "tag"
    parameter_name = "tag"
    template = "admin/dropped_pill.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Prospect]) -> QuerySet[Prospect]:
        return queryset.filter(tags__contains=[self.value()]) if self.value() else queryset

    def choices(self, changelist: Any) -> Any:
        if self.value():
            yield {"selected": True, "query_string": changelist.get_query_string(remove=["tag"]), "display": self.value()}


@admin.register(Prospect)
class ProspectAdmin(StaffAdmin[Prospect]):
    """A person. The facts of their consent are shown; the status is changed by the domain's verbs only."""

    form = ProspectForm
    list_display = ("email", "name", "company", "status_label", "tag_labels", "created_at")
    list_filter = (choice_filter("status", ProspectStatus.choices), TagFilter)
    search_fields = ("email",)
    search_help_text = "Address, name or company; fastest: the beginning of an address with its @"
    ordering = ("-pk",)
    warn_unsaved_form = True
    change_form_outer_before_template = "admin/prospects/prospect/head.html"
    fieldsets = (
        ("Person", {"fields": ("email", ("first_name", "last_name"), "company", "tags", "attributes", "source")}),
        ("Consent", {"fields": ("new_status", ("unsubscribed_at", "bounced_at", "complained_at"))}),
    )
    readonly_fields = ("unsubscribed_at", "bounced_at", "complained_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("import/", view(self.import_page), name="prospects_prospect_import"),
            path("<int:pk>/erase/", view(self.erase_page), name="prospects_prospect_erase"),
            *super().get_urls(),
        ]

    def find(self, queryset: QuerySet[Prospect], text: str) -> QuerySet[Prospect]:
        if "@" in text:
            return queryset.filter(email__startswith=text.lower())
        return queryset & Prospect.objects.search(text)

    @admin.display(description="Name")
    def name(self, prospect: Prospect) -> str:
        return prospect.full_name or "-"

    @admin.display(description="Status")
    def status_label(self, prospect: Prospect) -> SafeString:
        return label(ProspectStatus(prospect.status).label, _TONES[ProspectStatus(prospect.status)])

    @admin.display(description="Tags")
    def tag_labels(self, prospect: Prospect) -> SafeString:
        links = ((f"?{urlencode({'tag': tag})}", tag) for tag in prospect.tags[:5])
        more = f" +{len(prospect.tags) - 5}" if len(prospect.tags) > 5 else ""
        return format_html("{}{}", format_html_join(" ", '<a class="o-tag" href="{}">{}</a>', links), more)

    @admin.display(description="Status")
    def new_status(self, prospect: Prospect) -> SafeString:
        """For those who may look only; for others it is the form's field."""
        return self.status_label(prospect)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        prospect = self.get_object(request, object_id)
        if prospect and self.has_view_permission(request, prospect):
            seen = {
                "person": prospect,
                "status": self.status_label(prospect),
                "listed": Suppression.objects.filter(email=prospect.email).first(),
            }
            extra_context = (extra_context or {}) | seen
        return super().change_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Prospect, form: Any, change: bool) -> None:
        """Through the domain's own verbs, with the changed fields only."""
        by, now = request.user.get_username(), timezone.now()
        if change:
            # As it is stored: the form has written into `obj` already, and the verb compares old and new.
            editing.change_prospect(Prospect.objects.get(pk=obj.pk), form.changes, by=by, now=now)
        else:
            obj.pk = editing.create_prospect(form.changes, by=by, now=now).pk

    def delete_model(self, request: HttpRequest, obj: Prospect) -> None:
        editing.delete_prospect(obj)

    def erase_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks why and for the address, POST erases everything about the person."""
        if not request.user.has_perm("prospects.erase_person"):
            raise PermissionDenied
        prospect = get_object_or_404(Prospect, pk=pk)
        form = EraseForm(request.POST or None, email=prospect.email)
        if request.method == "POST" and form.is_valid():
            by, why = request.user.get_username(), form.cleaned_data["why"]
            try:
                erasing.erase_person(prospect.email, by=by, why=why, now=timezone.now())
            except DomainError as error:
                messages.error(request, error.detail)
            else:
                messages.success(request, "The person is erased.")
            return HttpResponseRedirect(reverse("admin:prospects_prospect_changelist"))
        context = {"title": "Erase", "opts": self.opts, "original": prospect, "form": form, "keeps": settings.SUPPRESSION_KEEP}
        context = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/prospects/prospect/erase.html", context)

    def import_page(self, request: HttpRequest) -> HttpResponse:
        """A file of people goes to the importer; its account is on the import's page."""
        if not request.user.has_perm("prospects.add_prospect"):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None, initial={"complete": "yes"})
        if request.method == "POST" and form.is_valid():
            try:
                record = _take_in(form.cleaned_data["file"], by=request.user.get_username())
            except DomainError as error:
                form.add_error("file", error.detail)
            else:
                return HttpResponseRedirect(reverse("admin:prospects_prospectimport_change", args=[record.pk]))
        context = {"title": "Import", "opts": self.opts, "form": form, "limit": settings.IMPORT_INLINE_LIMIT}
        context = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/prospects/prospect/import.html", context)


@admin.register(ProspectImport)
class ProspectImportAdmin(ReadOnlyAdmin[ProspectImport]):
    """Imported files and the account of their rows."""

    list_display = (
        "file_name",
        "state_label",
        "rows",
        "created",
        "updated",
        "unchanged",
        "not_taken",
        "created_by",
        "created_at",
    )
    list_filter = (choice_filter("state", ProspectImport.State.choices),)
    ordering = ("-pk",)
    fields = ("file_name", "created_by", "created_at", "started_at", "finished_at")
    change_form_outer_before_template = "admin/prospects/prospectimport/live.html"

    def get_urls(self) -> list[URLPattern]:
        progress = self.admin_site.admin_view(self.progress_page)
        return [path("<int:pk>/progress/", progress, name="prospects_prospectimport_progress"), *super().get_urls()]

    @admin.display(description="State")
    def state_label(self, record: ProspectImport) -> SafeString:
        return label(record.get_state_display(), _STATE_TONES[ProspectImport.State(record.state)])

    @admin.display(description="Not taken")
    def not_taken(self, record: ProspectImport) -> int:
        return record.invalid + record.duplicate

    def progress_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The account alone, for the script that keeps it fresh."""
        record = get_object_or_404(ProspectImport, pk=pk)
        if not self.has_view_permission(request, record):
            raise PermissionDenied
        headers = {"X-Refresh-After": "1000"} if record.state in importing.UNFINISHED else {}
        context = {"panel": _account(record)}
        return TemplateResponse(request, "admin/prospects/prospectimport/panel.html", context, headers=headers)

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        record = self.get_object(request, object_id)
        if record and self.has_view_permission(request, record):
            extra_context = (extra_context or {}) | {"panel": _account(record)}
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(Unsubscribe)
class UnsubscribeAdmin(ReadOnlyAdmin[Unsubscribe]):
    """Who said no, when and how."""

    list_display = ("email", "method", "campaign_key", "created_at", "undone_at")
    list_filter = (choice_filter("method", Unsubscribe.Method.choices),)
    search_fields = ("email",)
    search_help_text = "Beginning of the address"
    ordering = ("-pk",)
    fields = ("email", "method", "campaign_key", "prospect", "user_agent", "created_at", "undone_at", "undone_by")

    def find(self, queryset: QuerySet[Unsubscribe], text: str) -> QuerySet[Unsubscribe]:
        return queryset.filter(email__startswith=text.lower())


@admin.register(PersonRequest)
class PersonRequestAdmin(ReadOnlyAdmin[PersonRequest]):
    """Whose data was erased or exported, by whom and why; search with the address, which is hashed for it."""

    list_display = ("kind", "requested_at", "requested_by", "why", "email_hash")
    list_filter = (choice_filter("kind", PersonRequest.Kind.choices),)
    search_fields = ("email_hash",)
    search_help_text = "A whole address, or its hash"
    ordering = ("-pk",)
    fields = ("kind", "email_hash", "requested_by", "requested_at", "why", "counts")

    def find(self, queryset: QuerySet[PersonRequest], text: str) -> QuerySet[PersonRequest]:
        return queryset.filter(email_hash=keyed_hashes.hash_of(text.lower()))


def _take_in(upload: UploadedFile[Any], *, by: str) -> ProspectImport:
    uploading.refuse_too_large(upload.size or 0)
    kept = uploading.keep(upload.chunks())
    return importing.accept_file(kept, file_name=upload.name or "", by=by, now=timezone.now())


def _account(record: ProspectImport) -> dict[str, Any]:
    """What the panel of an import shows."""
    return {
        "record": record,
        "state": label(record.get_state_display(), _STATE_TONES[ProspectImport.State(record.state)]),
        "figures": [(name, f"{getattr(record, name):,}") for name in _FIGURES],
        "rejected": record.rejected_rows.order_by("line", "pk")[:_REJECTED_SHOWN],
        "live": record.state in importing.UNFINISHED,
    }
