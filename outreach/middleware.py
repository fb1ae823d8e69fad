"""What every request passes through."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

_ADMIN_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)

Handler = Callable[[HttpRequest], HttpResponse]


def refuse_nul(get_response: Handler) -> Handler:
    """Answer 400 to a NUL byte in the path or query: PostgreSQL cannot store or compare one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            error = {"code": "invalid", "detail": "The address holds a NUL character.", "attr": None}
            return JsonResponse({"type": "client_error", "errors": [error]}, status=400)
        return get_response(request)

    return middleware


def spare_bodies(get_response: Handler) -> Handler:
    """Answer HEAD as GET, without the body (RFC 9110, 9.3.2): Django leaves that to the web server, which warns of it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.method == "HEAD":
            _empty(response)
        return response

    return middleware


def forget_cookies(get_response: Handler) -> Handler:
    """Let no cookie reach the unsubscribe page: a session's would ask the database, which may be away, who it is.

    RFC 8058, 3.2: a one-click request carries no cookies, and no other context.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/api/unsubscribe"):
            request.META.pop("HTTP_COOKIE", None)
        return get_response(request)

    return middleware


def protect_admin(get_response: Handler) -> Handler:
    """Keep the admin's pages to scripts of our own files, whatever text of a webhook or a file they show.

    `unsafe-eval` is for Alpine, which unfold's menus are made with; it evaluates their own attributes only.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.path_info.startswith("/admin/"):
            response.headers.setdefault("Content-Security-Policy", _ADMIN_POLICY)
        return response

    return middleware


def strip_trailing_slash(get_response: Handler) -> Handler:
    """Answer `/path/` as `/path`, without a redirect, which would lose a webhook's body."""

    def middleware(request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.endswith("/") and path.startswith(("/api/", "/v1/", "/internal/", "/healthz", "/readyz", "/metrics")):
            request.path_info = path.rstrip("/")
        return get_response(request)

    return middleware


def _empty(response: HttpResponseBase) -> None:
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    elif isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
