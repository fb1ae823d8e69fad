"""Events come by the thousand: what no machine needs is left out on their way to the two webhooks.

Sessions, CSRF, sign-in, messages and the search through all routes cost as much as storing an event, and so does a
line for each: what was stored is in the inbox and counted, what was refused has a line (`LOG_LEVEL=DEBUG` has all).
The same views stand in `notifications.urls`, for their names.
"""

import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse

from notifications import views
from outreach import clients

log = structlog.get_logger("outreach")

VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/api/webhooks/ses-events": views.ses_events,
    "/v1/notifications/ses-events": views.ses_events_by_sns,
}


def answer_webhooks(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer the two routes; everything else goes on. An unknown host is refused here as there."""

    def middleware(request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path_info.rstrip("/"))
        if view is None:
            return get_response(request)
        request.get_host()
        return _answer(request, view)

    return middleware


def _answer(request: HttpRequest, view: Callable[[HttpRequest], HttpResponse]) -> HttpResponse:
    request_id, began = str(uuid4()), time.monotonic()
    with structlog.contextvars.bound_contextvars(request_id=request_id, ip=str(clients.address(request) or "")):
        response = view(request)
        words = {"code": response.status_code, "request": f"{request.method} {request.path}"}
        log.debug("request_finished", **words, duration_ms=round((time.monotonic() - began) * 1000))
    response.headers["X-Request-ID"] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Without a length the answer would come in chunks.
    response.headers["Content-Length"] = str(len(response.content))
    return response
