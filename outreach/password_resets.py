"""A member of staff who forgot the password gets a link by mail, through EMAIL_BACKEND like all of Django's mail.

The link leads to PUBLIC_BASE_URL and not to the host that the request named: whoever asks may have made that up.
"""

from typing import Any

import structlog
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path, reverse, reverse_lazy
from django.utils import timezone
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from notifications import email_templates
from outreach import banning

log = structlog.get_logger("outreach")

ATTEMPTS = banning.Limit("password-reset", rate="5/m", block_seconds=300)


class StaffPasswordResetForm(PasswordResetForm):
    """Mails the link to staff only, with the template `password-reset`."""

    email = forms.EmailField(
        label="E-mail address", max_length=254, widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "email"})
    )

    def get_users(self, email: str) -> Any:
        return (user for user in super().get_users(email) if user.is_staff)

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        user = context["user"]
        words = email_templates.render("password-reset", _data(user.get_short_name() or user.get_username(), context))
        message = EmailMultiAlternatives(words.subject, words.text, from_email, [to_email])
        message.attach_alternative(words.html, "text/html")
        message.template_name = "password-reset"  # type: ignore[attr-defined]  # read by notifications.backend
        try:
            message.send()
        except Exception:
            # An error page would tell that the address is somebody's here (CVE-2024-45231).
            log.exception("password_reset_mail_failed", user_id=user.pk)


class StaffSetPasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # no type parameter at run time
    """The new password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class StaffPasswordResetView(views.PasswordResetView):
    """Asks for the address. The answer is the same whether anybody has it."""

    form_class = StaffPasswordResetForm
    success_url = reverse_lazy("password_reset_done")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if wait := banning.seconds_to_wait(request, ATTEMPTS, now=timezone.now()):
            return HttpResponse("Too many attempts.", status=429, headers={"Retry-After": str(wait)}, content_type="text/plain")
        return super().post(request, *args, **kwargs)


class StaffPasswordConfirmView(views.PasswordResetConfirmView):
    """Where the link leads; it works once."""

    form_class = StaffSetPasswordForm
    success_url = reverse_lazy("password_reset_complete")


def _data(name: str, context: dict[str, Any]) -> dict[str, Any]:
    way = reverse("password_reset_confirm", kwargs={"uidb64": context["uid"], "token": context["token"]})
    hours = settings.PASSWORD_RESET_TIMEOUT // 3600
    return {
        "name": name,
        "site_name": settings.UNFOLD["SITE_TITLE"],
        "reset_url": f"{settings.PUBLIC_BASE_URL}{way}",
        "valid_for": "1 hour" if hours == 1 else f"{hours} hours",
    }


def _page(view: Any, title: str, **options: Any) -> Any:
    def page(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        # Per request: what the site's pages need to know depends on it.
        context = admin.site.each_context(request) | {"title": title} | options.get("words", {})
        answer: HttpResponseBase = view.as_view(template_name="staff/password.html", title=title, extra_context=context)(
            request, **kwargs
        )
        return answer

    return page


_ASKED = "If this is the address of a member of staff, a link to choose a new password is on its way to it."
_DONE = "The new password is set. You can sign in with it now."

urlpatterns: list[URLPattern] = [
    path("password_reset/", _page(StaffPasswordResetView, "Forgotten your password?"), name="admin_password_reset"),
    path(
        "password_reset/done/",
        _page(views.PasswordResetDoneView, "Look into your mail", words={"note": _ASKED}),
        name="password_reset_done",
    ),
    path("reset/<uidb64>/<token>/", _page(StaffPasswordConfirmView, "Choose a new password"), name="password_reset_confirm"),
    path(
        "reset/done/",
        _page(views.PasswordResetCompleteView, "Password changed", words={"note": _DONE}),
        name="password_reset_complete",
    ),
]
