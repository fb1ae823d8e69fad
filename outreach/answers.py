"""How errors become the API's one error shape."""

from typing import Any

from drf_standardized_errors.handler import ExceptionHandler as StandardExceptionHandler
from rest_framework.exceptions import APIException

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
        return super().convert_known_exceptions(exc)
