"""The public page behind every unsubscribe link, and the one-click request of mailbox providers.

The token is the only credential: no session, no cookie, no CSRF token (RFC 8058, 3.1 forbids relying
on them). GET shows and changes nothing, because scanners fetch every link in a mail. A POST with a
valid token is a no, whatever its body says, and is honoured before anything is counted or refused; while
PostgreSQL is away it is kept on disk instead. The one exception is the page's own undo button.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from outreach import banning
from outreach.deadlines import database_deadline
from outreach.resting import Rest
from prospects import catching_up, undoing, unsubscribe_pages, unsubscribing, user_agents
from prospects.models import Unsubscribe
from prospects.spooling import Kept, SpoolFull
from prospects.unsubscribing import Person

logger = logging.getLogger(__name__)

_LIMIT = banning.Limit("unsubscribe", rate="30/m", block_seconds=600)
_LONGEST_BODY = 65_536
_LONGEST_DRAIN = 10_000_000
_RETRY_SECONDS = 60
# Who presses a button, and who posts for a mailbox provider, waits no longer than this for PostgreSQL.
_PATIENCE = 4.0
# A deadlock is noticed after one second, and is no sign of a database that is away.
_SLOW = 2.0

# Searched for, not matched: mail programs glue brackets, dots and `3D` to links, and a no should survive that.
_TOKEN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CAMPAIGN_KEY = re.compile(r"[0-9a-f]{12}")

# After a failure that took long, requests are kept at once instead of waiting as long for the next one.
database_rest = Rest(5)


@method_decorator(csrf_exempt, name="dispatch")
class UnsubscribeView(View):
    """`/api/unsubscribe?token=UUID[&c=CAMPAIGN_KEY]`."""

    http_method_names = ("get", "head", "post", "options")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        waiting = 0 if request.method == "POST" else _seconds_to_wait(request)
        response = _blocked(request, waiting) if waiting else super().dispatch(request, *args, **kwargs)
        _drain(request)
        return unsubscribe_pages.shielded(response)

    def get(self, request: HttpRequest) -> HttpResponse:
        token = _token(request.GET)
        if token is None:
            return _answer(request, "unknown", 400)
        try:
            with _impatience():
                return _shown(request, unsubscribing.find_person(token))
        except Error as error:
            # The button works nevertheless, so the page is there, and says less.
            _log("unsubscribe_page_without_database", error)
            return _answer(request, "ask", 200)

    def post(self, request: HttpRequest) -> HttpResponse:
        form = _form(request)
        token = _token(request.GET) or _token(form)
        if token and (answer := _undo(request, token) if _is_undo(form) else _say_no(request, token)):
            return answer
        if waiting := _seconds_to_wait(request):
            return _blocked(request, waiting)
        if form is None:
            return _answer(request, "too_large", 413)
        return _answer(request, "unknown", 200 if token else 400)


def _shown(request: HttpRequest, person: Person | None) -> HttpResponse:
    if person is None:
        return _answer(request, "unknown", 200)
    return _done(request, person) if person.unsubscribed else _answer(request, "ask", 200, person)


def _say_no(request: HttpRequest, token: UUID) -> HttpResponse | None:
    """The answer to a no; None when nobody has this token."""
    no = Kept(
        token=token,
        at=timezone.now(),
        method=Unsubscribe.Method.PAGE if _from_our_button(request) else Unsubscribe.Method.ONE_CLICK,
        campaign_key=_campaign_key(request),
        user_agent=_user_agent(request),
    )
    try:
        person = _repeated(lambda: _unsubscribe(no))
    except Error as error:
        _log("unsubscribe_without_database", error)
        return _keep(request, no)
    return _done(request, person) if person else None


def _unsubscribe(no: Kept) -> Person | None:
    return unsubscribing.unsubscribe(
        no.token, method=Unsubscribe.Method(no.method), campaign_key=no.campaign_key, user_agent=no.user_agent, now=no.at
    )


def _keep(request: HttpRequest, no: Kept) -> HttpResponse:
    """202: taken in, and not done yet. Mailbox providers take any 2xx for success; RFC 8058 names none."""
    try:
        catching_up.keep(no)
    except (OSError, SpoolFull):
        return _unavailable(request)
    return _answer(request, "kept", 202)


def _undo(request: HttpRequest, token: UUID) -> HttpResponse | None:
    now = timezone.now()
    try:
        person = _repeated(lambda: undoing.undo(token, user_agent=_user_agent(request), now=now))
    except Error as error:
        _log("unsubscribe_undo_without_database", error)
        return _unavailable(request)
    if person is None:
        return None
    return _answer(request, "too_late", 409, person) if person.unsubscribed else _answer(request, "undone", 200, person)


def _done(request: HttpRequest, person: Person) -> HttpResponse:
    """The page that says so, with a way back for as long as there is one."""
    minutes = 0
    if not _is_program(request):
        try:
            with _impatience():
                minutes = -(-int(undoing.time_left(person, now=timezone.now()).total_seconds()) // 60)
        except Error as error:
            # What was asked for is done already; that is what the page must say.
            _log("unsubscribe_page_without_undo", error)
    return _answer(request, "done", 200, person, minutes=minutes)


def _repeated(act: Callable[[], Person | None]) -> Person | None:
    """Once more after a lost connection or a deadlock: repeating a no is harmless, missing one is not."""
    try:
        with _impatience():
            return act()
    except (OperationalError, InterfaceError) as error:
        _log("unsubscribe_repeated", error)
        with _impatience():
            return act()


@contextmanager
def _impatience() -> Iterator[None]:
    """Bound the wait for PostgreSQL. Raises OperationalError when it is over, and at once after it was just over."""
    if database_rest.is_on():
        raise OperationalError("PostgreSQL has just kept somebody waiting")
    began = time.monotonic()
    try:
        with database_deadline(_PATIENCE):
            yield
    except Error:
        if time.monotonic() - began > _SLOW:
            database_rest.begin()
        raise


def _log(what: str, error: Exception) -> None:
    """Without a traceback: in an outage there are many of these, and they are all alike."""
    logger.warning(what, extra={"error": f"{type(error).__name__}: {error}"[:300]})


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


def _is_undo(form: QueryDict | None) -> bool:
    """Pressed on our page, by a person. A one-click request is a no, whatever else it carries (RFC 8058, 3.2)."""
    return form is not None and "undo" in form and "confirm" not in form and "List-Unsubscribe" not in form


def _user_agent(request: HttpRequest) -> str:
    return user_agents.classify(request.headers.get("User-Agent", ""))


def _is_program(request: HttpRequest) -> bool:
    """One-click requests come from programs, which get one line of text; everyone else gets a page."""
    if request.method != "POST" or "text/html" in request.headers.get("Accept", ""):
        return False
    return not (_from_our_button(request) or _is_undo(_form(request)))


def _answer(request: HttpRequest, name: str, status: int, person: Person | None = None, **facts: Any) -> HttpResponse:
    if _is_program(request):
        return unsubscribe_pages.sentence(name, status)
    return unsubscribe_pages.page(request, name, status, person, **facts)


def _blocked(request: HttpRequest, seconds: int) -> HttpResponse:
    """429. Its page keeps the button, as a no is honoured nevertheless; whose link it is, is not looked up."""
    has_button = request.method in {"GET", "HEAD"} and _token(request.GET) is not None
    response = _answer(request, "blocked", 429, minutes=-(-seconds // 60), has_button=has_button)
    response.headers["Retry-After"] = str(seconds)
    return response


def _unavailable(request: HttpRequest) -> HttpResponse:
    response = _answer(request, "unavailable", 503)
    response.headers["Retry-After"] = str(_RETRY_SECONDS)
    return response
