"""A mail on its way out, checked before SES sees it.

boto3 passes header values with line breaks, sixteen headers and sixty recipients unchallenged; what SES refuses,
or what would smuggle a header into a mail, is refused here instead.
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr
from functools import lru_cache
from typing import Literal

# RFC 5322, 2.1.1: no line of a header is longer, not even before it is folded.
LONGEST_LINE = 998
MOST_HEADERS = 15
MOST_TAGS = 50
MOST_REPLY_TO = 10
# SES takes 40 MB after base64, which makes 4 bytes of 3.
MOST_BYTES = 28_000_000

# What ends a header line for some reader on the way, or cannot be encoded.
BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# RFC 5321 in ASCII: SES accepts no other local part and international domains as A-labels only.
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)(?=.{{3,254}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_HEADER_NAME = re.compile(r"[!-9;-@A-~]{1,126}")
_HEADER_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONFIGURATION_SET = re.compile(r"[A-Za-z0-9_-]{0,64}")
_CONTENT_TYPE = re.compile(r"(?=.{1,78}\Z)[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,76}")
_LINK = re.compile(r"https?://[!#-;=?-~]+")
# SES writes these itself. https://docs.aws.amazon.com/ses/latest/dg/header-fields.html
_RESERVED = frozenset(
    {"bcc", "cc", "content-disposition", "content-type", "date", "from", "message-id", "mime-version", "reply-to"}
    | {"return-path", "subject", "to"}
)

Pairs = tuple[tuple[str, str], ...]


class UnsendableMessage(ValueError):
    """This mail would be refused, or would carry what nobody wrote. `field` names the culprit, `reason` says why."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that travels with a mail; one with a `content_id` (without angle brackets) is shown inside the HTML."""

    name: str
    content: bytes
    content_type: str
    content_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """One mail to one person. Cannot be made of anything that SES would refuse: raises UnsendableMessage."""

    to: str
    from_email: str
    subject: str
    html: str = ""
    text: str = ""
    from_name: str = ""
    reply_to: Sequence[str] = ()
    headers: Pairs = ()
    tags: Pairs = ()
    template_name: str = ""
    configuration_set: str = ""
    attachments: Sequence[Attachment] = ()

    def __post_init__(self) -> None:
        _check_address("to", self.to)
        _check_sender(self.from_name, self.from_email, self.configuration_set)
        if self.reply_to:
            _check_reply_to(self.reply_to)
        _check_subject(self.subject)
        _check_bodies(self.html, self.text, self.attachments)
        _check_headers(self.headers)
        _check_tags(self.tags)

    def from_header(self) -> str:
        """`Name <address>` in ASCII; other names as encoded words (RFC 2047)."""
        return _from_header(self.from_name, self.from_email)


