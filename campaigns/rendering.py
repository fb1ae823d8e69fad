"""A campaign's words filled in for one person.

No template engine ever sees what users wrote: placeholders are found by one pattern, once a campaign, and filled
by joining strings. A value is never read again, so that a name holding `{{ email }}` stays that name.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Any

from campaigns import footers, plain_text
from campaigns.html_scanning import scan
from campaigns.placeholders import ATTRIBUTES, UNSUBSCRIBE, Gaps, Marker, Placeholder
from campaigns.template_checking import Problem, find_problems
from notifications.messages import BREAKING, LONGEST_LINE, subject_octets

__all__ = ["CompiledTemplate", "Problem", "Rendered", "compile_template", "find_problems"]

# What no text part may hold: SES refuses NUL, UTF-8 has no lone surrogates, and the others print nothing.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n?")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words of one mail."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A campaign's words cut at their placeholders, footers included."""

    subject: Gaps
    html: Gaps
    text: Gaps
    placeholders: tuple[Placeholder, ...]

    def render(self, values: Mapping[str, Any]) -> Rendered:
        """Fill in one person: `first_name`, `last_name`, `email`, `company`, `unsubscribe_url` and the dict `attributes`.

        Whatever is missing or None becomes nothing. Values are escaped in the HTML, except the URL, which is ours.
        """
        texts = [_value(placeholder, values) for placeholder in self.placeholders]
        escaped = [
            text if placeholder == UNSUBSCRIBE else escape(text)
            for placeholder, text in zip(self.placeholders, texts, strict=True)
        ]
        return Rendered(
            subject=_one_line(self.subject.fill(texts)),
            html=self.html.fill(escaped),
            text=self.text.fill(texts),
        )


def compile_template(*, subject: str, body_html: str, body_text: str = "", postal_address: str = "") -> CompiledTemplate:
    """Prepare a campaign's words for many people; repeated calls with the same words cost nothing.

    A body that is empty is made from the other one. A body without a visible unsubscribe link gets the standard
    footer. Takes anything: what `find_problems` objects to stays in the mail as it was written.
    """
    return _compiled(subject, body_html, body_text, postal_address)


@lru_cache(maxsize=32)
def _compiled(subject: str, body_html: str, body_text: str, postal_address: str) -> CompiledTemplate:
    marker = Marker()
    html, text = marker.mark(body_html, html=True), marker.mark(body_text)
    if not html.strip():
        html = footers.html_from_text(text, marker)
    tokens = list(scan(html))
    if not text.strip():
        text = plain_text.from_tokens(html, tokens)
    return CompiledTemplate(
        subject=marker.cut(marker.mark(subject)),
        html=marker.cut(footers.finish_html(html, tokens, marker, postal_address)),
        text=marker.cut(footers.finish_text(text, marker, postal_address)),
        placeholders=marker.placeholders,
    )


def _value(placeholder: Placeholder, values: Mapping[str, Any]) -> str:
    if placeholder.name == ATTRIBUTES:
        return _text(_attribute(values.get(ATTRIBUTES) or {}, placeholder.key))
    return _text(values.get(placeholder.name))


def _attribute(attributes: Mapping[str, Any], key: str) -> Any:
    if key in attributes:
        return attributes[key]
    folded = key.casefold()
    return next((value for name, value in attributes.items() if name.casefold() == folded), None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = str(value)
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub("", _LINE_ENDS.sub("\n", text))


def _one_line(subject: str) -> str:
    if not subject.isprintable():
        subject = BREAKING.sub(" ", subject)
    subject = subject.strip()
    return subject if subject_octets(subject) <= LONGEST_LINE else _shortened(subject)


def _shortened(subject: str) -> str:
    """The longest beginning that still fits one line of a header: a long value must not cost anyone the mail."""
    room = LONGEST_LINE - len("...")
    length = bisect_right(range(1, len(subject) + 1), room, key=lambda end: subject_octets(subject[:end]))
    return subject[:length].rstrip() + "..."
