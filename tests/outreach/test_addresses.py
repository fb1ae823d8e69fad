import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach import addresses


@pytest.mark.parametrize(
    ("given_", "stored"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("  ada@example.com\r\n", "ada@example.com"),
        ("ada+tag@example.com", "ada+tag@example.com"),  # another mailbox, perhaps: kept
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("ada@müller.example", "ada@xn--mller-kva.example"),
        ("ada@xn--mller-kva.example", "ada@xn--mller-kva.example"),  # the same mailbox, one spelling
        ("ada@MÜLLER.example", "ada@xn--mller-kva.example"),
        ("ada@\uff45\uff58ample.com", "ada@example.com"),  # full-width letters
        ("ada@mu\u0308ller.example", "ada@xn--mller-kva.example"),  # decomposed
        ("ada@acme.test", "ada@acme.test"),
        ("bounce+1@simulator.amazonses.com", "bounce+1@simulator.amazonses.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_one_mailbox_has_one_spelling(given_, stored):
    assert addresses.normalise(given_) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        ".ada@example.com",
        "a..da@example.com",
        "ada@-example.com",
        "ada@localhost",
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ada@example",
        "ada@example..com",
        "ada@example.com.",
        "Ada <ada@example.com>",
        "ada@example.com, bob@example.com",
        "mailto:ada@example.com",
        '"ada lovelace"@example.com',
        "ädä@example.com",  # SES takes ASCII local parts only
        "ada@exam\u200bple.com",
        "ada\u202e@example.com",
        "ada@example.com\u2028",
        "ada\u00a0@example.com",
        "ada\x00@example.com",
        "ada\n@example.com",
        "\ud800@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".com",
        "ada@" + "a." * 130 + "com",
        "x" * 100_000,
    ],
)
def test_what_ses_could_not_deliver_to_is_refused_with_a_reason(text):
    with pytest.raises(addresses.InvalidAddress, match=r"\S"):
        addresses.normalise(text)


@given(st.text(max_size=80) | st.emails())
def test_the_stored_form_is_its_own_stored_form(text):
    try:
        once = addresses.normalise(text)
    except addresses.InvalidAddress:
        return

    assert addresses.normalise(once) == once
    assert once.isascii()
    assert once == once.lower()
    assert len(once) <= 254
    assert once.count("@") == 1


@given(st.emails())
def test_case_and_surrounding_space_make_no_difference(address):
    def stored(text):
        try:
            return addresses.normalise(text)
        except addresses.InvalidAddress:
            return None

    assert stored(address) == stored(f"  {address.upper()} ")


def test_a_masked_address_tells_little():
    assert addresses.masked("ada.lovelace@example.com") == "a•••@e•••.com"
