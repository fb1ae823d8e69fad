"""What a log must not say: secrets, unsubscribe links (whoever reads one can use it) and, if so wanted, who was written to."""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "[hidden]"
# A shorter word may be an ordinary one: `outreach` as a password would hide half of every line.
_SHORTEST_SECRET = 12

# The whole query of an unsubscribe address, however it is spelled, and a token wherever it stands.
_LINK = re.compile(r"(/api/unsubscribe/?\?)[^\s\"'\\<>]+", re.IGNORECASE)
_STAFF_RESET = re.compile(r"(/admin/reset/)(?!done)[^\s\"'\\<>]+", re.IGNORECASE)
_TOKEN = re.compile(r"(token[^0-9a-z]{1,6}(?:3d|uuid\W{1,3})?)[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)
# scheme://user:password@host
_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@\"'<>]*):[^\s/@\"'<>]+@")
_BEARER = re.compile(r"\b(bearer|basic)(\s+|%20)[\w.~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")
_NAMED = re.compile(
    r"""((?:passw(?:or)?d|secret|api[_-]?key|access[_-]?key|session[_-]?token|sessionid|csrftoken|x-amz-(?:signature|security-token))
    (?:[\"'\\]*\s*[=:,]\s*[\"'\\b]*))(?!\[hidden\])[^\s\"'&,;}\\)]{3,}""",
    re.IGNORECASE | re.VERBOSE,
)
_SECRET_KEY = re.compile(r"password|passwd|secret|token$|authorization|cookie|api_?key|access_key", re.IGNORECASE)
# Django's password reset: /reset/USER/TOKEN/
_RESET = re.compile(r"(/reset/[\w=-]+/)[\w-]+")
# A cheap look that spares most lines the patterns above: each of them needs one of these words.
_SUSPICIOUS = (
    "token",
    "/reset/",
    "unsubscribe",
    "://",
    "bearer",
    "basic",
    "eyj",
    "passw",
    "secret",
    "key",
    "sessionid",
    "x-amz-",
)

_ADDRESS = re.compile(r"[^\s@<>\"'(),;:\[\]\\/?=&{}|]+(?:@|%40)(?:[\w-]+\.)+[\w-]{2,}", re.IGNORECASE)
_SEARCH = re.compile(r"([?&](?:q|email|to|search)=)[^&\s\"'<>]+", re.IGNORECASE)
_PEOPLES_KEYS = frozenset({"to", "email", "subject", "ip", "from_email", "reply_to"})
# What a terminal would obey: escape sequences, line breaks of every kind, changes of direction.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OUR_KEYS = frozenset({"level", "timestamp", "logger"})


class _Known:
    """What the settings said: the secrets of this installation, and the key of LOG_PII=hash."""

    secrets: tuple[str, ...] = ()
    people_key: bytes = b""


def know_secrets(*secrets: str, urls: Iterable[str] = ()) -> None:
    """Hide these values, and the passwords in these addresses, wherever they turn up and however they are quoted."""
    passwords = [word for url in urls if (word := _password(url))]
    spellings = [_spellings(secret) for secret in (*secrets, *passwords) if len(secret) >= _SHORTEST_SECRET]
    # The longest first: a short one may be part of it.
    _Known.secrets = tuple(sorted({word for words in spellings for word in words}, key=len, reverse=True))


def hash_people(key: bytes) -> None:
    """LOG_PII=hash: replace addresses and subjects by a keyed hash. An empty key: leave them as they are."""
    _Known.people_key = key


def hide_links(_logger: Any, _name: str, line: str) -> str:
    """A text for people without unsubscribe and password-reset links and their tokens."""
    return _TOKEN.sub(rf"\1{HIDDEN}", _STAFF_RESET.sub(rf"\1{HIDDEN}", _LINK.sub(rf"\1{HIDDEN}", line)))


def hide(text: str) -> str:
    """The text without secrets, tokens and unsubscribe links."""
    for secret in _Known.secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    if not _is_suspicious(text):
        return text
    text = hide_links(None, "", text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", text))
    return _NAMED.sub(rf"\1{HIDDEN}", _RESET.sub(rf"\1{HIDDEN}", _JWT.sub(HIDDEN, text)))


def pseudonym(text: str) -> str:
    """The same short name for the same address or subject, on every line and machine; nobody can turn it back."""
    word = unquote(text) if "%40" in text else text
    return "pii-" + hmac.new(_Known.people_key, word.strip().lower().encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]


def clean(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor, the last before the renderer: so nothing escapes, be it a message, an extra, a
    request's repr or a traceback. Leaves plain values only, which every renderer can write."""
    if not _Known.people_key and _is_harmless(event):
        return event
    people = _people(event) if _Known.people_key else {}
    return {str(key): value if key in _OUR_KEYS else _cleaned(str(key), value, people) for key, value in event.items()}


def escape_controls(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor for terminals: no value can start a line of its own, or colour or hide another."""
    return {
        key: value if key in {"exception", "stack"} and isinstance(value, str) and "\x1b" not in value else _escaped(value)
        for key, value in event.items()
    }


def _is_harmless(event: dict[str, Any]) -> bool:
    """Whether one look at the whole line finds nothing to change: so with nearly every mail."""
    texts = []
    for key, value in event.items():
        if type(value) is str:
            texts.append(value)
        elif value is not None and type(value) not in {int, bool}:
            return False
        if type(key) is not str or _names_a_secret(key):
            return False
    text = "\n".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return not _is_suspicious(text) and not any(secret in text for secret in _Known.secrets)


def _is_suspicious(text: str) -> bool:
    lowered = text.lower()
    # Not any(): a generator costs as much as the looking.
    for word in _SUSPICIOUS:  # noqa: SIM110
        if word in lowered:
            return True
    return False


@lru_cache(maxsize=1024)
def _names_a_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
    return value


def _cleaned(key: str, value: Any, people: dict[str, str]) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if _names_a_secret(key) and not isinstance(value, dict):
        return HIDDEN
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        # JSON has no words for these.
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(name): _cleaned(str(name), one, people) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned("", one, people) for one in value]
    return _cleaned_text(_text(value), people)


def _cleaned_text(text: str, people: dict[str, str]) -> str:
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if text in people:
        return people[text]
    text = hide(text)
    if not _Known.people_key:
        return text
    for word, name in people.items():
        text = text.replace(word, name)
    return _SEARCH.sub(rf"\1{HIDDEN}", _ADDRESS.sub(lambda match: pseudonym(match[0]), text))


def _people(event: dict[str, Any]) -> dict[str, str]:
    """The addresses and the subject of this line, which a free text in it may repeat; the longest first."""
    words = [str(value) for key, value in event.items() if key in _PEOPLES_KEYS and value]
    return {word: pseudonym(word) for word in sorted(words, key=len, reverse=True) if len(word) > 2}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else repr(value)
    except Exception:
        return f"<{type(value).__name__} without words>"


def _password(url: str) -> str:
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _spellings(secret: str) -> set[str]:
    """A secret as it stands in a text, a repr, a JSON document and an address."""
    return {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")}
