"""What is wrong with a campaign's words, said before anyone receives them."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import islice

from campaigns.html_scanning import Attribute, Kind, Token, scan
from campaigns.placeholders import ATTRIBUTES, NAMES, PATTERN, UNSUBSCRIBE, Marker, Placeholder, parse
from notifications.messages import BREAKING, LONGEST_LINE, subject_octets

# Inboxes show 40 to 80 characters; no honest subject is longer than this.
LONGEST_SUBJECT = 250
# A body of 1 MB is ten times what Gmail shows before it clips; SES itself would take 40 MB.
LONGEST_BODY = 1_000_000
_MOST_PROBLEMS = 20
_LONGEST_EXCERPT = 60
_KNOWN = ", ".join(f"{{{{ {name} }}}}" for name in (*NAMES, f"{ATTRIBUTES}.KEY"))
# Attributes that hold addresses: a name such as "javascript:…" must not become one. `content` is <meta>'s.
_ADDRESSES = frozenset(
    {"href", "src", "srcset", "action", "formaction", "background", "cite", "data", "poster", "longdesc", "usemap"}
    | {"xlink:href", "ping", "manifest", "profile", "codebase", "classid", "archive", "icon", "lowsrc", "dynsrc"}
    | {"imagesrcset", "content"}
)
_CODE = frozenset(("style", "srcdoc"))
# Their content is text to the reader, and character references work in it.
_HARMLESS_RAW = frozenset(("title", "textarea"))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend; the code is stable, the detail is for the person who mends it."""

    code: str
    detail: str


def find_problems(*, subject: str, body_html: str, body_text: str = "") -> dict[str, list[Problem]]:
    """Everything that forbids sending these words, by field; an empty dict when they are fine.

    Codes: `blank`, `too_long`, `invalid_characters`, `unknown_placeholder`, `unclosed_placeholder`,
    `unsafe_placeholder`, `unclosed_markup`.
    """
    found = {
        "subject": _in_subject(subject),
        "body_html": _unreadable(body_html) or [*_in_placeholders(body_html, html=True), *_in_markup(body_html)],
        "body_text": _unreadable(body_text) or _in_placeholders(body_text),
    }
    if not body_html.strip() and not body_text.strip():
        found["body_html"] = [Problem("blank", "The campaign needs an HTML body or a text body.")]
    return {field: problems for field, problems in found.items() if problems}


def _in_subject(subject: str) -> list[Problem]:
    if not subject.strip():
        return [Problem("blank", "The subject is empty.")]
    if len(subject) > LONGEST_SUBJECT:
        return [Problem("too_long", f"The subject has {len(subject)} characters; at most {LONGEST_SUBJECT} are allowed.")]
    if breaking := BREAKING.search(subject):
        return [Problem("invalid_characters", f"The subject holds a control character (U+{ord(breaking[0]):04X}).")]
    if (octets := subject_octets(subject)) > LONGEST_LINE:
        detail = f"The subject takes {octets} octets once encoded for e-mail; at most {LONGEST_LINE} fit (RFC 5322)."
        return [Problem("too_long", detail)]
    return _in_placeholders(subject)


def _unreadable(body: str) -> list[Problem]:
    """What makes a body unfit to be looked at any further."""
    try:
        size = len(body.encode())
    except UnicodeEncodeError as error:
        return [Problem("invalid_characters", f"Line {_line(body, error.start)} holds half a character (a lone surrogate).")]
    if size > LONGEST_BODY:
        return [Problem("too_long", f"The body takes {size} bytes; at most {LONGEST_BODY} are allowed.")]
    if (place := body.find("\0")) >= 0:
        return [Problem("invalid_characters", f"Line {_line(body, place)} holds a NUL character.")]
    return []


def _in_placeholders(text: str, *, html: bool = False) -> list[Problem]:
    problems = list(islice(_unknown(text, html=html), _MOST_PROBLEMS))
    leftover = PATTERN.sub(lambda match: " " * len(match[0]), text)
    if (place := leftover.find("{{")) >= 0:
        shown = _excerpt(text[place : place + _LONGEST_EXCERPT])
        detail = f'Line {_line(text, place)}: the "{{{{" of "{shown}" has no "}}}}", or another brace comes before it.'
        problems.append(Problem("unclosed_placeholder", detail))
    return problems


def _unknown(text: str, *, html: bool) -> Iterator[Problem]:
    seen = set()
    for match in PATTERN.finditer(text):
        if match[0] not in seen and not parse(unescape(match[1]) if html else match[1]):
            seen.add(match[0])
            detail = f'Line {_line(text, match.start())}: there is no placeholder "{_excerpt(match[0])}". Known: {_KNOWN}.'
            yield Problem("unknown_placeholder", detail)


def _in_markup(body_html: str) -> list[Problem]:
    marker = Marker()
    html = marker.mark(body_html, html=True)
    tokens = list(scan(html))
    problems = list(islice((problem for token in tokens for problem in _unsafe(html, token, marker)), _MOST_PROBLEMS))
    if tokens and not (last := tokens[-1]).closed:
        detail = f"Line {_line(html, last.begin)}: {_described(html, last)} is never closed and would hide what follows."
        problems.append(Problem("unclosed_markup", detail))
    return problems


def _unsafe(html: str, token: Token, marker: Marker) -> Iterator[Problem]:
    for placeholder, place in _unsafe_places(html, token, marker):
        detail = f'Line {_line(html, token.begin)}: "{_excerpt(str(placeholder))}" must not stand {place}.'
        yield Problem("unsafe_placeholder", detail)


def _unsafe_places(html: str, token: Token, marker: Marker) -> Iterator[tuple[Placeholder, str]]:
    """The placeholders of a token that stand where escaping a value does not make it harmless, and where that is."""
    if token.kind is Kind.TEXT or not (present := marker.found(html[token.begin : token.end])):
        return
    if token.kind is Kind.START:
        yield from ((placeholder, "in the name of a tag") for placeholder in marker.found(token.name))
        for attribute in token.attributes:
            yield from _unsafe_in_attribute(attribute, marker)
    elif token.kind is not Kind.RAW or token.name not in _HARMLESS_RAW:
        yield from ((placeholder, f"inside {_described(html, token)}") for placeholder in present)


def _unsafe_in_attribute(attribute: Attribute, marker: Marker) -> Iterator[tuple[Placeholder, str]]:
    if in_name := marker.found(attribute.name):
        yield from ((placeholder, "in the name of an attribute") for placeholder in in_name)
        return
    name = _excerpt(attribute.name)
    for placeholder in marker.found(attribute.value):
        if not attribute.quoted:
            yield placeholder, f"in {name}= without quotes around the value"
        elif attribute.name.startswith("on") or attribute.name in _CODE:
            yield placeholder, f"in the code of {name}="
        elif attribute.name in _ADDRESSES and placeholder != UNSUBSCRIBE:
            yield placeholder, f"in the address of {name}=; only {UNSUBSCRIBE} may"


def _described(html: str, token: Token) -> str:
    if token.kind is Kind.RAW:
        return f"<{token.name}>"
    if token.kind is Kind.COMMENT:
        return "a comment" if html.startswith("<!--", token.begin) else "<!…>"
    return "a closing tag" if token.kind is Kind.END else "a tag"


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _excerpt(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text[:_LONGEST_EXCERPT])
    return shown if len(text) <= _LONGEST_EXCERPT else f"{shown}…"
