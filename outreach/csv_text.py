"""A file's bytes as text: its encoding, its delimiter, its records with their line numbers.

Reads in pieces: memory does not grow with the file, whatever is in it.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from django.http import StreamingHttpResponse

from outreach.errors import DomainError

# The csv module refuses longer fields; said here because our answers quote it.
LONGEST_FIELD = 131_072
_LONGEST_RECORD = 4_000_000
_PIECE = 1 << 20
_DELIMITERS = ",;\t"

# What people upload by mistake: Excel (new, old), gzip, PNG, JPEG, PDF.
_FOREIGN = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"%PDF")
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
# How Python tells of a byte that is no UTF-8: https://peps.python.org/pep-0383/
_STRAY = re.compile("[\udc80-\udcff]")
_STRAYS_PER_CHARACTER = 10
# Excel's own hint in the first line.
_SEPARATOR_HINT = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)


class NotCsv(DomainError):
    """The file is not a CSV text: export it as CSV (UTF-8) and try again."""

    code = "IMPORT_NOT_CSV"
    status = 400


class EmptyFile(DomainError):
    """The file is empty: its first line must name the columns, one of them email."""

    code = "IMPORT_EMPTY"
    status = 400


class UnclosedQuote(DomainError):
    """A quoted field never ends, so nobody can say where the rows after it begin."""

    code = "IMPORT_UNCLOSED_QUOTE"
    status = 400


class RecordTooLong(DomainError):
    """A row is longer than any row of people can be."""

    code = "IMPORT_ROW_TOO_LONG"
    status = 400


class BrokenHeader(DomainError):
    """The first row, which names the columns, cannot be read."""

    code = "IMPORT_BROKEN_HEADER"
    status = 400


class Problem(NamedTuple):
    """Why a row cannot be taken, though the rows after it can."""

    code: str
    detail: str


class Record(NamedTuple):
    """The cells of one row and the physical line where it starts; those of a row with a problem are to be shown only."""

    line: int
    cells: list[str]
    problem: Problem | None = None


_FIELD_TOO_LONG = Problem("field_too_long", f"A field is longer than {LONGEST_FIELD} characters.")
_NOT_UTF8 = Problem("not_utf8", "The row holds bytes that are not UTF-8, as the rest of the file is; save all of it as UTF-8.")
_TEXT_AFTER_QUOTE = Problem(
    "text_after_quote", "Text follows the closing quote of a field; a quote inside a quoted field is written twice."
)


def encoding_of(path: Path) -> str:
    """The Python codec for the file: UTF-8, also with some bytes that are none, UTF-16 with a mark, or Windows-1252.

    Decided by the whole file, because the first umlaut may stand in its last line. Raises NotCsv.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(_FOREIGN):
        raise NotCsv
    marked = next((codec for mark, codec in _BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
    if marked != "utf-16" and _is_utf8(path):
        return "utf-8-sig"
    for codec in [marked] if marked else ["cp1252"]:
        if _decodes(path, codec):
            return codec
    raise NotCsv


@contextmanager
def open_records(path: Path, encoding: str, *, is_header: Callable[[list[str]], bool]) -> Iterator[Iterator[Record]]:
    """The file's records, the header first; blank lines are no records.

    The delimiter is the one under which `is_header` knows the first record. Iterating raises
    UnclosedQuote and RecordTooLong, EmptyFile when there is no header and BrokenHeader when it has a problem.
    """
    delimiter, skipped = _layout(path, encoding, is_header)
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        yield _Records(file, delimiter, skipped).read()


def write_lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """CSV lines that a spreadsheet shows and never runs: a cell that looks like a formula gets a leading quote."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([_harmless(str(cell)) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def attachment(rows: Iterable[Iterable[object]], *, name: str) -> StreamingHttpResponse:
    """The rows as a file to keep, written while it is read, and kept by no cache."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(write_lines(rows), content_type="text/csv; charset=utf-8", headers=headers)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _is_utf8(path: Path) -> bool:
    """Whether what is not ASCII is UTF-8, but for stray bytes: their rows are refused, the others read as they were meant.

    In a text of Windows-1252 hardly two bytes beside each other happen to be a character of UTF-8, so a few
    characters, or a mark, prove that it is none. Raises NotCsv.
    """
    characters = strays = 0
    for text in _decoded(path, "utf-8", errors="surrogateescape"):
        if not text.isascii():
            found = len(_STRAY.findall(text))
            strays += found
            characters += len(text) - len(text.encode("ascii", "ignore")) - found
    return not strays or characters * _STRAYS_PER_CHARACTER >= strays


def _decodes(path: Path, encoding: str) -> bool:
    try:
        for _ in _decoded(path, encoding):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _decoded(path: Path, encoding: str, errors: str = "strict") -> Iterator[str]:
    """The file's text in pieces. Raises NotCsv for a NUL, and UnicodeDecodeError."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            text = decoder.decode(piece)
            if "\0" in text:
                raise NotCsv
            yield text
    yield decoder.decode(b"", final=True)


def _layout(path: Path, encoding: str, is_header: Callable[[list[str]], bool]) -> tuple[str, int]:
    """The delimiter, and the number of lines before the header."""
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        head = list(io.StringIO(file.read(_PIECE), newline=""))
    first = next((number for number, line in enumerate(head) if line.strip()), None)
    if first is None:
        raise EmptyFile
    if hint := _SEPARATOR_HINT.fullmatch(head[first].strip()):
        return hint[1], first + 1
    headers = {delimiter: _first_record(head[first:], delimiter) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: (is_header(headers[delimiter]), len(headers[delimiter]))), first


def _first_record(lines: list[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return []


def _text_after_quote(delimiter: str) -> re.Pattern[str]:
    """Matches records that have more than spaces between a closing quote and the delimiter (RFC 4180, 2.5 to 2.7).

    The csv module makes one field of both; its strict mode would end the file there, and refuse the spaces.
    """
    quoted, other = r'"(?:[^"]++|"")*+" *+', rf'[^"{delimiter}\r\n][^{delimiter}\r\n]*+'
    return re.compile(rf"(?:(?:{quoted}|{other}|){delimiter})*+{quoted}[^{delimiter}\r\n]")


class _Records:
    """Reads records one by one and notices what the csv module would swallow."""

    def __init__(self, file: io.TextIOWrapper, delimiter: str, skipped: int) -> None:
        self._file = file
        self._skipped = skipped
        self._taken = 0  # characters of the record being read
        self._raw: list[str] = []  # its lines
        self._ended = False
        self._is_header = True
        self._text_after_quote = _text_after_quote(delimiter)
        self._reader = csv.reader(self._lines(), delimiter=delimiter)

    def read(self) -> Iterator[Record]:
        """Every record that is not blank."""
        while True:
            start = self._skipped + self._reader.line_num + 1
            self._taken = 0
            self._raw.clear()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                yield self._overlong(start)
                continue
            if self._ended:
                # Only a record that still waits for its closing quote asks for lines beyond the last.
                raise UnclosedQuote(f"The quote that is opened in the row at line {start} is never closed.")
            if any(map(str.strip, cells)):
                yield self._judged(Record(start, cells))

    def _judged(self, record: Record) -> Record:
        problem = self._problem_of("".join(self._raw))
        if problem and self._is_header:
            raise BrokenHeader(f"The header at line {record.line} cannot be read. {problem.detail}")
        self._is_header = False
        if problem is _NOT_UTF8:
            return Record(record.line, [_STRAY.sub("\ufffd", cell) for cell in record.cells], problem)
        return record._replace(problem=problem)

    def _problem_of(self, raw: str) -> Problem | None:
        if not raw.isascii() and _STRAY.search(raw):
            return _NOT_UTF8
        return _TEXT_AFTER_QUOTE if '"' in raw and self._text_after_quote.match(raw) else None

    def _overlong(self, start: int) -> Record:
        """A field beyond the limit: on one line it spoils its own row only, over several it ate others."""
        if self._skipped + self._reader.line_num > start:
            raise UnclosedQuote(
                f"A field of the row at line {start} is longer than {LONGEST_FIELD} characters: is a quote not closed?"
            )
        self._is_header = False
        return Record(start, [], _FIELD_TOO_LONG)

    def _lines(self) -> Iterator[str]:
        for _ in range(self._skipped):
            self._file.readline()
        while line := self._file.readline(_LONGEST_RECORD):
            self._taken += len(line)
            if self._taken >= _LONGEST_RECORD:
                raise RecordTooLong(f"The row at line {self._skipped + self._reader.line_num + 1} is too long.")
            self._raw.append(line)
            yield line
        self._ended = True
