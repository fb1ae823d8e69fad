"""An uploaded file in an API request: the body itself, or the field `file` of a form."""

from pathlib import Path
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from rest_framework import parsers
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.request import Request

from outreach import uploading
from outreach.parsing import BodyTooLarge

FORM = "multipart/form-data"
_RAW = frozenset({"text/csv", "application/csv", "text/plain", "application/octet-stream"})


class FormParser(parsers.MultiPartParser):
    """A form; one with hundreds of fields or files is a bad request and no server error."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except BodyTooLarge:
            raise
        except SuspiciousOperation as error:
            raise ParseError("The form has too many fields.") from error


def receive(request: Request) -> tuple[Path, str]:
    """The uploaded file, kept, and its name; the view's parser must be `FormParser`.

    Raises what `uploading` raises, and UnsupportedMediaType.
    """
    http, length = request._request, _content_length(request)
    uploading.refuse_too_large(length or 0)
    if http.content_type in _RAW:
        return uploading.keep(uploading.pieces_of(http, length=length)), ""
    if http.content_type != FORM:
        raise UnsupportedMediaType(http.content_type or "nothing")
    uploads = request.FILES.getlist("file")
    _refuse_broken_off(http)
    if not uploads:
        raise uploading.NoFile
    if len(uploads) > 1:
        raise uploading.SeveralFiles
    (upload,) = uploads
    return uploading.keep(upload.chunks()), upload.name or ""


def _content_length(request: Request) -> int | None:
    given = request.META.get("CONTENT_LENGTH") or ""
    return int(given) if given.isascii() and given.isdecimal() else None


def _refuse_broken_off(http: HttpRequest) -> None:
    """Raises IncompleteUpload for a form whose sender hung up: its last file would be a part of itself."""
    stream = getattr(http, "_stream", None)
    if getattr(stream, "_pos", 0) < getattr(stream, "limit", 0):
        raise uploading.IncompleteUpload
