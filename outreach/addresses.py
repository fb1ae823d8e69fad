"""The one form of an e-mail address in which everything is stored, compared and suppressed.

One mailbox must not have two spellings here, or a person who said no under one of them would hear
from us under the other. Tags (`+x`) and dots stay: they may name different mailboxes (RFC 5321, 2.3.11).
"""

import re
import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_LENGTH = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LOCAL_MAX = 64  # RFC 5321, 4.5.3.1.1

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@((?:{_LABEL}\.)+[a-z]{{2,63}})")
# Controls, format characters (zero-width, bidi), surrogates, line and paragraph separators, odd spaces.
_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}


class InvalidAddress(ValueError):
    """Not an e-mail address that SES could deliver to; the message says why."""


def normalise(address: str) -> str:
    """The stored form: trimmed, NFC, lower case, IDNA A-label domain, at most 254 characters.

    Refuses display names, several addresses, address literals, dot-less domains, quoted and
    non-ASCII local parts (SES takes none of them) and invisible characters. Raises InvalidAddress.
    """
    text = address.strip(" \t\r\n")
    if len(text) > 2 * MAX_LENGTH:
        raise InvalidAddress(f"longer than {MAX_LENGTH} characters")
    lowered = text.lower()
    if (plain := _PLAIN.fullmatch(lowered)) and len(lowered) <= MAX_LENGTH and len(plain[1]) <= _LOCAL_MAX:
        return lowered
    return _normalise_unusual(text)


def normalise_pattern(text: str) -> str:
    """The stored form of an address, or of `@domain`, which stands for every address there. Raises InvalidAddress."""
    return normalise(f"any{text}").removeprefix("any") if text.startswith("@") else normalise(text)


def is_address(text: str) -> bool:
    """Whether this is one address that could be normalised."""
    try:
        normalise(text)
    except InvalidAddress:
        return False
    return True


def domain_of(address: str) -> str:
    """The domain of a normalised address."""
    return address.rpartition("@")[2]


def masked(address: str) -> str:
    """The address with most of it hidden, for pages that anyone with the link can open: `a•••@e•••.com`."""
    local, _, domain = address.rpartition("@")
    if not local:  # all that is left of somebody who was erased
        return "•••"
    name, _, suffix = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••.{suffix}"


def _normalise_unusual(text: str) -> str:
    """The library's word on whatever is not plain ASCII, or its reason for refusing it."""
    if not text:
        raise InvalidAddress("empty")
    if any(character in text for character in ",;<>"):
        raise InvalidAddress("write one address alone, without a name")
    for character in text:
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
            raise InvalidAddress(f"contains the character U+{ord(character):04X}")
    try:
        parsed = validate_email(
            unicodedata.normalize("NFC", text),
            check_deliverability=False,
            allow_smtputf8=False,
            strict=True,  # 64 characters before the @
            # Reserved domains (.test, .example) are what rehearsals are made of; dots are checked below.
            globally_deliverable=False,
        )
    except EmailNotValidError as error:
        raise InvalidAddress(str(error).rstrip(".")) from error
    normal = f"{parsed.local_part.lower()}@{parsed.ascii_domain.lower()}"
    if not re.fullmatch(r".+\.[^.]*[a-z][^.]*", parsed.ascii_domain.lower()):
        raise InvalidAddress("the domain has no dot or no top-level name")
    if len(normal) > MAX_LENGTH:
        raise InvalidAddress(f"longer than {MAX_LENGTH} characters")
    return normal
