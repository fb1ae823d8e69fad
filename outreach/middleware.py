"""What every request passes through."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

Handler = Callable[[HttpRequest], HttpResponse]


def refuse_nul(get_response: Handler) -> Handler:
    """Answer 400 to a NUL byte in the path or query: PostgreSQL cannot store or compare one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            error = {"code": "invalid", "detail": "The address holds a NUL character.", "attr": None}
            return JsonResponse({"type": "client_error", "errors": [error]}, status=400)
        return get_response(request)

    return middleware


def strip_trailing_slash(get_response: Handler) -> Handler:
    """Answer `/path/` as `/path`, without a redirect, which would lose a webhook's body."""

    def middleware(request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.endswith("/") and path.startswith(("/api/", "/v1/", "/internal/", "/healthz", "/readyz", "/metrics")):
            request.path_info = path.rstrip("/")
        return get_response(request)

    return middleware
