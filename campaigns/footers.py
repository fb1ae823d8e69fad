"""The way out at the end of every mail: why it came, who sent it, and a link that stops it.

A visible link is asked for by Gmail and Yahoo, the postal address by 15 USC 7704(a)(5). Everything here works on
text whose placeholders are marked (`placeholders.Marker`), once a campaign.
"""

import re
from html import escape, unescape

from campaigns.html_scanning import Kind, Token
from campaigns.placeholders import Marker

REASON = "You receive this e-mail because your address is on our contact list."
UNSUBSCRIBE = "Unsubscribe"
# SES rewrites links to count clicks, except those with this attribute, which it removes.
# https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html
NO_TRACK = "ses:no-track"

# Colours of their own, so that the words can be read on any background (contrast 7:1).
_STYLE = "margin:24px 0 0;padding:16px;background:#ffffff;color:#595959;font:14px/1.5 sans-serif"
_LINKING = {("a", "href"), ("area", "href"), ("form", "action")}
_WORDS = re.compile(r"\W+")
_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")
_LINE_ENDS = re.compile(r"\r\n?")


def finish_text(text: str, marker: Marker, postal_address: str) -> str:
    """The text with whatever it lacks of reason, address and link."""
    address = postal_address.strip()
    if marker.unsubscribe not in text:
        lines = [REASON, address, f"{UNSUBSCRIBE}: {marker.unsubscribe}"]
    elif address and not _mentions(text, address):
        lines = [address]
    else:
        return text
    return text.rstrip() + "\n\n---\n" + "\n".join(filter(None, lines)) + "\n"


def finish_html(html: str, tokens: list[Token], marker: Marker, postal_address: str) -> str:
    """The same for HTML, before `</body>`; and the writer's own unsubscribe links are kept from click tracking."""
    links = [token for token in tokens if _shows_link(html, token, marker)] if marker.unsubscribe in html else []
    footer = _footer(html, tokens, marker, address=postal_address.strip(), has_link=bool(links))
    edits = [(_after_name(token), f" {NO_TRACK}") for token in links if _is_tracked(token)]
    if footer:
        edits.append((_bottom(html, tokens), footer))
    return _inserted(html, sorted(edits))


def html_from_text(text: str, marker: Marker) -> str:
    """A plain HTML part for a campaign that has words only: paragraphs, line ends, and the link."""
    lines = escape(_LINE_ENDS.sub("\n", text).strip())
    lines = lines.replace(marker.unsubscribe, _link(marker, marker.unsubscribe))
    body = "\n".join(f"<p>{_breaks(paragraph)}</p>" for paragraph in _PARAGRAPHS.split(lines) if paragraph)
    return f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{body}\n</body></html>\n'


def _footer(html: str, tokens: list[Token], marker: Marker, *, address: str, has_link: bool) -> str:
    shown = f"<p>{_breaks(escape(_LINE_ENDS.sub(chr(10), address)))}</p>" if address else ""
    if not has_link:
        return _framed(f"<p>{REASON}</p>{shown}<p>{_link(marker, UNSUBSCRIBE)}</p>")
    if address and not _mentions(_words_of(html, tokens), address):
        return _framed(shown)
    return ""


def _shows_link(html: str, token: Token, marker: Marker) -> bool:
    if token.kind is Kind.TEXT:
        return marker.unsubscribe in html[token.begin : token.end]
    return token.kind is Kind.START and any(
        marker.unsubscribe in attribute.value and (token.name, attribute.name) in _LINKING for attribute in token.attributes
    )


def _is_tracked(link: Token) -> bool:
    return link.name == "a" and all(attribute.name != NO_TRACK for attribute in link.attributes)


def _after_name(token: Token) -> int:
    return token.begin + len("<") + len(token.name)


def _bottom(html: str, tokens: list[Token]) -> int:
    """Where a footer goes: before the last `</body>`, or `</html>`, or at the very end."""
    for name in ("body", "html"):
        for token in reversed(tokens):
            if token.kind is Kind.END and token.name == name:
                return token.begin
    return len(html)


def _inserted(html: str, edits: list[tuple[int, str]]) -> str:
    pieces, position = [], 0
    for place, addition in edits:
        pieces += [html[position:place], addition]
        position = place
    return "".join([*pieces, html[position:]])


def _words_of(html: str, tokens: list[Token]) -> str:
    return unescape(" ".join(html[token.begin : token.end] for token in tokens if token.kind is Kind.TEXT))


def _mentions(text: str, address: str) -> bool:
    """Whether an address stands in a text, however it is set: commas, line ends and case do not matter."""
    return _plain(address) in _plain(text)


def _plain(text: str) -> str:
    return f" {_WORDS.sub(' ', text).strip().casefold()} "


def _link(marker: Marker, shown: str) -> str:
    return f'<a {NO_TRACK} href="{marker.unsubscribe}" style="color:inherit">{shown}</a>'


def _framed(inner: str) -> str:
    return f'<div lang="en" style="{_STYLE}">{inner}</div>\n'


def _breaks(lines: str) -> str:
    return lines.strip().replace("\n", "<br>\n")
