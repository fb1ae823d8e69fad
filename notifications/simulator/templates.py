"""Inline templates: `{{ name }}` and nothing else, as SES does for TemplateContent.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_EmailTemplateContent.html
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from notifications.simulator.checking import MOST_TEMPLATE_DATA
from notifications.simulator.refusing import bad_request

_MARK = re.compile(r"\{\{\{?\s*([^{}]*?)\s*\}\}\}?")
_NAME = re.compile(r"[\w.-]+")


class Template:
    """Three texts with placeholders, cut into pieces once."""

    __slots__ = ("html", "names", "subject", "text")

    def __init__(self, subject: str, text: str, html: str) -> None:
        self.subject, self.text, self.html = _pieces(subject), _pieces(text), _pieces(html)
        # Every second piece is a name.
        self.names = frozenset(name for pieces in (self.subject, self.text, self.html) for name in pieces[1::2])

    def missing(self, data: Mapping[str, str]) -> str:
        """A name that the data lack; empty when there is none."""
        return "" if self.names <= data.keys() else min(self.names - data.keys())


def render(pieces: list[str], data: Mapping[str, str]) -> str:
    """The text; values are not escaped, as SES does not either."""
    if len(pieces) == 1:
        return pieces[0]
    done = pieces.copy()
    done[1::2] = [data.get(name, "") for name in pieces[1::2]]
    return "".join(done)


@lru_cache(maxsize=64)
def compiled(subject: str, text: str, html: str) -> Template:
    """The template of three texts; refuses conditionals and partials."""
    return Template(subject, text, html)


def read_data(text: Any) -> dict[str, str]:
    """TemplateData: a JSON object in a text; nested values are reached by `a.b`."""
    if text in (None, "", "{}"):
        return {}
    if not isinstance(text, str) or len(text) > MOST_TEMPLATE_DATA:
        raise bad_request(f"TemplateData must be a JSON text of at most {MOST_TEMPLATE_DATA} characters.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request("TemplateData is not valid JSON.") from None
    if not isinstance(data, dict):
        raise bad_request("TemplateData must be a JSON object.")
    return data if all(type(value) is str for value in data.values()) else dict(_flat(data))


def _flat(data: dict[str, Any], prefix: str = "") -> Any:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pieces(text: str) -> list[str]:
    pieces = _MARK.split(text)
    if wrong := next((name for name in pieces[1::2] if not _NAME.fullmatch(name)), None):
        raise bad_request(f"Template content may only hold variables, not {{{{{wrong[:100]}}}}}.")
    return pieces
