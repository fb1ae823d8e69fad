"""The rows of a CSV file as people, or the reason why a row is none. No database here."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

from outreach import addresses, csv_text
from outreach.errors import DomainError
from prospects import cleaning

_LONGEST = {"first_name": 150, "last_name": 150, "company": 200, "source": 200}
_SPELLINGS = {
    "email": {"emailaddress", "emailadresse"},
    "first_name": {"firstname", "givenname", "forename", "vorname"},
    "last_name": {"lastname", "surname", "familyname", "nachname"},
    "company": {"companyname", "organisation", "organization", "firma", "unternehmen"},
    "tags": {"tag", "labels"},
    "source": set[str](),
}
# What only consent and the database decide: a file cannot say it, not even as an attribute.
_IGNORED = {"status", "unsubscribetoken", "unsubscribedat", "bouncedat", "complainedat", "createdat", "updatedat"}
_SAYS_NOTHING = {"", "active"}
_LONGEST_STATUS = 50


class NoEmailColumn(DomainError):
    """The first line must name the columns, one of them email."""

    code = "IMPORT_NO_EMAIL_COLUMN"
    status = 400


class DuplicateColumn(DomainError):
    """Two columns have one name."""

    code = "IMPORT_DUPLICATE_COLUMN"
    status = 400


class BadColumn(DomainError):
    """A column's name cannot become the name of an attribute."""

    code = "IMPORT_BAD_COLUMN"
    status = 400


class Person(NamedTuple):
    """A row that can be taken; blank means that the file does not say."""

    line: int
    email: str
    tags: list[str]
    attributes: dict[str, str]
    first_name: str = ""
    last_name: str = ""
    company: str = ""
    source: str = ""
    # What the file says about the person's consent, unless it is nothing or active; the database knows if that is news.
    status: str = ""


class Rejected(NamedTuple):
    """A row that cannot, and why."""

    line: int
    email: str
    code: str
    detail: str


class _RowError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


class Columns:
    """Where each field stands in a row."""

    fields: ClassVar = ("email", "first_name", "last_name", "company", "tags", "source")

    def __init__(self, header: list[str]) -> None:
        """Raises NoEmailColumn, DuplicateColumn or BadColumn, each naming the columns."""
        names = [cleaning.text(name) for name in header]
        self.width = len(names)
        self.known = _known(names)
        if "email" not in self.known:
            raise NoEmailColumn(f"No column is called email. The columns found: {_listed(names)}.")
        self.statuses = [at for at, name in enumerate(names) if _plain(name) == "status"]
        taken = set(self.known.values())
        others = {at: name for at, name in enumerate(names) if at not in taken and name and _plain(name) not in _IGNORED}
        self.attributes = _attribute_columns(others)


@contextmanager
def open_rows(path: Path) -> Iterator[Iterator[Person | Rejected]]:
    """Every row of the file in its order.

    Opening raises NotCsv, EmptyFile, BrokenHeader and the errors of Columns; iterating UnclosedQuote and RecordTooLong.
    """
    encoding = csv_text.encoding_of(path)
    with csv_text.open_records(path, encoding, is_header=_names_email) as records:
        header = next(records, None)
        if header is None:
            raise csv_text.EmptyFile
        read = _reader(Columns(header.cells))
        yield map(read, records)


def _reader(columns: Columns) -> Callable[[csv_text.Record], Person | Rejected]:
    """The function from one record to one row, for files with these columns."""
    at_email = columns.known["email"]

    def read(record: csv_text.Record) -> Person | Rejected:
        cells = record.cells
        try:
            if record.problem:
                raise _RowError(*record.problem)
            return _person(record.line, cells, columns)
        except _RowError as error:
            shown = cleaning.text(cells[at_email][:300]) if at_email < len(cells) else ""
            return Rejected(record.line, shown, error.code, error.detail[:500])

    return read


def _person(line: int, cells: list[str], columns: Columns) -> Person:
    missing = columns.width - len(cells)
    if missing < 0 and any(map(str.strip, cells[columns.width :])):
        raise _RowError("row_too_long", f"The row has {len(cells)} cells, the header {columns.width}.")
    if missing > 0:
        # Spreadsheets and scripts drop trailing empty cells.
        cells = cells + [""] * missing
    known = columns.known
    try:
        email = addresses.normalise(cells[known["email"]])
        texts = {name: _text(name, cells[known[name]]) for name in _LONGEST if name in known}
        tags = cleaning.split_tags(cells[known["tags"]]) if "tags" in known else []
        attributes = {key: value for key, at in columns.attributes if (value := _value(key, cells[at]))}
    except addresses.InvalidAddress as error:
        raise _RowError("invalid_email", f"Not an e-mail address: {error}.") from error
    except cleaning.InvalidField as error:
        raise _RowError("invalid_field", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    said = (cleaning.text(cells[at]).casefold()[:_LONGEST_STATUS] for at in columns.statuses)
    status = next((one for one in said if one not in _SAYS_NOTHING), "")
    return Person(line, email, tags, attributes, **texts, status=status)


def _text(name: str, cell: str) -> str:
    cleaned = cleaning.text(cell)
    if len(cleaned) > _LONGEST[name]:
        raise _RowError("field_too_long", f"{name} is longer than {_LONGEST[name]} characters.")
    return cleaned


def _value(key: str, cell: str) -> str:
    value = cleaning.text(cell)
    if len(value) > cleaning.LONGEST_VALUE:
        raise _RowError("field_too_long", f"{key} is longer than {cleaning.LONGEST_VALUE} characters.")
    return value


def _plain(name: str) -> str:
    """The name without case, spaces and punctuation: First Name, first_name and FIRSTNAME are one."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _known(names: list[str]) -> dict[str, int]:
    """Our fields' columns. Another spelling counts where the field's own name is missing."""
    plain = [_plain(name) for name in names]
    found = {}
    for field, spellings in _SPELLINGS.items():
        own = [at for at, name in enumerate(plain) if name == field.replace("_", "")]
        places = own or [at for at, name in enumerate(plain) if name in spellings]
        if len(places) > 1:
            raise DuplicateColumn(f"More than one column means {field}: {_listed([names[at] for at in places])}.")
        if places:
            found[field] = places[0]
    return found


def _attribute_columns(names: dict[int, str]) -> list[tuple[str, int]]:
    if len(names) > cleaning.MOST_ATTRIBUTES:
        raise BadColumn(f"{len(names)} columns would become attributes; at most {cleaning.MOST_ATTRIBUTES} may.")
    seen: dict[str, str] = {}
    for name in names.values():
        if name.casefold() in seen:
            raise DuplicateColumn(f"Two columns have one name: {_listed([seen[name.casefold()], name])}.")
        seen[name.casefold()] = name
        try:
            cleaning.attribute_key(name)
        except cleaning.InvalidField as error:
            raise BadColumn(f"The column {name[:100]} cannot become an attribute: {error}.") from error
    return [(name, at) for at, name in names.items()]


def _names_email(header: list[str]) -> bool:
    return any(_plain(name) in {"email"} | _SPELLINGS["email"] for name in header)


def _listed(names: list[str]) -> str:
    shown = ", ".join(json.dumps(name[:50], ensure_ascii=False) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
