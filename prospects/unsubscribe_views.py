"""The public page behind every unsubscribe link, and the one-click request of mailbox providers.

The token is the only credential: no session, no cookie, no CSRF token (RFC 8058, 3.1 forbids relying
on them). GET shows and changes nothing, because scanners fetch every link in a mail. A POST with a
valid token is a no, whatever its body says, and is honoured before anything is counted or refused.
"""

import base64
import hashlib
import logging
import re
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from outreach import addresses, banning
from prospects import unsubscribing
from prospects.models import Unsubscribe
from prospects.unsubscribing import Person

logger = logging.getLogger(__name__)

_LIMIT = banning.Limit("unsubscribe", rate="30/m", block_seconds=600)
_LONGEST_BODY = 65_536
_LONGEST_DRAIN = 10_000_000
_RETRY_SECONDS = 60

# Searched for, not matched: mail programs glue brackets, dots and `3D` to links, and a no should survive that.
_TOKEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CAMPAIGN_KEY = re.compile(r"[0-9a-f]{12}")

# What a program is told; people get the page of the same name.
_SENTENCES = {
    "ask": "Send a POST request to this address to unsubscribe.",
    "done": "You are unsubscribed.",
    "unknown": "This link is not valid, or no longer known.",
    "blocked": "Too many requests.",
    "too_large": "The request is too large.",
    "unavailable": "Please try again in a minute.",
}


@method_decorator(csrf_exempt, name="dispatch")
class UnsubscribeView(View):
    """`/api/unsubscribe?token=UUID[&c=CAMPAIGN_KEY]`."""

    http_method_names = ("get", "head", "post", "options")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            waiting = 0 if request.method == "POST" else _seconds_to_wait(request)
            response = _blocked(request, waiting) if waiting else super().dispatch(request, *args, **kwargs)
        except (OperationalError, InterfaceError):
            logger.exception("unsubscribe_unavailable")
            response = _answer(request, "unavailable", 503)
            response.headers["Retry-After"] = str(_RETRY_SECONDS)
        _drain(request)
        return _shielded(response)

    def get(self, request: HttpRequest) -> HttpResponse:
        token = _token(request.GET)
        if token is None:
            return _answer(request, "unknown", 400)
        person = unsubscribing.find_person(token)
        if person is None:
            return _answer(request, "unknown", 200)
        return _answer(request, "done" if person.unsubscribed else "ask", 200, person)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = _form(request)
        token = _token(request.GET) or _token(form)
        if token and (person := _unsubscribe(request, token)):
            return _answer(request, "done", 200, person)
        if waiting := _seconds_to_wait(request):
            return _blocked(request, waiting)
        if form is None:
            return _answer(request, "too_large", 413)
        return _answer(request, "unknown", 200 if token else 400)


def _unsubscribe(request: HttpRequest, token: UUID) -> Person | None:
    """Once more after a lost connection or a deadlock: repeating a no is harmless, missing one is not."""
    try:
        return _unsubscribe_once(request, token)
    except (OperationalError, InterfaceError):
        logger.warning("unsubscribe_repeated", exc_info=True)
        return _unsubscribe_once(request, token)


def _unsubscribe_once(request: HttpRequest, token: UUID) -> Person | None:
    return unsubscribing.unsubscribe(
        token,
        method=Unsubscribe.Method.PAGE if _from_our_button(request) else Unsubscribe.Method.ONE_CLICK,
        campaign_key=_campaign_key(request),
        user_agent=request.headers.get("User-Agent", ""),
        now=timezone.now(),
    )


def _seconds_to_wait(request: HttpRequest) -> int:
    return banning.seconds_to_wait(request, _LIMIT, now=timezone.now())


def _token(fields: QueryDict | None) -> UUID | None:
    match = _TOKEN.search(fields.get("token", "")[:200]) if fields else None
    return UUID(match[0]) if match else None


def _campaign_key(request: HttpRequest) -> str:
    key = request.GET.get("c", "")
    return key if _CAMPAIGN_KEY.fullmatch(key) else ""


def _form(request: HttpRequest) -> QueryDict | None:
    """The fields of the body, empty when it is no form; None, and nothing read, when it is too large."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if len(length) > 5 or not length.isdecimal() or int(length) > _LONGEST_BODY:
        return None
    try:
        return request.POST
    except (BadRequest, SuspiciousOperation, MultiPartParserError, UnreadablePostError):
        return QueryDict()


def _drain(request: HttpRequest) -> None:
    """Take in and drop what nobody read, up to a bound: closing on unread bytes resets the connection, answer and all."""
    try:
        for _ in range(_LONGEST_DRAIN // _LONGEST_BODY):
            if not request.read(_LONGEST_BODY):
                return
    except UnreadablePostError:
        return


def _from_our_button(request: HttpRequest) -> bool:
    return "confirm" in (_form(request) or {})


def _is_program(request: HttpRequest) -> bool:
    """One-click requests come from programs, which get one line of text; everyone else gets a page."""
    if request.method != "POST" or "text/html" in request.headers.get("Accept", ""):
        return False
    return not _from_our_button(request)


def _answer(request: HttpRequest, name: str, status: int, person: Person | None = None, **facts: Any) -> HttpResponse:
    if _is_program(request):
        return HttpResponse(_SENTENCES[name] + "\n", content_type="text/plain; charset=utf-8", status=status)
    context = facts | {
        "address": addresses.masked(person.email) if person else "",
        "sender": addresses.domain_of(settings.SES_FROM),
        "postal_address": settings.POSTAL_ADDRESS,
    }
    # Without the request, and so without the context processors that look into its session.
    return HttpResponse(render_to_string(f"unsubscribe/{name}.html", context), status=status)


def _blocked(request: HttpRequest, seconds: int) -> HttpResponse:
    """429. Its page keeps the button, as a no is honoured nevertheless; whose link it is, is not looked up."""
    has_button = request.method in {"GET", "HEAD"} and _token(request.GET) is not None
    response = _answer(request, "blocked", 429, minutes=-(-seconds // 60), has_button=has_button)
    response.headers["Retry-After"] = str(seconds)
    return response


def _shielded(response: HttpResponseBase) -> HttpResponseBase:
    """The link is a secret and the page is a deed: not kept, not indexed, not framed, not leaked as referrer."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Content-Security-Policy"] = _content_security_policy()
    return response


@lru_cache(maxsize=1)
def _content_security_policy() -> str:
    """Nothing but our own style sheet, which travels inside the page: a no must not hang on a second request."""
    style = base64.b64encode(hashlib.sha256(render_to_string("unsubscribe/style.css").encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
