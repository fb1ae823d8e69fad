import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach.errors import DomainError
from prospects import csv_rows
from prospects.csv_rows import Person, Rejected
from tests.prospects.files import read


def test_columns_may_stand_in_any_order_and_case():
    assert read("Company, LAST_NAME ,eMail\nAcme,Ada,a@example.com\n") == [
        Person(2, "a@example.com", [], {}, last_name="Ada", company="Acme")
    ]


@pytest.mark.parametrize("header", ["Email", "E-Mail", "e_mail", "Email Address", "E-Mail-Adresse", '"email"', "\ufeffemail"])
def test_obvious_spellings_of_email_are_understood(header):
    [row] = read(f"{header}\na@example.com\n")

    assert row.email == "a@example.com"


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("First Name", "first_name"),
        ("firstname", "first_name"),
        ("Vorname", "first_name"),
        ("last name", "last_name"),
        ("Surname", "last_name"),
        ("Company Name", "company"),
        ("organisation", "company"),
        ("Source", "source"),
    ],
)
def test_obvious_spellings_of_other_fields_are_understood(header, field):
    [row] = read(f"email,{header}\na@example.com,Ada\n")

    assert getattr(row, field) == "Ada"


def test_a_second_spelling_is_an_attribute_beside_the_fields_own_name():
    [row] = read("email,Email Address,company,Organisation\na@example.com,x,Acme,Acme Group\n")

    assert (row.email, row.company) == ("a@example.com", "Acme")
    assert row.attributes == {"Email Address": "x", "Organisation": "Acme Group"}


def test_a_missing_email_column_is_refused_naming_the_columns_found():
    with pytest.raises(csv_rows.NoEmailColumn, match=r'"name", "phone"'):
        read("name,phone\nAda,1\n")


@pytest.mark.parametrize("header", ["email,Email", "email,city,City", "email,first_name,First Name", "email,x,x"])
def test_two_columns_of_one_name_are_refused(header):
    with pytest.raises(csv_rows.DuplicateColumn):
        read(f"{header}\na@example.com,b,c\n")


def test_columns_without_a_name_are_no_attributes():
    [row] = read(",email,,city,\n0,a@example.com,x,Rome,y\n")

    assert row.attributes == {"city": "Rome"}


@pytest.mark.parametrize("header", ["{{ x }}", "a}b", "k" * 101])
def test_a_column_that_no_placeholder_could_name_is_refused(header):
    with pytest.raises(csv_rows.BadColumn):
        read(f"email,{header}\na@example.com,1\n")


def test_more_columns_than_a_person_may_have_attributes_are_refused():
    with pytest.raises(csv_rows.BadColumn, match="51 columns"):
        read("email," + ",".join(f"c{n}" for n in range(51)) + "\n")


@pytest.mark.parametrize("header", ["status", "Unsubscribe Token", "unsubscribed_at", "bounced_at", "complained_at"])
def test_consent_is_never_read_from_a_file(header):
    [row] = read(f"email,{header}\na@example.com,active\n")

    assert row == Person(2, "a@example.com", [], {})


@pytest.mark.parametrize(("cell", "status"), [("Unsubscribed", "unsubscribed"), (" bogus ", "bogus"), ("ACTIVE", ""), (" ", "")])
def test_a_row_says_its_status_when_that_is_more_than_active(cell, status):
    [row] = read(f"email,Status\na@example.com,{cell}\n")

    assert (row.status, row.attributes) == (status, {})


def test_missing_cells_at_the_end_are_empty():
    assert read("email,first_name,city\na@example.com\n") == [Person(2, "a@example.com", [], {})]


def test_a_row_without_an_address_is_an_error_and_the_others_count():
    rows = read("first_name,email\nAda\nBob,b@example.com\n")

    assert rows[0] == Rejected(2, "", "invalid_email", "Not an e-mail address: empty.")
    assert rows[1].email == "b@example.com"


def test_cells_beyond_the_header_are_an_error_unless_blank():
    long, blank = read("email\na@example.com,x\nb@example.com, ,\n")

    assert (long.line, long.email, long.code) == (2, "a@example.com", "row_too_long")
    assert blank == Person(3, "b@example.com", [], {})


@pytest.mark.parametrize("address", ["user@@example.com", "Name <u@x.co>", "u@x.co v@x.co", "u@exa\u200bmple.com", "=1+1"])
def test_a_bad_address_is_an_error_that_shows_it(address):
    [row] = read(f"email\n{address}\n")

    assert row.code == "invalid_email"
    assert row.email == address.replace("\u200b", "")


def test_addresses_come_out_in_their_normal_form():
    [row] = read("email\n  Ada@BÜCHER.example \n")

    assert row.email == "ada@xn--bcher-kva.example"


def test_tags_are_split_trimmed_and_without_doubles():
    [row] = read('email,tags\na@example.com,"vip; berlin |vip,,2026"\n')

    assert row.tags == ["vip", "berlin", "2026"]


def test_blank_attributes_say_nothing():
    [row] = read("email,City,Job Title\na@example.com, ,CTO\n")

    assert row.attributes == {"Job Title": "CTO"}


def test_nothing_that_could_end_a_header_line_survives():
    [row] = read('email,first_name,city\na@example.com,"Ada\r\nBcc: x@example.com","a\u2028b\x1b[0m\u202e"\n')

    assert row.first_name == "Ada Bcc: x@example.com"
    assert row.attributes == {"city": "a b[0m"}


def test_joiners_inside_names_are_letters():
    [row] = read("email,first_name\na@example.com,क्\u200dष\n")

    assert row.first_name == "क्\u200dष"


@pytest.mark.parametrize(
    ("column", "length"), [("first_name", 151), ("last_name", 151), ("company", 201), ("source", 201), ("note", 5001)]
)
def test_a_text_that_is_too_long_is_a_row_error(column, length):
    long, fine = read(f"email,{column}\na@example.com,{'x' * length}\nb@example.com,{'x' * (length - 1)}\n")

    assert (long.code, long.email) == ("field_too_long", "a@example.com")
    assert column in long.detail
    assert isinstance(fine, Person)


def test_a_tag_that_is_too_long_is_a_row_error():
    [row] = read(f"email,tags\na@example.com,{'t' * 101}\n")

    assert row.code == "invalid_field"


def test_a_header_alone_has_no_rows():
    assert read("email\n") == []


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"email,a\n{text}".encode()))
def test_any_bytes_are_rows_or_a_clear_error(content):
    with suppress(DomainError):
        assert all(isinstance(row, Person | Rejected) for row in read(content))


_words = st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters="\x7f\xa0\xad"), max_size=20).filter(
    lambda text: text.isprintable()
)


@given(
    st.lists(st.tuples(_words, _words), max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_any_program_writes_is_what_we_read(table, delimiter, encoding, newline):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=newline)
    writer.writerow(["first_name", "email", "city"])
    writer.writerows([name, f"p{n}@example.com", city] for n, (name, city) in enumerate(table))

    rows = read(buffer.getvalue().encode(encoding))

    found = [(row.line, row.first_name, row.attributes.get("city", "")) for row in rows]
    assert found == [(n, name.strip(), city.strip()) for n, (name, city) in enumerate(table, start=2)]
