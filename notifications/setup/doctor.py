"""Would sending work? Every check on its own: one that fails, or cannot be made, hides no other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from notifications.setup import clients
from notifications.setup.wishes import Wish

if TYPE_CHECKING:
    from notifications.setup.clients import Aws


class Mark(StrEnum):
    """How bad it is: FAIL keeps mail from leaving, or its events from being seen."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Line:
    """One thing found, and what to do about it unless it is well."""

    mark: Mark
    subject: str
    words: str
    fix: str = ""


class Resolver(Protocol):
    """DNS, as the checks need it. A name that does not exist has no records; trouble raises."""

    def records(self, name: str, kind: str) -> list[str]:
        """The records of a name, as text without quotes and final dots."""
        ...


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is examined, and with what; `post` sends a body and returns status and error code (0 and why when nothing answers)."""

    wish: Wish
    aws: "Aws"
    resolver: Resolver
    post: Callable[[str, bytes, dict[str, str]], tuple[int, str]]
    now: datetime
    mode: str
    sender: str
    configuration_set: str
    account_id: str
    max_send_rate: float
    secrets_set: bool
    topics: tuple[str, ...]


Check = Callable[[Patient], Iterable[Line]]


def examine(patient: Patient, checks: Iterable[tuple[str, Check]]) -> Iterator[Line]:
    """Every line of every check; a check that breaks is a line that says so."""
    for subject, check in checks:
        try:
            # A list: what a check found before it broke counts as well.
            yield from check(patient)
        except Exception as error:
            yield _broken(subject, error)


def ok(subject: str, words: str) -> Line:
    return Line(Mark.OK, subject, words)


def warn(subject: str, words: str, fix: str) -> Line:
    return Line(Mark.WARN, subject, words, fix)


def fail(subject: str, words: str, fix: str) -> Line:
    return Line(Mark.FAIL, subject, words, fix)


def _broken(subject: str, error: Exception) -> Line:
    code = clients.code_of(error)
    if "AccessDenied" in code or code in {"UnauthorizedOperation", "AuthorizationError"}:
        return warn(
            subject, f"cannot be checked: {clients.said(error)}", "Give these credentials the permissions in docs/operations.md."
        )
    return fail(subject, f"cannot be checked: {clients.said(error)}", "Mend that, then run this again.")


def worst(lines: Iterable[Any]) -> Mark:
    """The worst mark of all."""
    marks = {line.mark for line in lines}
    return next((mark for mark in (Mark.FAIL, Mark.WARN) if mark in marks), Mark.OK)
