"""Requests to unsubscribe that PostgreSQL could not take, in files of this machine until it can.

`incoming.jsonl` is what every process of this machine appends to, a line a request, on the disk before the
answer. To be applied it is renamed to `applying.jsonl`, and deleted when all of it has been: a crash in
between repeats a file, which is harmless. A line that a crash cut short is set aside, and hurts no other.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from outreach.errors import DomainError


class SpoolFull(DomainError):
    """No more requests to unsubscribe can be kept on this machine."""

    code = "UNSUBSCRIBE_SPOOL_FULL"
    status = 503


class Damaged(ValueError):
    """A line that no request can be read from."""


@dataclass(frozen=True)
class Kept:
    """One request as it was made; `token` looks valid, and whether it is will be known when it is applied."""

    token: UUID
    at: datetime
    method: str
    campaign_key: str
    user_agent: str

    def to_line(self) -> bytes:
        """One line of JSON, in line ends on both sides: what a crash left before it cannot run into it."""
        fields = asdict(self) | {"token": str(self.token), "at": self.at.isoformat()}
        return b"\n" + json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Kept":
        """Raises Damaged."""
        try:
            fields = json.loads(line)
            at = datetime.fromisoformat(fields["at"])
            words = {name: str(fields[name]) for name in ("method", "campaign_key", "user_agent")}
            if at.tzinfo is None:
                raise Damaged
            return cls(token=UUID(fields["token"]), at=at, **words)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged from error


class Spool:
    """The files of one directory, shared by all processes of this machine; at most `max_bytes` wait in it."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._incoming = directory / "incoming.jsonl"
        self._applying = directory / "applying.jsonl"
        self._set_aside = directory / "damaged.jsonl"

    def append(self, request: Kept) -> None:
        """Keep a request; it is on the disk when this returns. Raises SpoolFull, and OSError when the disk refuses."""
        self.prepare()
        with self._lock("append"):
            if self.size() + len(line := request.to_line()) > self.max_bytes:
                raise SpoolFull
            descriptor = self._open_incoming()
            try:
                _write_whole(descriptor, line)
            except OSError:
                os.close(descriptor)
                raise
        # Outside the lock, so that requests of one moment share one write of the disk.
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def drain(self, apply: Callable[[Kept], bool]) -> int:
        """Hand over everything kept, in order, to `apply`; what it answers False to is set aside.

        Whatever `apply` raises ends this, and the request comes again next time. One process at a time: returns
        0 at once while another is at it, else how many were applied.
        """
        applied = 0
        if self.is_empty():
            return 0
        with self._lock("apply", wait=False) as ours:
            while ours and self._take():
                for line in self._lines():
                    applied += self._hand_over(line, apply)
                self._applying.unlink()
        return applied

    def is_empty(self) -> bool:
        """Whether nothing waits to be applied."""
        return not self.size()

    def size(self) -> int:
        """Bytes that wait to be applied."""
        return sum(_size(path) for path in (self._incoming, self._applying))

    def prepare(self) -> None:
        """Make the directory, for this user only: whoever reads a token can use it."""
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(self.directory.parent)

    def _hand_over(self, line: bytes, apply: Callable[[Kept], bool]) -> bool:
        try:
            taken = apply(Kept.from_line(line))
        except Damaged:
            taken = False
        if not taken:
            with open(self._set_aside, "ab", opener=_private) as file:
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
        return taken

    def _lines(self) -> Iterator[bytes]:
        with self._applying.open("rb") as file:
            yield from filter(None, (line.strip() for line in file))

    def _take(self) -> bool:
        """Make sure that there is a file to apply: what a crash left comes first."""
        if self._applying.exists():
            return True
        with self._lock("append"):
            if not _size(self._incoming):
                return False
            self._incoming.rename(self._applying)
        return True

    def _open_incoming(self) -> int:
        is_new = not self._incoming.exists()
        descriptor = _private(self._incoming, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        if is_new:
            # Inside the lock: nobody may answer for a file whose name is not on the disk yet.
            _sync_directory(self.directory)
        return descriptor

    @contextmanager
    def _lock(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Exclude other processes and threads; yields False when somebody else is inside and we do not wait."""
        descriptor = _private(self.directory / f"{name}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)


def _private(path: str | Path, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _write_whole(descriptor: int, line: bytes) -> None:
    """Append all of it or nothing: a disk that is full takes half a line without an error."""
    before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError("the disk took only a part of the line")
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # Not there, or not ours to look at; who wants to write learns it then.
        return 0


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
