"""The placeholders that a campaign's words may hold: `{{ first_name }}`, `{{ attributes.KEY }}` and so on.

White space inside the braces and the case of a name do not matter; KEY is anything without braces, trimmed.
Everything else, `{% … %}` and filters included, is not a placeholder and means nothing to us.
"""

import re
import secrets
from collections.abc import Sequence
from html import unescape
from typing import NamedTuple

PATTERN = re.compile(r"\{\{([^{}]*+)\}\}")
NAMES = ("first_name", "last_name", "email", "company", "unsubscribe_url")
ATTRIBUTES = "attributes"


class Placeholder(NamedTuple):
    """One thing to fill in; `key` is set for attributes only."""

    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"{{{{ {self.name}.{self.key} }}}}" if self.key else f"{{{{ {self.name} }}}}"


UNSUBSCRIBE = Placeholder("unsubscribe_url")


def parse(inside: str) -> Placeholder | None:
    """The placeholder that stands between two pairs of braces, or None when we know none of that name."""
    name, dot, key = (part.strip() for part in inside.partition("."))
    name = name.lower()
    if dot:
        return Placeholder(ATTRIBUTES, key) if name == ATTRIBUTES and key else None
    return Placeholder(name) if name in NAMES else None


class Gaps(NamedTuple):
    """Text cut at its placeholders: `pieces` alternates words and holes, `holes` says which value goes where."""

    pieces: tuple[str, ...]
    holes: tuple[tuple[int, int], ...]

    def fill(self, values: Sequence[str]) -> str:
        """The text with its holes filled, in one pass: braces inside a value stay as they are."""
        pieces = list(self.pieces)
        for position, number in self.holes:
            pieces[position] = values[number]
        return "".join(pieces)


class Marker:
    """Swaps placeholders for plain words that occur nowhere else, so that HTML can be read and changed around them."""

    def __init__(self) -> None:
        # Nobody can guess the word, so no text can hold it; letters and digits pass through any conversion.
        self._stem = f"zq{secrets.token_hex(12)}q"
        self._words = re.compile(f"{self._stem}([0-9]+)z")
        self._numbers: dict[Placeholder, int] = {}
        self._placeholders: list[Placeholder] = []
        self.unsubscribe = self.word(UNSUBSCRIBE)

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """What the words stand for, in the order of the values that `Gaps.fill` expects."""
        return tuple(self._placeholders)

    def word(self, placeholder: Placeholder) -> str:
        """The word that stands for a placeholder."""
        if placeholder not in self._numbers:
            self._numbers[placeholder] = len(self._placeholders)
            self._placeholders.append(placeholder)
        return f"{self._stem}{self._numbers[placeholder]}z"

    def mark(self, text: str, *, html: bool = False) -> str:
        """The text with words for placeholders; unknown ones stay. In HTML, editors write `&nbsp;` for spaces."""

        def swap(match: re.Match[str]) -> str:
            placeholder = parse(unescape(match[1]) if html else match[1])
            return self.word(placeholder) if placeholder else match[0]

        return PATTERN.sub(swap, text)

    def found(self, text: str) -> list[Placeholder]:
        """The placeholders whose words the text holds."""
        if self._stem not in text:
            return []
        return [self._placeholders[int(number)] for number in dict.fromkeys(self._words.findall(text))]

    def cut(self, text: str) -> Gaps:
        """Marked text, ready to be filled."""
        pieces = self._words.split(text)
        holes = tuple((position, int(pieces[position])) for position in range(1, len(pieces), 2))
        return Gaps(tuple(pieces), holes)
