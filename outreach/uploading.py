"""The body of an upload becomes a private file on disk, piece by piece."""

import os
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from django.conf import settings

from outreach.errors import DomainError
from outreach.parsing import BodyTooLarge

_PIECE = 1 << 18


class Readable(Protocol):
    """Where pieces come from: a request, or a file."""

    def read(self, size: int, /) -> bytes: ...


class IncompleteUpload(DomainError):
    """The upload broke off; nothing was imported. Send the file again."""

    code = "IMPORT_INCOMPLETE"
    status = 400


class NoFile(DomainError):
    """The form has no file: send it in the field `file`, or the CSV itself as the body with Content-Type text/csv."""

    code = "IMPORT_NO_FILE"
    status = 400
    attr = "file"


class SeveralFiles(DomainError):
    """The form has more than one file: send each in a request of its own; nothing was imported."""

    code = "IMPORT_SEVERAL_FILES"
    status = 400
    attr = "file"


class NoRoom(DomainError):
    """The file cannot be kept: is IMPORT_DIRECTORY writable, and its disk not full?"""

    code = "IMPORT_NO_ROOM"
    status = 507


def keep(pieces: Iterable[bytes]) -> Path:
    """Write the pieces to a new file that only this user may read, under a name of our own.

    Raises BodyTooLarge beyond IMPORT_MAX_BYTES, NoRoom, and whatever reading raises; then no file is left.
    """
    try:
        return _written(_directory() / f"{uuid.uuid4().hex}.csv", pieces)
    except OSError as error:
        raise NoRoom from error


def pieces_of(stream: Readable, *, length: int | None) -> Iterator[bytes]:
    """A request's body. Raises IncompleteUpload when fewer than `length` bytes come: the caller hung up."""
    read = 0
    while piece := _read(stream):
        read += len(piece)
        yield piece
    if length is not None and read < length:
        raise IncompleteUpload


def refuse_too_large(size: int) -> None:
    """Raises BodyTooLarge for more bytes than one import may have."""
    if size > settings.IMPORT_MAX_BYTES:
        raise BodyTooLarge(f"The file is larger than {settings.IMPORT_MAX_BYTES} bytes: split it.")


def find(name: str) -> Path:
    """Where the file of this name is kept, whether or not it is there."""
    return _directory() / Path(name).name


def forget_older_than(age: timedelta, *, now: datetime, except_for: Collection[str]) -> int:
    """Delete kept files that a killed process left behind; returns how many."""
    forgotten = 0
    for path in _directory().glob("*.csv"):
        with suppress(FileNotFoundError):
            if path.name not in except_for and now.timestamp() - path.stat().st_mtime > age.total_seconds():
                path.unlink()
                forgotten += 1
    return forgotten


def _read(stream: Readable) -> bytes:
    try:
        return stream.read(_PIECE)
    except BodyTooLarge:
        raise
    except Exception as error:  # every web server has errors of its own for a body that breaks
        raise IncompleteUpload from error


def _directory() -> Path:
    directory = Path(settings.IMPORT_DIRECTORY)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _written(path: Path, pieces: Iterable[bytes]) -> Path:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(_measured(pieces))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _measured(pieces: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        refuse_too_large(size)
        yield piece
