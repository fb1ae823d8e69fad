"""The text part of a mail, made from its HTML.

Written on our own scanner because the result must be linear in any input: markdownify takes 3.7 s for 1 MB of
ordinary HTML, raises RecursionError above some 300 nested elements, and draws the layout tables of mails as tables.
"""

from collections.abc import Iterable
from html import unescape

from campaigns.html_scanning import Kind, Token, scan

_PARAGRAPHS = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "hr", "table"])
_LINES = frozenset(
    {"address", "article", "aside", "body", "caption", "center", "dd", "details", "div", "dt", "fieldset", "figcaption"}
    | {"figure", "footer", "form", "header", "legend", "li", "main", "nav", "option", "section", "summary", "tr"}
)
_CELLS = frozenset(("td", "th"))
_LISTS = frozenset(("ul", "ol"))
# Zero-width characters that mails put behind their preview line to push other text out of it.
_FILLERS = "\u00ad\u034f\u200b\u200c\u200d\u2007\u2060\ufeff"
_DEEPEST_INDENT = 5


def from_html(html: str) -> str:
    """Readable plain text: links as `text (address)`, images as their description, no markup characters added."""
    return from_tokens(html, scan(html))


def from_tokens(html: str, tokens: Iterable[Token]) -> str:
    """The same for HTML that has been scanned already."""
    writer = _Writer()
    for token in tokens:
        match token.kind:
            case Kind.TEXT:
                writer.text(unescape(html[token.begin : token.end]))
            case Kind.START if token.closed:
                writer.open(token)
            case Kind.END if token.closed:
                writer.close(token.name)
    writer.end_link()
    return "".join(writer.pieces).strip()


class _Writer:
    """Collects words; what is owed before the next one (a space, line ends) waits until there is a next one."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._space = False
        self._newlines = 0
        self._bulleted = False
        self._pre = 0
        self._lists: list[int | None] = []  # the last number given; None where there are bullets
        self._link = ""
        self._link_begin = 0

    def text(self, text: str) -> None:
        if self._pre:
            self._put(text)
            return
        words = [word for word in text.split() if word.strip(_FILLERS)]
        self._space |= text[:1].isspace()
        if words:
            self._put(" ".join(words))
        self._space |= text[-1:].isspace()

    def open(self, token: Token) -> None:
        name = token.name
        if name == "br":
            self._newlines = min(self._newlines + 1, 2)
        elif name == "img":
            self.text(f" {_value(token, 'alt')} ")
        elif name == "a":
            self._begin_link(_value(token, "href"))
        else:
            self._break(name)
            self._enter(name)

    def close(self, name: str) -> None:
        if name == "a":
            self.end_link()
        elif name == "pre":
            self._pre = max(self._pre - 1, 0)
        elif name in _LISTS and self._lists:
            self._lists.pop()
        self._break(name)

    def end_link(self) -> None:
        address, self._link = self._link, ""
        if not address:
            return
        shown = "".join(self.pieces[self._link_begin :]).strip()
        if not shown:
            self._put(address)
        elif shown != address:
            self.pieces.append(f" ({address})")

    def _begin_link(self, address: str) -> None:
        self.end_link()  # links do not nest
        address = "".join(address.split()).removeprefix("mailto:")
        self._link = "" if address.startswith(("#", "javascript:")) else address
        self._link_begin = len(self.pieces)

    def _enter(self, name: str) -> None:
        if name == "li":
            self._bullet()
        elif name in _LISTS:
            self._lists.append(0 if name == "ol" else None)
        elif name == "pre":
            self._pre += 1
        elif name == "hr":
            self._put("-" * 20)
            self._newlines = 2

    def _bullet(self) -> None:
        sign = "-"
        if self._lists and (number := self._lists[-1]) is not None:
            self._lists[-1] = number + 1
            sign = f"{number + 1}."
        self._put("  " * min(len(self._lists) - 1, _DEEPEST_INDENT) + sign)
        self._space = self._bulleted = True

    def _break(self, name: str) -> None:
        if self._bulleted:
            return  # <li><p>: the words stay beside their bullet
        if name in _CELLS:
            self._space = True
        elif name in _PARAGRAPHS:
            self._newlines = max(self._newlines, 1 if self._lists and name in _LISTS else 2)
        elif name in _LINES:
            self._newlines = max(self._newlines, 1)

    def _put(self, text: str) -> None:
        if self._newlines:
            self.pieces.append("\n" * self._newlines)
        elif self._space:
            self.pieces.append(" ")
        self._newlines, self._space, self._bulleted = 0, False, False
        self.pieces.append(text)


def _value(token: Token, name: str) -> str:
    return next((unescape(attribute.value) for attribute in token.attributes if attribute.name == name), "")
