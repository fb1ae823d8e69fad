"""Bodies that come without a length, in chunks (RFC 9112, 7.1), as some proxies send everything on.

Django and DRF read what CONTENT_LENGTH announces, so nothing at all of such a body, and limits are judged by it. Where
the web server knows the body's end (`wsgi.input_terminated`: gunicorn), its beginning is read here. That is nearly
always all of it and gives the length; of a longer one it is known that it is longer, and the rest stays where it is.
"""

import io
from collections.abc import Callable
from typing import IO, BinaryIO, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse

from outreach.parsing import BodyTooLarge

# Bytes. More than an event or a form may have: whoever judges by the length finds it exact, or above the limit.
_BEGINNING = 1 << 20
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class LongerThanAnyLimit(BodyTooLarge, RequestDataTooBig):
    """The request's body is too large."""


class Unmeasured(io.IOBase):
    """The beginning of a body, then the rest of it; never more than the largest file or, in one piece, form."""

    def __init__(self, beginning: bytes, rest: IO[bytes], problem: OSError | None) -> None:
        self._beginning, self._rest, self._problem = io.BytesIO(beginning), rest, problem
        self._taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Exactly `size` bytes while there are so many. Raises LongerThanAnyLimit, and OSError for one that broke off."""
        if size is None or size < 0:
            return self._whole()
        piece = self._beginning.read(size)
        if len(piece) < size:
            piece += self._more(size - len(piece))
        self._taken += len(piece)
        if self._taken > max(settings.IMPORT_MAX_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE):
            raise LongerThanAnyLimit
        return piece

    def _whole(self) -> bytes:
        body = self.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise LongerThanAnyLimit
        return body

    def _more(self, size: int) -> bytes:
        if self._problem:
            raise self._problem
        return _read(self._rest, size)


def measure_bodies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give a body without a length one, exact up to a megabyte; for everybody who comes after."""

    def middleware(request: HttpRequest) -> HttpResponse:
        meta = request.META
        if not meta.get("CONTENT_LENGTH") and meta.get("wsgi.input_terminated") and request.method not in _BODILESS:
            _measure(request)
        return get_response(request)

    return middleware


def _measure(request: HttpRequest) -> None:
    stream, beginning, problem = request.META["wsgi.input"], b"", None
    try:
        beginning = _read(stream, _BEGINNING + 1)
    except OSError as error:
        # Whoever reads the body is told, and answers as for any other that broke off.
        problem = error
    if beginning or problem:
        request.META["CONTENT_LENGTH"] = str(len(beginning) + bool(problem))
        request._stream = cast("BinaryIO", Unmeasured(beginning, stream, problem))


def _read(stream: IO[bytes], size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception as error:  # every web server has errors of its own for a body that breaks
        raise OSError("the body broke off") from error
