"""A mail that SES would refuse, or that carries what nobody wrote, cannot be made."""

from dataclasses import FrozenInstanceError
from email.header import Header, decode_header, make_header
from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.messages import OutgoingMessage, UnsendableMessage, message_tags, outreach_headers, subject_octets

URL = "https://example.com/api/unsubscribe?token=0b0e"


def make(**fields):
    return OutgoingMessage(**{"to": "ann@example.com", "from_email": "us@example.com", "subject": "Hi", "text": "x"} | fields)


def from_field(header):
    """Name and address as a mail reader finds them (email.policy.default loses its way at no-break spaces)."""
    name, address = parseaddr(header)
    return str(make_header(decode_header(name))), address


def test_a_usual_outreach_mail():
    mail = make(
        html="<p>x</p>",
        from_name="Ann",
        reply_to=["a@example.com", "b@example.com"],
        headers=outreach_headers(URL),
        tags=message_tags(send_id="k-1", campaign_id=7, kind="outreach"),
        template_name="campaign-7",
        configuration_set="outreach_1",
    )

    assert mail.from_header() == "Ann <us@example.com>"


def test_a_mail_cannot_be_changed_after_it_was_checked():
    with pytest.raises(FrozenInstanceError):
        make().subject = "a\r\nBcc: x@example.com"


def test_one_click_headers_are_exactly_those_of_rfc_8058():
    assert outreach_headers(URL) == (
        ("List-Unsubscribe", f"<{URL}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mailto:x@example.com",
        "javascript:x",
        f"{URL}\r\nBcc: x",
        f"{URL}>",
        f"{URL} ",
        "https://é.example",
        f"{URL}\n",
        f"<{URL}",
    ],
)
def test_a_link_that_would_break_the_header_is_refused(url):
    with pytest.raises(UnsendableMessage):
        outreach_headers(url)


def test_tags_of_outreach_and_of_transactional_mail():
    assert message_tags(send_id="k-1", campaign_id=7, kind="outreach") == (
        ("send_id", "k-1"),
        ("campaign_id", "7"),
        ("kind", "outreach"),
    )
    assert message_tags(send_id="t-1", campaign_id=None, kind="transactional") == (("send_id", "t-1"), ("kind", "transactional"))


ADDRESSES = [
    "",
    "ann",
    "ann@",
    "@example.com",
    "a@example.com,b@example.com",
    "a@example.com;b@example.com",
    "a@example.com b@example.com",
    "Ann <a@example.com>",
    "<a@example.com>",
    "a@example.com\r\nBcc: b@example.com",
    "a@example.com\n",
    "a\0@example.com",
    "a b@example.com",
    '"a b"@example.com',
    "ä@example.com",
    "a@exämple.com",
    "a..b@example.com",
    ".a@example.com",
    "a.@example.com",
    "a@example..com",
    "a@-example.com",
    "a@b@example.com",
    "a" * 65 + "@example.com",
    "a@" + "b" * 251 + ".com",
]


