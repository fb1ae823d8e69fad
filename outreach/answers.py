"""How errors become the API's one error shape."""

import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import render_to_string
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler as StandardExceptionHandler
from rest_framework.exceptions import APIException, ErrorDetail, ParseError
from rest_framework.response import Response
from rest_framework_simplejwt.exceptions import AuthenticationFailed, DetailDictMixin

from outreach import outages, tracing
from outreach.errors import DomainError


class DomainAPIException(APIException):
    """A DomainError on its way out of the API."""

    def __init__(self, error: DomainError) -> None:
        self.status_code = error.status
        # Retry-After, in seconds.
        self.wait = outages.RETRY_SECONDS if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None
        detail: Any = {error.attr: [error.detail]} if error.attr else error.detail
        super().__init__(detail, code=error.code)


class ExceptionHandler(StandardExceptionHandler):
    """drf-standardized-errors with our domain errors."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, DomainError):
            return DomainAPIException(exc)
        if isinstance(exc, DetailDictMixin):
            return _single(exc)
        if outages.is_outage(exc):
            return DomainAPIException(outages.DatabaseUnavailable())
        if isinstance(exc, MultiPartParserError | SuspiciousOperation | UnreadablePostError):
            return ParseError("The body cannot be read.")
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: APIException, response: Response) -> None:
        """Nothing is broken when something is away for a while: a line of one request, and no traceback."""
        request = self.context["request"]
        if request is not None and exc.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            tracing.note_error(request._request, response, self.exc)
        else:
            super().report_exception(exc, response)


def answer_outages(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """503 for a page, or whatever is no view of DRF, while PostgreSQL is away."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    middleware.process_exception = _explain  # type: ignore[attr-defined]  # Django looks for it
    return middleware


def _single(error: DetailDictMixin) -> APIException:
    """simplejwt keeps its code beside its detail, which would make a second error of it, about a field `code`."""
    told = cast("AuthenticationFailed", error)
    words = cast("dict[str, Any]", told.detail)
    told.detail = ErrorDetail(str(words["detail"]), str(words["code"]))
    return told


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 404 of a path that no route takes: JSON for the API, a page for people."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return _error("client_error", "not_found", "Not found.", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """The 500 of an error outside a DRF view; 503 when a middleware, saving a session, met an outage."""
    if answer := _explain(request, sys.exc_info()[1]):
        return answer
    if not _is_api(request):
        return defaults.server_error(request)
    return _error("server_error", "error", "A server error occurred.", 500)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The 400 of a request that Django itself refuses, such as a forged host."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _error("client_error", "bad_request", "The request is not valid.", 400)


def _explain(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """The answer to a request that met an outage; None for any other error."""
    if error is None or not outages.is_outage(error):
        return None
    problem = outages.DatabaseUnavailable()
    headers = {"Retry-After": str(outages.RETRY_SECONDS), "Cache-Control": "no-store"}
    if _is_api(request):
        response: HttpResponse = _error("server_error", problem.code, problem.detail, problem.status, headers)
    else:
        response = HttpResponse(render_to_string("503.html"), status=problem.status, headers=headers)
    tracing.note_error(request, response, error)
    return response


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/v1/", "/internal/"))


def _error(kind: str, code: str, detail: str, status: int, headers: dict[str, str] | None = None) -> JsonResponse:
    body = {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}
    return JsonResponse(body, status=status, headers=headers)
