"""The admin's pages for unknown sends: choose them in the list, say why, and confirm what may happen."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode

from campaigns import settling
from campaigns.forms import DecisionForm
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.models import DeliveryStatus
from outreach.errors import DomainError
from outreach.staff_pages import LONGEST_LIST, ReadOnlyAdmin

Verb = settling.Verb
_PERMISSION = "campaigns.send_campaign"


class SettlingPages(ReadOnlyAdmin[EmailSend]):
    """Each translates a request, makes one domain call, and answers with a page or a message."""

    actions: Any = ("retry_chosen", "give_up_chosen")

    def get_urls(self) -> list[URLPattern]:
        pages = {"retry": self.retry_page, "give-up": self.give_up_page}
        own = [
            path(f"settle/{name}/", self.admin_site.admin_view(page), name=f"campaigns_emailsend_{name.replace('-', '_')}")
            for name, page in pages.items()
        ]
        return [*own, *super().get_urls()]

    def has_settle_permission(self, request: HttpRequest) -> bool:
        """Who may send campaigns may decide about what became of them."""
        return bool(request.user.has_perm(_PERMISSION))

    @admin.action(description="Send again …", permissions=["settle"])
    def retry_chosen(self, request: HttpRequest, queryset: QuerySet[EmailSend]) -> HttpResponse:
        return self._ask(request, Verb.RETRY, queryset)

    @admin.action(description="Give up …", permissions=["settle"])
    def give_up_chosen(self, request: HttpRequest, queryset: QuerySet[EmailSend]) -> HttpResponse:
        return self._ask(request, Verb.GIVE_UP, queryset)

    def retry_page(self, request: HttpRequest) -> HttpResponse:
        """GET tells what may happen and asks why; POST lets the mails go again."""
        return self._page(request, Verb.RETRY)

    def give_up_page(self, request: HttpRequest) -> HttpResponse:
        """GET asks why; POST counts the mails as failed."""
        return self._page(request, Verb.GIVE_UP)

    def _page(self, request: HttpRequest, verb: Verb) -> HttpResponse:
        if not (self.has_settle_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        if request.method != "POST":
            return self._ask(request, verb, _asked_for(request))
        form = DecisionForm(request.POST)
        if not form.is_valid():
            return self._ask(request, verb, EmailSend.objects.filter(pk__in=form.chosen()), form)
        decide = settling.retry if verb == Verb.RETRY else settling.give_up
        try:
            count = decide(form.chosen(), by=request.user.get_username(), why=form.cleaned_data["why"], now=timezone.now())
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, _done(verb, count))
        return self._back(form.chosen())

    def _ask(
        self, request: HttpRequest, verb: Verb, chosen: "QuerySet[EmailSend]", form: DecisionForm | None = None
    ) -> HttpResponse:
        rows = chosen.filter(status=DeliveryStatus.UNKNOWN).order_by("pk")
        sends = list(rows.values_list("pk", flat=True)[:LONGEST_LIST])
        if not sends:
            messages.warning(request, "Nothing to decide: none of these sends is unknown.")
            return self._back([])
        campaigns = Campaign.objects.filter(pk__in=EmailSend.objects.filter(pk__in=sends).values("campaign"))
        context = {
            "title": verb.label,
            "opts": self.opts,
            "verb": verb,
            "form": form or DecisionForm(initial={"sends": ",".join(map(str, sends))}),
            "send": EmailSend.objects.get(pk=sends[0]) if len(sends) == 1 else None,
            "count": f"{len(sends):,}",
            "campaigns": campaigns.order_by("-pk")[:5],
            "others": max(0, chosen.order_by()[: LONGEST_LIST + 1].count() - len(sends)),
            "action": reverse(f"admin:campaigns_emailsend_{verb}"),
            "back": reverse("admin:campaigns_emailsend_changelist"),
        }
        return TemplateResponse(
            request, "admin/campaigns/emailsend/settle.html", {**self.admin_site.each_context(request), **context}
        )

    def _back(self, sends: list[int]) -> HttpResponse:
        """To the send when it was about one, else to the list of its campaign."""
        if len(sends) == 1:
            return HttpResponseRedirect(reverse("admin:campaigns_emailsend_change", args=sends))
        campaign = EmailSend.objects.filter(pk__in=sends[:1]).values_list("campaign", flat=True).first()
        query = f"?{urlencode({'campaign': campaign})}" if campaign else ""
        return HttpResponseRedirect(reverse("admin:campaigns_emailsend_changelist") + query)


def _asked_for(request: HttpRequest) -> "QuerySet[EmailSend]":
    """The sends that a link names: by their ids, or all of a campaign."""
    numbers = DecisionForm.numbers(request.GET.get("campaign", "") or request.GET.get("sends", ""))
    if "campaign" in request.GET:
        return EmailSend.objects.filter(campaign__in=numbers[:1], status=DeliveryStatus.UNKNOWN)
    return EmailSend.objects.filter(pk__in=numbers)


def _done(verb: Verb, count: int) -> str:
    sends = "One send" if count == 1 else f"{count:,} sends"
    if verb == Verb.GIVE_UP:
        return f"{sends} given up."
    waiting = "waits" if count == 1 else "wait"
    return f"{sends} {waiting} again. A campaign that is {CampaignStatus.PAUSED.label.lower()} has to be resumed first."