@pytest.mark.parametrize("field", ["to", "from_email"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_only_one_plain_address_is_an_address(field, address):
    with pytest.raises(UnsendableMessage) as refused:
        make(**{field: address})

    assert refused.value.field == field
    assert "address" in refused.value.reason


@pytest.mark.parametrize(
    "address", ["a@example.com", "a.b+c_d'e@sub.xn--exmple-cua.com", "A" * 64 + "@x.example", "root@localhost"]
)
def test_plain_addresses_are_accepted(address):
    assert make(to=address, from_email=address, reply_to=(address,)).to == address


LONG = "x" * 996
REFUSED = [
    ("from_name", "a\r\nBcc: b@example.com"),
    ("from_name", "a\0"),
    ("from_name", "a\u2028b"),
    ("from_name", "a\x85"),
    ("from_name", "a\ud800"),
    ("from_name", "a" * 1000),
    ("from_name", "é" * 500),
    ("reply_to", ("a@example.com\nX: y",)),
    ("reply_to", ("not an address",)),
    ("reply_to", ("a@example.com",) * 60),
    ("subject", "a\nb"),
    ("subject", "a\rb"),
    ("subject", "a\0b"),
    ("subject", "a\u2029b"),
    ("subject", "a\udfff"),
    ("subject", "a" * 990),
    ("subject", "\U0001f600" * 500),
    ("text", ""),
    ("text", "a\0"),
    ("text", "a\ud800"),
    ("html", "a\0"),
    ("html", "a\udfff"),
    ("html", "é" * 14_000_001),
    ("headers", (("X-A", "b\r\nBcc: c@example.com"),)),
    ("headers", (("X-A", "b\0"),)),
    ("headers", (("X-A", "é"),)),
    ("headers", (("X-A", ""),)),
    ("headers", (("X-A", LONG),)),
    ("headers", (("X-ABCDEFG", "x" * 990),)),
    ("headers", (("", "x"),)),
    ("headers", (("X A", "x"),)),
    ("headers", (("X:A", "x"),)),
    ("headers", (("X-A\n", "x"),)),
    ("headers", (("X" * 127, "x"),)),
    ("headers", (("Subject", "x"),)),
    ("headers", (("bcc", "x"),)),
    ("headers", (("Reply-To", "x"),)),
    ("headers", (("X-A", "1"), ("x-a", "2"))),
    ("headers", tuple((f"X-{number}", "x") for number in range(16))),
    ("tags", (("a b", "x"),)),
    ("tags", (("a", "ann@example.com"),)),
    ("tags", (("a", ""),)),
    ("tags", (("", "x"),)),
    ("tags", (("a", "x\n"),)),
    ("tags", (("a", "é"),)),
    ("tags", (("a", "x" * 257),)),
    ("tags", (("a", "1"), ("a", "2"))),
    ("tags", tuple((f"t{number}", "x") for number in range(51))),
    ("configuration_set", "a b"),
    ("configuration_set", "a\n"),
    ("configuration_set", "a" * 65),
]


@pytest.mark.parametrize(("field", "value"), REFUSED, ids=[f"{field}-{number}" for number, (field, _) in enumerate(REFUSED)])
def test_what_ses_would_refuse_is_refused(field, value):
    with pytest.raises(UnsendableMessage) as refused:
        make(**{field: value})

    assert refused.value.field == field
    assert str(refused.value) == f"{field}: {refused.value.reason}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "a" * 989),
        ("subject", "é" * 250),
        ("subject", ""),
        ("from_name", "a" * 100),
        ("from_name", "漢" * 100),
        ("reply_to", ("a@example.com",) * 10),
        ("html", "a" * 2_000_000),
        ("headers", tuple((f"X-{number}", "x") for number in range(15))),
        ("headers", (("X", "x" * 995),)),
        ("tags", (("a" * 256, "b" * 256),)),
        ("configuration_set", "a" * 64),
    ],
)
def test_the_limits_themselves_are_accepted(field, value):
    assert getattr(make(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("", "us@example.com"),
        ("Ann Lee", "Ann Lee <us@example.com>"),
        ('Ann "The" Lee, Inc.', '"Ann \\"The\\" Lee, Inc." <us@example.com>'),
        ("Zoë", "=?utf-8?q?Zo=C3=AB?= <us@example.com>"),
        ("=?utf-8?q?x?=", "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <us@example.com>"),
    ],
)
def test_names_are_encoded_for_the_header(name, header):
    assert make(from_name=name).from_header() == header


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=100))
def test_any_name_comes_out_as_it_went_in(name):
    header = make(from_name=name).from_header()

    assert header.isascii()
    assert header.isprintable()
    assert all(len(word) <= 75 for word in header.split(" ") if word.startswith("=?"))
    shown, address = from_field(header)
    assert address == "us@example.com"
    assert shown.split() == name.split()


@given(st.text())
def test_no_name_ever_breaks_the_line(name):
    try:
        header = make(from_name=name).from_header()
    except UnsendableMessage:
        return

    assert header.isascii()
    assert header.isprintable()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=400))
def test_the_length_of_a_subject_is_never_underestimated(subject):
    encoded = subject if subject.isascii() else Header(subject, "utf-8").encode(linesep="")

    assert len(f"Subject: {encoded}") <= subject_octets(subject)
