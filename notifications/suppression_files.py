"""The suppression list as a file: imported row by row with every row accounted for, and exported.

A file is read to its end before anything is written, so that one that cannot be read has no effect. Then its rows go
in by batches, each committed alone: nobody who says no meanwhile waits, and repeating a file changes nothing.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from notifications import listing
from notifications.models import Suppression, SuppressionReason
from outreach import addresses, csv_text, keyed_hashes
from outreach.errors import DomainError

COLUMNS = ("email", "reason", "suppressed_at", "source", "note")
LONGEST_NOTE = 1000
MOST_ERRORS = 100
_BATCH = 2_000
_SPELLINGS = {"email": {"email", "emailaddress"}, "reason": {"reason"}, "note": {"note", "notes"}}
_GUARDED = re.compile(r"'[=+\-@\t\r]")


class NoEmailColumn(DomainError):
    """The first line must name the columns, one of them email; reason and note may follow."""

    code = "IMPORT_NO_EMAIL_COLUMN"
    status = 400


class DuplicateColumn(DomainError):
    """Two columns have one name."""

    code = "IMPORT_DUPLICATE_COLUMN"
    status = 400


class Row(NamedTuple):
    """One address to be put on the list."""

    line: int
    email: str
    reason: SuppressionReason
    note: str


class Rejected(NamedTuple):
    """A row that cannot be taken, and why."""

    line: int
    email: str
    code: str
    detail: str


@dataclass
class Account:
    """What became of a file's rows: `rows = added + changed + unchanged + invalid`; the first errors."""

    rows: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    invalid: int = 0
    errors: list[Rejected] = field(default_factory=list)


def import_file(path: Path, *, by: str, now: datetime) -> Account:
    """Put a kept file's addresses on the list and delete the file; a reason never becomes weaker.

    Raises NoEmailColumn, DuplicateColumn and the errors of csv_text; then nothing has changed.
    """
    try:
        with _open_rows(path) as rows:
            for _ in rows:
                pass
        return _take(path, by=by, now=now)
    finally:
        path.unlink(missing_ok=True)


def export_rows() -> Iterator[tuple[object, ...]]:
    """The header and the whole list, by address; read piece by piece."""
    yield COLUMNS
    listed = Suppression.objects.order_by("email").values_list(*COLUMNS).iterator(chunk_size=2_000)
    for email, reason, suppressed_at, source, note in listed:
        yield email, reason, suppressed_at.isoformat(), source, note


def _take(path: Path, *, by: str, now: datetime) -> Account:
    account = Account()
    with _open_rows(path) as rows:
        while batch := list(islice(rows, _BATCH)):
            account.rows += len(batch)
            _write(_judged(batch, account), account, by=by, now=now)
    return account


def _judged(batch: Iterable[Row | Rejected], account: Account) -> list[Row]:
    """The batch's rows that can be taken, each address and reason once; the others are counted."""
    taken: dict[tuple[str, str], Row] = {}
    for row in batch:
        if isinstance(row, Rejected):
            account.invalid += 1
            account.errors += [row] if len(account.errors) < MOST_ERRORS else []
        elif taken.setdefault((row.email, row.reason), row) is not row:
            account.unchanged += 1
    return list(taken.values())


def _write(rows: list[Row], account: Account, *, by: str, now: datetime) -> None:
    # Every reason of an address, the weakest first: a no to outreach is remembered below a stronger one.
    for reason in SuppressionReason:
        noted = {row.email: row.note for row in rows if row.reason == reason}
        added, changed = listing.put(noted, reason=reason, source=f"import by {by}", now=now)
        account.added += added
        account.changed += changed
        account.unchanged += len(noted) - added - changed


@contextmanager
def _open_rows(path: Path) -> Iterator[Iterator[Row | Rejected]]:
    encoding = csv_text.encoding_of(path)
    with csv_text.open_records(path, encoding, is_header=lambda header: "email" in _places(header)) as records:
        header = next(records, None)
        if header is None:
            raise csv_text.EmptyFile
        columns = _columns(header.cells)
        yield (_row(record, columns) for record in records)


def _columns(header: list[str]) -> dict[str, int]:
    places = _places(header)
    if "email" not in places:
        raise NoEmailColumn(f"No column is called email. The columns found: {', '.join(name[:50] for name in header[:20])}.")
    for name, found in places.items():
        if len(found) > 1:
            raise DuplicateColumn(f"More than one column means {name}.")
    return {name: found[0] for name, found in places.items()}


def _places(header: list[str]) -> dict[str, list[int]]:
    """Where each known column stands, whatever its case and punctuation."""
    plain = [re.sub(r"[\W_]+", "", name.casefold()) for name in header]
    found = {name: [at for at, one in enumerate(plain) if one in spellings] for name, spellings in _SPELLINGS.items()}
    return {name: places for name, places in found.items() if places}


def _row(record: csv_text.Record, columns: dict[str, int]) -> Row | Rejected:
    given = {name: _cell(record.cells, at) for name, at in columns.items()}
    if record.problem:
        return Rejected(record.line, given["email"][:300], *record.problem)
    try:
        # An export holds the hashes of people who were erased; their no must come back with it.
        email = given["email"] if keyed_hashes.is_hash(given["email"]) else addresses.normalise(given["email"])
    except addresses.InvalidAddress as error:
        return Rejected(record.line, given["email"][:300], "invalid_email", f"Not an e-mail address: {error}.")
    reason, note = given.get("reason", "").lower() or SuppressionReason.MANUAL, given.get("note", "")
    if reason not in SuppressionReason.values:
        detail = f"{reason[:50]} is no reason; one of {', '.join(SuppressionReason.values)}, or nothing for manual."
        return Rejected(record.line, email, "invalid_reason", detail)
    if len(note) > LONGEST_NOTE:
        return Rejected(record.line, email, "field_too_long", f"note is longer than {LONGEST_NOTE} characters.")
    return Row(record.line, email, SuppressionReason(reason), note)


def _cell(cells: list[str], at: int) -> str:
    """What a cell says; our own guard against formulas (`csv_text.write_lines`) is none of it."""
    cell = cells[at] if at < len(cells) else ""
    cell = cell[1:] if _GUARDED.match(cell) else cell
    return "".join(character for character in cell if character.isprintable() or character == "\n").strip()