def outreach_headers(unsubscribe_url: str) -> Pairs:
    """The headers of one-click unsubscription for a URL that answers POST.

    RFC 8058 (both headers, the second exactly so), RFC 2369 (angle brackets). The URL must be printable ASCII
    without brackets or quotes; raises UnsendableMessage.
    """
    if not _LINK.fullmatch(unsubscribe_url):
        raise UnsendableMessage("unsubscribe_url", "must be an http(s) address in plain ASCII")
    return (
        ("List-Unsubscribe", f"<{unsubscribe_url}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


def message_tags(*, send_id: str, campaign_id: int | None, kind: Literal["outreach", "transactional"]) -> Pairs:
    """The tags that come back with every event and say which mail it is about. No campaign, no tag of it."""
    campaign = () if campaign_id is None else (("campaign_id", str(campaign_id)),)
    return (("send_id", send_id), *campaign, ("kind", kind))


def subject_octets(subject: str) -> int:
    """How long the line `Subject: …` gets in octets, at most, once its words are encoded (RFC 2047)."""
    octets = len("Subject: ")
    if subject.isascii():
        return octets + len(subject)
    # "=?utf-8?b?…?= " in base64 takes 75 octets and a space for 45 bytes, less what a divided character leaves empty.
    words = -(-len(subject.encode("utf-8", "replace")) // 42)
    return octets + words * 76


@lru_cache(maxsize=256)
def _from_header(name: str, address: str) -> str:
    if name.isascii() and "=?" not in name:
        return formataddr((name, address))
    # An ASCII name that looks like an encoded word is encoded too: readers would decode what was never encoded.
    return f"{Header(name, 'utf-8').encode(linesep='', maxlinelen=75)} <{address}>"


def _check_address(field: str, address: str) -> None:
    if not _ADDRESS.fullmatch(address):
        raise UnsendableMessage(field, "must be exactly one plain ASCII e-mail address")


def _check_one_line(field: str, value: str) -> None:
    if not value.isprintable() and BREAKING.search(value):
        raise UnsendableMessage(field, "holds a line break or another control character")


# The same for every mail of a campaign.
@lru_cache(maxsize=256)
def _check_sender(name: str, address: str, configuration_set: str) -> None:
    _check_address("from_email", address)
    _check_one_line("from_name", name)
    if len("From: ") + len(_from_header(name, address)) > LONGEST_LINE:
        raise UnsendableMessage("from_name", "is too long")
    if not _CONFIGURATION_SET.fullmatch(configuration_set):
        raise UnsendableMessage("configuration_set", "at most 64 letters, digits, '_' and '-'")


def _check_reply_to(addresses: Sequence[str]) -> None:
    if isinstance(addresses, str) or len(addresses) > MOST_REPLY_TO:
        raise UnsendableMessage("reply_to", f"must be a list of at most {MOST_REPLY_TO} addresses")
    for address in addresses:
        _check_address("reply_to", address)


def _check_subject(subject: str) -> None:
    _check_one_line("subject", subject)
    if subject_octets(subject) > LONGEST_LINE:
        raise UnsendableMessage("subject", f"takes more than {LONGEST_LINE} octets once encoded")


def _check_bodies(html: str, text: str, attachments: Sequence[Attachment]) -> None:
    size = _check_body("html", html) + _check_body("text", text)
    if not size:
        raise UnsendableMessage("text", "a mail needs a text or an HTML body")
    if attachments:
        size += sum(map(_check_attachment, attachments))
    if size > MOST_BYTES:
        raise UnsendableMessage("html", f"text, HTML and attachments together take {size} bytes; SES takes {MOST_BYTES}")


def _check_body(field: str, body: str) -> int:
    if "\0" in body:
        raise UnsendableMessage(field, "holds a NUL character")
    try:
        return len(body.encode())
    except UnicodeEncodeError:
        raise UnsendableMessage(field, "holds half a character (a lone surrogate)") from None


def _check_attachment(attachment: Attachment) -> int:
    """The limits of SES' Attachment. https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html"""
    if not 0 < len(attachment.name) <= 255 or BREAKING.search(attachment.name):
        raise UnsendableMessage("attachments", "each needs a name of 1 to 255 characters on one line")
    if not _CONTENT_TYPE.fullmatch(attachment.content_type):
        raise UnsendableMessage("attachments", f"{attachment.content_type[:100]!r} is not a content type")
    if attachment.content_id and not _CONTENT_ID.fullmatch(attachment.content_id):
        raise UnsendableMessage("attachments", "a content id is 1 to 76 printable ASCII characters without angle brackets")
    return len(attachment.content)


def _check_headers(headers: Pairs) -> None:
    _check_header_names(tuple(name for name, _ in headers))
    for name, value in headers:
        if not _HEADER_VALUE.fullmatch(value) or len(name) + len(value) > LONGEST_LINE - len(": "):
            raise UnsendableMessage("headers", f"the value of {name} must be one line of at most 995 printable ASCII characters")


# Every mail of a kind has the same names.
@lru_cache(maxsize=256)
def _check_header_names(names: tuple[str, ...]) -> None:
    if len(names) > MOST_HEADERS:
        raise UnsendableMessage("headers", f"SES takes at most {MOST_HEADERS}")
    for position, name in enumerate(names):
        _check_header_name(name)
        if name.lower() in (before.lower() for before in names[:position]):
            raise UnsendableMessage("headers", f"{name} is there twice")


def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise UnsendableMessage("headers", f"{name[:126]!r} is not a header name: 1 to 126 printable ASCII characters, no colon")
    if name.lower() in _RESERVED:
        raise UnsendableMessage("headers", f"{name} is written by SES itself")


def _check_tags(tags: Pairs) -> None:
    _check_tag_names(tuple(name for name, _ in tags))
    for _, value in tags:
        _check_tag_part(value)


@lru_cache(maxsize=256)
def _check_tag_names(names: tuple[str, ...]) -> None:
    if len(names) > MOST_TAGS:
        raise UnsendableMessage("tags", f"at most {MOST_TAGS}")
    if len(set(names)) < len(names):
        raise UnsendableMessage("tags", "each name at most once")
    for name in names:
        _check_tag_part(name)


def _check_tag_part(part: str) -> None:
    if not _TAG.fullmatch(part):
        raise UnsendableMessage("tags", f"{part[:256]!r} must be 1 to 256 letters, digits, '_' and '-'")
