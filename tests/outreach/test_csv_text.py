import csv
import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach import csv_text
from prospects import csv_rows
from prospects.csv_rows import Person
from tests.prospects.files import read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_every_promised_encoding_is_read(encoding):
    [row] = read("email,first_name\na@example.com,Jürgen\n".encode(encoding))

    assert row.first_name == "Jürgen"


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")])
def test_utf16_is_read_in_both_byte_orders(mark, encoding):
    [row] = read(mark + "email\tcompany\r\na@example.com\tMüller\r\n".encode(encoding))

    assert row.company == "Müller"


def test_the_last_byte_of_a_large_file_decides_its_encoding():
    ascii_rows = "".join(f"p{n}@example.com,Acme\n" for n in range(100_000))

    rows = read(f"email,company\n{ascii_rows}z@example.com,Café".encode("cp1252"))

    assert rows[-1].company == "Café"


def test_a_character_across_the_border_of_two_pieces_stays_whole():
    header, row = "email,company\n", "b@example.com,"
    blank_lines = "\n" * (csv_text._PIECE - 1 - len(header) - len(row))

    [person] = read(f"{header}{blank_lines}{row}ü\n")

    assert person.company == "ü"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_stray_byte_among_utf8_spoils_its_row_only(mark):
    one, stray, other = read(
        mark + "email,first_name\na@x.com,Jürgen\nb@x.com,J\udcfcrgen\nc@x.com,Zoë\n".encode(errors="surrogateescape")
    )

    assert (one.first_name, other.first_name) == ("Jürgen", "Zoë")
    assert (stray.line, stray.email, stray.code) == (3, "b@x.com", "not_utf8")


def test_a_mark_says_that_stray_bytes_are_no_windows_1252():
    [row] = read(b"\xef\xbb\xbfemail,first_name\na@example.com,J\xfcrgen\n")

    assert row.code == "not_utf8"


def test_windows_1252_stays_so_when_two_of_its_letters_look_like_utf8():
    names = ["Jürgen", *["Müller & Söhne"] * 10, "“CAFÉ”"]

    rows = read("\n".join(["email,company", *(f"p{n}@example.com,{name}" for n, name in enumerate(names))]).encode("cp1252"))

    assert [row.company for row in rows] == names


def test_a_header_with_a_stray_byte_is_refused():
    with pytest.raises(csv_text.BrokenHeader, match=r"line 1 .*UTF-8"):
        read(b"email,Stra\xdfe\na@example.com,J\xc3\xbcrgen\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_promised_delimiter_is_found(delimiter):
    [row] = read(f"first_name{delimiter}email\nAda{delimiter}a@example.com\n")

    assert (row.first_name, row.email) == ("Ada", "a@example.com")


def test_a_quoted_header_full_of_commas_does_not_mislead():
    [row] = read('email;"a, b, c, d, e";company\na@example.com;1;"Acme; Sons"\n')

    assert (row.company, row.attributes) == ("Acme; Sons", {"a, b, c, d, e": "1"})


def test_the_hint_that_excel_writes_is_followed():
    [row] = read("sep=;\r\nemail;company\r\na@example.com;Acme, Inc\r\n")

    assert row == Person(3, "a@example.com", [], {}, company="Acme, Inc")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_is_read(newline):
    rows = read(newline.join(["email,company", "a@example.com,A", "b@example.com,B", ""]))

    assert [(row.line, row.email, row.company) for row in rows] == [(2, "a@example.com", "A"), (3, "b@example.com", "B")]


def test_mixed_line_ends_are_read():
    rows = read("email\ra@example.com\r\nb@example.com\nc@example.com")

    assert [(row.line, row.email) for row in rows] == [(2, "a@example.com"), (3, "b@example.com"), (4, "c@example.com")]


def test_lines_are_physical_lines_of_the_rows_start():
    rows = read('\n\nemail,company\na@example.com,"Acme\nInc"\n\n  \nb@example.com,B\n,,\nno,C\n')

    assert [(row.line, row.email) for row in rows] == [(4, "a@example.com"), (8, "b@example.com"), (10, "no")]
    assert rows[0].company == "Acme Inc"


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n\r\n \n", b"sep=,\n"])
def test_an_empty_file_is_refused(content):
    with pytest.raises(csv_text.EmptyFile):
        read(content)


def _zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_zipped(), id="xlsx"),
        pytest.param(gzip.compress(b"email\na@example.com\n"), id="gzip"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), id="png"),
        pytest.param(b"%PDF-1.7 email", id="pdf"),
        pytest.param(b"\0" * 100_000, id="zeros"),
        pytest.param(b"email\na@example.com\0\n", id="nul"),
        pytest.param("email\na@example.com\n".encode("utf-16-le"), id="utf-16 without a mark"),
        pytest.param(b"\xff\xfe" + "email\n\0".encode("utf-16-le"), id="utf-16 with nul"),
        pytest.param("email\na@example.com\n".encode("utf-32"), id="utf-32"),
        pytest.param(b"\xff\xfee", id="half a utf-16 character"),
        pytest.param(b"\xef\xbb\xbfemail\na@example.com," + b"\xff" * 20, id="utf-8 mark on something else"),
        pytest.param(b"email\n\x81\x8d\x9d\n", id="neither utf-8 nor windows-1252"),
    ],
)
def test_a_file_that_is_no_text_is_refused(content):
    with pytest.raises(csv_text.NotCsv):
        read(content)


