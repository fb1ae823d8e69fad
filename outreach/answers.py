"""How errors become the API's one error shape."""

from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler as StandardExceptionHandler
from rest_framework.exceptions import APIException, ParseError

from outreach.errors import DomainError


class DomainAPIException(APIException):
    """A DomainError on its way out of the API."""

    def __init__(self, error: DomainError) -> None:
        self.status_code = error.status
        detail: Any = {error.attr: [error.detail]} if error.attr else error.detail
        super().__init__(detail, code=error.code)


class ExceptionHandler(StandardExceptionHandler):
    """drf-standardized-errors with our domain errors."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, DomainError):
            return DomainAPIException(exc)
        if isinstance(exc, MultiPartParserError | SuspiciousOperation | UnreadablePostError):
            return ParseError("The body cannot be read.")
        return super().convert_known_exceptions(exc)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 404 of a path that no route takes: JSON for the API, a page for people."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return _error("client_error", "not_found", "Not found.", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """The 500 of an error outside a DRF view."""
    if not _is_api(request):
        return defaults.server_error(request)
    return _error("server_error", "error", "A server error occurred.", 500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 400 of a request that Django itself refuses, such as a forged host."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _error("client_error", "bad_request", "The request is not valid.", 400)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/v1/", "/internal/"))


def _error(kind: str, code: str, detail: str, status: int) -> JsonResponse:
    return JsonResponse({"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}, status=status)
