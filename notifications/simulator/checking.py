"""What SES refuses in a request: addresses, headers, tags, sizes. Each check raises Refusal.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
https://docs.aws.amazon.com/ses/latest/dg/quotas.html
"""

import re
from collections.abc import Sequence
from typing import Any

from notifications.simulator.refusing import Refusal, bad_request

MOST_RECIPIENTS = 50
MOST_ENTRIES = 50
MOST_HEADERS = 15
MOST_BYTES = 40_000_000  # after base64, which makes 4 bytes of 3
MOST_TEMPLATE_DATA = 262_144
LONGEST_HEADER = 996

_ATOMS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_QUOTED = r'"[ !#-\[\]-~]+"'
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"(?=[^@]{{1,64}}@)(?=.{{3,320}}\Z)(?:{_ATOMS}|{_QUOTED})@{_LABEL}(?:\.{_LABEL})*")
_NAMED = re.compile(r"[^<>\r\n\x00]*<([^<>]+)>\s*")
_HEADER_NAME = re.compile(r"[!-9;-@A-~]{1,126}")
_HEADER_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONFIGURATION_SET = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WRITTEN_BY_SES = frozenset(
    {"bcc", "cc", "content-disposition", "content-type", "date", "from", "message-id", "mime-version", "reply-to"}
    | {"return-path", "subject", "to"}
)
_ONCE = frozenset(
    {"auto-submitted", "importance", "in-reply-to", "list-archive", "list-help", "list-id", "list-owner", "list-post"}
    | {"list-subscribe", "list-unsubscribe", "list-unsubscribe-post", "precedence", "priority", "references", "sender"}
)


def address(text: Any) -> str:
    """The bare address in `ada@example.com` or `Ada <ada@example.com>`."""
    if not isinstance(text, str):
        raise bad_request("An address must be a text.")
    if _PLAIN.fullmatch(text):
        return text
    named = _NAMED.fullmatch(text)
    bare = named[1].strip() if named else text
    if named and text.isascii() and _PLAIN.fullmatch(bare):
        return bare
    raise bad_request(_what_is_wrong(bare))


def domain(bare: str) -> str:
    """The part behind the @, in lower case."""
    return bare.rpartition("@")[2].lower()


def destination(given: Any) -> tuple[list[str], list[str], list[str]]:
    """To, Cc and Bcc as bare addresses: one to fifty of them altogether."""
    if not isinstance(given, dict):
        raise bad_request("Destination is required.")
    lists = [[address(one) for one in given.get(name) or ()] for name in ("ToAddresses", "CcAddresses", "BccAddresses")]
    recipients(sum(map(len, lists)))
    return lists[0], lists[1], lists[2]


def recipients(count: int) -> None:
    """One to fifty people."""
    if not count:
        raise bad_request("At least one recipient is required.")
    if count > MOST_RECIPIENTS:
        raise bad_request(f"Recipient count exceeds {MOST_RECIPIENTS}.")


def header_list(given: Any) -> list[tuple[str, str]]:
    """Custom headers as pairs."""
    pairs = _pairs(given, "Headers")
    if len(pairs) > MOST_HEADERS:
        raise bad_request(f"The number of headers exceeds {MOST_HEADERS}.")
    seen = set()
    for name, value in pairs:
        _header(name, value)
        lower = name.lower()
        if lower in seen and lower in _ONCE:
            raise bad_request(f"Duplicate header '{name}'.")
        seen.add(lower)
    return pairs


def tags(given: Any) -> dict[str, str]:
    """Message tags by name."""
    pairs = _pairs(given, "EmailTags")
    for pair in pairs:
        for part in pair:
            if not _TAG.fullmatch(part):
                raise bad_request(f"Invalid tag {part[:256]!r}: letters, digits, '_' and '-' only, at most 256.")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise bad_request("Duplicate message tag name.")
    return found


def configuration_set(given: Any) -> str:
    """A configuration set's name; empty when there is none."""
    if given is None:
        return ""
    if not isinstance(given, str) or not _CONFIGURATION_SET.fullmatch(given):
        raise bad_request("Configuration set name is invalid.")
    return given


def size(*texts: str) -> None:
    """A whole mail's size on the wire, about."""
    octets = sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)
    if octets * 4 // 3 > MOST_BYTES:
        raise Refusal("MessageRejected", f"Message length is more than {MOST_BYTES} bytes long.", entry_status="MESSAGE_REJECTED")


def subject(text: Any) -> str:
    """One line."""
    if not isinstance(text, str):
        raise bad_request("Subject is required.")
    if "\n" in text or "\r" in text:
        raise bad_request("Subject contains a line break.")
    return text


def _header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise bad_request(f"Invalid header name {name[:126]!r}.")
    if name.lower() in _WRITTEN_BY_SES:
        raise bad_request(f"Header '{name}' is not allowed: Amazon SES writes it.")
    if not _HEADER_VALUE.fullmatch(value) or len(name) + len(value) > LONGEST_HEADER:
        raise bad_request(f"Invalid value of header '{name}': printable ASCII, at most 995 characters.")


def _pairs(given: Any, what: str) -> list[tuple[str, str]]:
    found: list[Any] = [(one.get("Name"), one.get("Value")) for one in _objects(given or [], what)]
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in found):
        raise bad_request(f"{what}: every item needs Name and Value.")
    return found


def _objects(given: Any, what: str) -> Sequence[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise bad_request(f"{what} must be a list of objects.")
    return given


def _what_is_wrong(bare: str) -> str:
    """In the words of SES."""
    local, at, host = bare.rpartition("@")
    if not at or not host:
        return "Missing final '@domain'"
    if not local.isascii() or re.search(r"[\s\x00-\x1f\x7f]", local):
        what = "control or whitespace" if local.isascii() else "non-ASCII characters"
        return f"Local address contains {what}"
    if not host.isascii() or re.search(r"[\s\x00-\x1f\x7f]", host):
        return "Domain contains control or whitespace" if host.isascii() else "Domain contains illegal character"
    if host.startswith("."):
        return "Domain starts with dot"
    return "Domain contains dot-dot" if ".." in host else "Illegal address"
