"""The pages of a campaign beside its form: live progress, sending and pausing with confirmation, preview, test mail."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from campaigns import lifecycle, overseeing, rehearsing, reporting
from campaigns.forms import PersonForm, TestForm
from campaigns.models import Campaign, CampaignStatus
from campaigns.panels import REFRESH_AFTER, VERB, duration, live_headers, panel, unfinished
from notifications import pacing, transports
from notifications.messages import OutgoingMessage
from notifications.transports.base import Verdict
from outreach.errors import DomainError
from outreach.staff_pages import StaffAdmin
from prospects.models import Prospect

# A mail is a stranger's HTML: it may show pictures and colours, and do nothing.
_MAIL_POLICY = "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'"


class CampaignPages(StaffAdmin[Campaign]):
    """Each of them translates a request, makes one domain call, and answers with a page or a message."""

    def get_urls(self) -> list[URLPattern]:
        views = {
            "progress": self.progress_page,
            "send": self.send_page,
            "pause": self.pause_page,
            "preview": self.preview_page,
            "mail": self.mail_page,
            "test": self.test_page,
        }
        pages = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"campaigns_campaign_{name}")
            for name, view in views.items()
        ]
        unfinished_page = self.admin_site.admin_view(self.unfinished_page)
        return [path("unfinished/", unfinished_page, name="campaigns_campaign_unfinished"), *pages, *super().get_urls()]

    def unfinished_page(self, request: HttpRequest) -> HttpResponse:
        """The campaigns that send or are paused, for the dashboard's script."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        headers = {"X-Refresh-After": str(2 * REFRESH_AFTER)}
        return TemplateResponse(request, "admin/campaigns/campaign/unfinished.html", {"campaigns": unfinished()}, headers=headers)

    def progress_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The panel alone, for the script that keeps it fresh."""
        campaign = self._campaign(request, pk)
        context = {"panel": panel(campaign, user=request.user, now=timezone.now())}
        return TemplateResponse(request, "admin/campaigns/campaign/panel.html", context, headers=live_headers(campaign))

    def send_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET tells what would happen; POST starts, resumes, or runs again."""
        campaign = self._campaign(request, pk, "campaigns.send_campaign")
        if request.method == "POST":
            start = partial(lifecycle.start_campaign, campaign, by=request.user.get_username(), now=timezone.now())
            return self._do(request, campaign, start, "Sending.")
        if campaign.status == CampaignStatus.SENDING:
            return self._back(campaign)
        reach, waiting = overseeing.reach(campaign), reporting.stats(campaign.pk)["waiting"]
        mails = reach.people - reach.suppressed + waiting
        context = {
            "title": VERB[CampaignStatus(campaign.status)],
            "reach": reach,
            "waiting": waiting,
            "mails": mails,
            "words": _words(mails=mails, new=reach.people, waiting=waiting, suppressed=reach.suppressed),
            "submit": f"Send to {mails:,} people" if mails > 1 else "Send",
            "takes": duration(mails * pacing.slot_interval(settings.SES_MAX_SEND_RATE)),
            "problems": lifecycle.find_problems(campaign),
            "sender": _sender(campaign),
            "rate": f"{settings.SES_MAX_SEND_RATE:g}",
            "daily_limit": settings.CAMPAIGN_DAILY_LIMIT,
        }
        return self._page(request, campaign, "send", context)

    def pause_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET tells what would happen; POST pauses."""
        campaign = self._campaign(request, pk, "campaigns.send_campaign")
        if request.method == "POST":
            pause = partial(lifecycle.pause_campaign, campaign, by=request.user.get_username())
            return self._do(request, campaign, pause, "Paused.")
        if campaign.status != CampaignStatus.SENDING:
            return self._back(campaign)
        return self._page(request, campaign, "pause", {"title": "Pause", "words": _words(**reporting.stats(campaign.pk))})

    def preview_page(self, request: HttpRequest, pk: int, test_form: TestForm | None = None) -> HttpResponse:
        """The mail as one person would get it, and a form that sends a test of it."""
        campaign = self._campaign(request, pk)
        form = PersonForm(request.GET if "prospect" in request.GET else None)
        prospect = _chosen(request, form)
        message, problem = _rendered(campaign, prospect)
        start = {"to": getattr(request.user, "email", ""), "prospect": prospect.email if prospect else ""}
        context = {
            "title": "Preview",
            "form": form,
            "prospect": prospect,
            "message": message,
            "sender": _sender(campaign),
            "problem": problem,
            "test_form": test_form or TestForm(initial=start, auto_id="test_%s"),
            "may_test": request.user.has_perm("campaigns.send_campaign"),
        }
        return self._page(request, campaign, "preview", context)

    def mail_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The HTML part alone, on a page of its own that may do nothing."""
        campaign = self._campaign(request, pk)
        message, problem = _rendered(campaign, _chosen(request, PersonForm(request.GET)))
        headers = {"Content-Security-Policy": _MAIL_POLICY, "Referrer-Policy": "no-referrer", "X-Frame-Options": "SAMEORIGIN"}
        if message is None:
            return HttpResponse(problem, content_type="text/plain; charset=utf-8", status=409, headers=headers)
        return HttpResponse(message.html, headers=headers)

    def test_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send one mail of the campaign, as the chosen prospect would get it, to an address."""
        campaign = self._campaign(request, pk, "campaigns.send_campaign")
        form = TestForm(request.POST or None, auto_id="test_%s")
        prospect = _chosen(request, form)
        if not form.is_valid():
            return self.preview_page(request, pk, form)
        try:
            outcome = rehearsing.send_test(
                campaign, to=form.cleaned_data["to"], prospect=prospect, transport=transports.configured()
            )
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            accepted = outcome.verdict is Verdict.ACCEPTED
            (messages.success if accepted else messages.error)(
                request, f"The test to {form.cleaned_data['to']} was {outcome.verdict}. {outcome.error}".strip()
            )
        return self._back(campaign, "preview")

    def _campaign(self, request: HttpRequest, pk: int, permission: str = "") -> Campaign:
        campaign = get_object_or_404(Campaign, pk=pk)
        if not self.has_view_permission(request, campaign) or (permission and not request.user.has_perm(permission)):
            raise PermissionDenied
        return campaign

    def _do(self, request: HttpRequest, campaign: Campaign, verb: Callable[[], None], done: str) -> HttpResponse:
        # Whoever confirms has seen one status; a colleague may have made it another one since.
        if request.POST.get("status") != campaign.status:
            messages.warning(request, f"Nothing was done: the campaign is {campaign.status} by now. Look at it again.")
            return self._back(campaign)
        try:
            verb()
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            self.log_change(request, campaign, done)
            messages.success(request, f"{campaign.name}: {done}")
        return self._back(campaign)

    def _page(self, request: HttpRequest, campaign: Campaign, name: str, context: dict[str, Any]) -> HttpResponse:
        shared = {"opts": self.opts, "original": campaign, "campaign": campaign, "EMAIL_MODE": settings.EMAIL_MODE}
        context = {**self.admin_site.each_context(request), **shared, **context}
        return TemplateResponse(request, f"admin/campaigns/campaign/{name}.html", context)

    def _back(self, campaign: Campaign, name: str = "change") -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk]))


def _words(**counts: int) -> dict[str, str]:
    return {name: f"{count:,}" for name, count in counts.items()}


def _sender(campaign: Campaign) -> str:
    address = campaign.from_email or settings.SES_FROM
    return f"{campaign.from_name} <{address}>" if campaign.from_name else address


def _chosen(request: HttpRequest, form: PersonForm) -> Prospect | None:
    """Whom the form names. Raises PermissionDenied for staff who may not look at people."""
    prospect: Prospect | None = form.cleaned_data.get("prospect") if form.is_bound and form.is_valid() else None
    if prospect and not request.user.has_perm("prospects.view_prospect"):
        raise PermissionDenied
    return prospect


def _rendered(campaign: Campaign, prospect: Prospect | None) -> tuple[OutgoingMessage | None, str]:
    """The mail, or why there is none. Its unsubscribe link is nobody's: whoever has a token can use it."""
    try:
        message = rehearsing.preview(campaign, prospect=prospect)
    except DomainError as error:
        return None, error.detail
    if prospect is None:
        return message, ""
    token, nobody = str(prospect.unsubscribe_token), "0" * 8 + "-0000-0000-0000-" + "0" * 12
    return replace(message, html=message.html.replace(token, nobody), text=message.text.replace(token, nobody), headers=()), ""
