"""What a person's fields may hold, whichever way they come in: the API, a file, the admin.

Names travel in mail headers and rendered bodies, so nothing invisible that could end a line or
turn the text around survives here.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

MOST_TAGS = 100
LONGEST_TAG = 100
MOST_ATTRIBUTES = 50
LONGEST_KEY = 100
LONGEST_VALUE = 5_000
_LARGEST_NUMBER = 2**63

# Zero-width joiners stay: names in Persian or Hindi are misspelt without them.
_JOINERS = {"\u200c", "\u200d"}
_INVISIBLE = {"Cc", "Cf", "Cs", "Cn"}
_BETWEEN_TAGS = re.compile(r"[;|,]")

Scalar = str | int | float | bool | None


class InvalidField(ValueError):
    """A value that a person's field cannot hold; the message says why."""


def text(value: str) -> str:
    """One line, trimmed, NFC, without control, bidirectional or unassigned characters."""
    if value.isascii() and value.isprintable():
        return value.strip()
    if not value.isprintable():
        spaced = " ".join(value.split())
        value = "".join(c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _INVISIBLE)
    return unicodedata.normalize("NFC", value).strip()


def tags(values: Iterable[str]) -> list[str]:
    """Cleaned tags without blanks and doubles, in the order given. Raises InvalidField."""
    cleaned = list(dict.fromkeys(tag for value in values if (tag := text(value))))
    if len(cleaned) > MOST_TAGS:
        raise InvalidField(f"more than {MOST_TAGS} tags")
    if too_long := next((tag for tag in cleaned if len(tag) > LONGEST_TAG), None):
        raise InvalidField(f"the tag {too_long[:20]}… is longer than {LONGEST_TAG} characters")
    return cleaned


def split_tags(cell: str) -> list[str]:
    """The tags of a cell such as `vip; berlin | 2026`. Raises InvalidField."""
    return tags(_BETWEEN_TAGS.split(cell)) if cell else []


def attributes(values: Mapping[Any, Any]) -> dict[str, Scalar]:
    """Custom fields: clean keys, one plain value each. Raises InvalidField."""
    if len(values) > MOST_ATTRIBUTES:
        raise InvalidField(f"more than {MOST_ATTRIBUTES} attributes")
    cleaned = {attribute_key(key): attribute_value(key, value) for key, value in values.items()}
    if len(cleaned) < len(values):
        raise InvalidField("two keys differ only in white space or invisible characters")
    return cleaned


def attribute_key(key: Any) -> str:
    """The key as a placeholder can name it: `{{ attributes.KEY }}`. Raises InvalidField."""
    cleaned = text(str(key))
    if not cleaned:
        raise InvalidField("a key is blank")
    if len(cleaned) > LONGEST_KEY:
        raise InvalidField(f"the key {cleaned[:20]}… is longer than {LONGEST_KEY} characters")
    if "{" in cleaned or "}" in cleaned:
        raise InvalidField(f"the key {cleaned} holds a brace, which no placeholder could name")
    return cleaned


def attribute_value(key: Any, value: Any) -> Scalar:
    """A cleaned text, a finite number, true, false or null. Raises InvalidField."""
    if isinstance(value, str):
        cleaned = text(value)
        if len(cleaned) > LONGEST_VALUE:
            raise InvalidField(f"the value of {str(key)[:LONGEST_KEY]} is longer than {LONGEST_VALUE} characters")
        return cleaned
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not abs(value) < _LARGEST_NUMBER:  # so that NaN is refused, too
            raise InvalidField(f"the number of {str(key)[:LONGEST_KEY]} is too large")
        return value
    raise InvalidField(f"the value of {str(key)[:LONGEST_KEY]} must be a text, a number, true, false or null")