def test_a_field_beyond_the_limit_spoils_its_row_only():
    long, fine = read(f"email,note\na@example.com,{'x' * 131_073}\nb@example.com,y\n")

    assert (long.line, long.code) == (2, "field_too_long")
    assert fine.email == "b@example.com"


def test_a_header_with_a_field_beyond_the_limit_has_no_columns():
    with pytest.raises(csv_rows.NoEmailColumn):
        read(f"email,{'x' * 131_073}\na@example.com,y\n")


def test_a_quote_that_is_never_closed_is_refused_with_its_line():
    with pytest.raises(csv_text.UnclosedQuote, match="line 3"):
        read('email,company\na@example.com,A\nb@example.com,"Acme\nc@example.com,C\n')


def test_a_quote_that_swallows_the_rest_of_a_large_file_is_refused_with_its_line():
    rest = "".join(f"p{n}@example.com,x\n" for n in range(20_000))

    with pytest.raises(csv_text.UnclosedQuote, match="line 2 "):
        read(f'email,company\na@example.com,"Acme\n{rest}')


@pytest.mark.parametrize("row", ["a" * 5_000_000, '"a\n",' * 2_000_000])
def test_a_row_without_end_is_refused(row):
    with pytest.raises(csv_text.RecordTooLong, match="line"):
        read(f"email\n{row}")


def test_many_rows_may_be_longer_together_than_one_may_be():
    rows = f"a@example.com,{'x' * 4500}\n" * 1000

    assert len(read(f"email,note\n{rows}")) == 1000


def test_a_quote_inside_a_field_is_just_a_quote():
    [row] = read('email,company\na@example.com,Joe "the plumber" Inc\n')

    assert row.company == 'Joe "the plumber" Inc'


@pytest.mark.parametrize("cell", ['"Acme"x', '"Acme "the best" Inc"', '""x', '"Acme" x', '"two\nlines"x'])
def test_text_after_a_closing_quote_spoils_its_row_only(cell):
    broken, fine = read(f'email,company\na@example.com,{cell}\nb@example.com,"B"\n')

    assert (broken.line, broken.email, broken.code) == (2, "a@example.com", "text_after_quote")
    assert (fine.line, fine.email) == (3 + cell.count("\n"), "b@example.com")


def test_an_address_with_text_after_its_quote_is_no_other_address():
    [row] = read('email,first_name\n"jim@example.com"x,Jim\n')

    assert (row.line, row.code) == (2, "text_after_quote")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_spaces_after_a_closing_quote_are_nothing(delimiter):
    [row] = read(f'email{delimiter}company\n"a@example.com" {delimiter}"Acme"  \n')

    assert (row.email, row.company) == ("a@example.com", "Acme")


def test_a_header_with_text_after_a_closing_quote_is_refused():
    with pytest.raises(csv_text.BrokenHeader, match="line 2"):
        read('\n"email"x,company\na@example.com,A\n')


@given(st.text('"ax,\t;\n\r', max_size=30), st.sampled_from(",;\t"))
def test_text_after_a_quote_is_what_the_csv_module_calls_so_when_strict(raw, delimiter):
    reader = csv.reader(lines := list(io.StringIO(raw, newline="")), delimiter=delimiter)
    next(reader, None)
    record = lines[: reader.line_num]

    try:
        list(csv.reader(record, delimiter=delimiter, strict=True))
        refused = False
    except csv.Error as error:
        refused = "expected after" in str(error)

    assert bool(csv_text._text_after_quote(delimiter).match("".join(record))) == refused


def test_a_cell_that_looks_like_a_formula_is_disarmed():
    written = "".join(csv_text.write_lines([["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1", ""]]))

    assert next(csv.reader(io.StringIO(written, newline=""))) == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "x=1", ""]
