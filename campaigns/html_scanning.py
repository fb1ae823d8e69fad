"""Where text, tags, attributes and comments begin and end in HTML, as a browser sees it.

The tokenizer of https://html.spec.whatwg.org/multipage/parsing.html#tokenization, reduced to what the words
of a mail need. It is ours because `html.parser` is quadratic on unclosed markup (Python 3.11.7 needs minutes
for 100 kB of "<a "): here whatever is not closed reaches to the end, so every character is read once or twice.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

_SPACE = r"[\t\n\f\r ]"
# Any other "<" is text.
_MARKUP = re.compile(r"<(?:[a-zA-Z!?]|/(?=.))", re.DOTALL)
_NAME = re.compile(r"</?+([a-zA-Z][^\t\n\f\r />]*+)")
_GAP = re.compile(r"[\t\n\f\r /]*+")
_ATTRIBUTE = re.compile(
    rf"""(=?[^\t\n\f\r />=]*+)(?:{_SPACE}*+={_SPACE}*+(?:(["'])|([^\t\n\f\r >]*+)))?""",
)
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)", re.DOTALL)
# Their content is not markup: it ends at their own closing tag and nowhere else.
_RAW_ENDS = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
}


class Kind(Enum):
    """What a stretch of HTML is."""

    TEXT = "text"
    RAW = "raw"  # the content of <script>, <style>, <title> …; `name` says of which
    COMMENT = "comment"  # also <!DOCTYPE …>, <![if …]> and <?…>
    START = "start"
    END = "end"


class Attribute(NamedTuple):
    """One attribute as written, character references and all; the name in lower case."""

    name: str
    value: str
    quoted: bool


class Token(NamedTuple):
    """One stretch, `html[begin:end]`; `closed` is False when the HTML ends before it does."""

    kind: Kind
    begin: int
    end: int
    name: str = ""
    attributes: tuple[Attribute, ...] = ()
    closed: bool = True


def scan(html: str) -> Iterator[Token]:
    """Cut HTML into tokens that follow each other without gaps. Takes time linear in the length; never raises."""
    position = 0
    while found := _MARKUP.search(html, position):
        if found.start() > position:
            yield Token(Kind.TEXT, position, found.start())
        token = _markup(html, found.start())
        yield token
        if token.kind is Kind.START and token.closed and token.name in _RAW_ENDS:
            token = _raw(html, token)
            yield token
        position = token.end
    if position < len(html):
        yield Token(Kind.TEXT, position, len(html))


def _markup(html: str, begin: int) -> Token:
    if named := _NAME.match(html, begin):
        return _tag(html, named)
    if html.startswith("<!--", begin):
        return _comment(html, begin)
    end = html.find(">", begin)
    return Token(Kind.COMMENT, begin, end + 1 if end >= 0 else len(html), closed=end >= 0)


def _comment(html: str, begin: int) -> Token:
    found = _COMMENT.match(html, begin)
    return Token(Kind.COMMENT, begin, found.end() if found else len(html), closed=found is not None)


def _tag(html: str, named: re.Match[str]) -> Token:
    begin = named.start()
    kind = Kind.END if html[begin + 1] == "/" else Kind.START
    attributes, end = _attributes(html, named.end())
    return Token(kind, begin, end or len(html), named[1].lower(), attributes, closed=end > 0)


def _attributes(html: str, position: int) -> tuple[tuple[Attribute, ...], int]:
    """The attributes and where the tag ends; 0 when it never does."""
    found: list[Attribute] = []
    while (position := _past(_GAP, html, position)) < len(html):
        if html[position] == ">":
            return tuple(found), position + 1
        attribute, position = _attribute(html, position)
        found.append(attribute)
    return tuple(found), 0


def _attribute(html: str, position: int) -> tuple[Attribute, int]:
    match = _ATTRIBUTE.match(html, position)
    assert match  # noqa: S101 (the pattern matches anything)
    name, quote, bare = match.groups()
    if not quote:
        return Attribute(name.lower(), bare or "", quoted=bare is None), match.end()
    end = html.find(quote, match.end())
    end = end if end >= 0 else len(html)
    return Attribute(name.lower(), html[match.end() : end], quoted=True), end + 1


def _raw(html: str, opening: Token) -> Token:
    found = _RAW_ENDS[opening.name].search(html, opening.end)
    return Token(Kind.RAW, opening.end, found.start() if found else len(html), opening.name, closed=found is not None)


def _past(pattern: re.Pattern[str], html: str, position: int) -> int:
    match = pattern.match(html, position)
    return match.end() if match else position
