"""A mail that was accepted, as the ledger keeps it."""

import html
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from notifications.simulator import templates
from notifications.simulator.templates import Template

_LINK = re.compile(r"""<a\s[^>]*?href=["'](https?://[^"'>]+)""", re.IGNORECASE)


@dataclass(slots=True)
class Mail:
    """What was accepted, and when (seconds since the epoch). Bodies are rendered when somebody looks."""

    message_id: str
    operation: str
    at: float
    sender: str
    to: list[str]
    subject: str
    tags: dict[str, str]
    headers: list[tuple[str, str]]
    configuration_set: str = ""
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    reply_to: list[str] = field(default_factory=list)
    failure: str = ""
    template: Template | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    html: str = ""

    @property
    def recipients(self) -> list[str]:
        """Everybody it goes to."""
        return [*self.to, *self.cc, *self.bcc] if self.cc or self.bcc else self.to

    def forget_bodies(self) -> None:
        """Keep memory small: who looks at a mail looks soon."""
        self.template, self.data, self.text, self.html = None, {}, "", ""

    def first_link(self) -> str:
        """Where a reader would click: not on the way out."""
        links = (html.unescape(link) for link in _LINK.findall(self.whole()["html"]))
        return next((link for link in links if "unsubscribe" not in link), "")

    def summary(self) -> dict[str, Any]:
        """One line of the ledger."""
        return {
            "message_id": self.message_id,
            "at": self.at,
            "operation": self.operation,
            "from": self.sender,
            "to": self.to,
            "cc": self.cc,
            "bcc": self.bcc,
            "reply_to": self.reply_to,
            "subject": self.subject,
            "tags": self.tags,
            "headers": [{"name": name, "value": value} for name, value in self.headers],
            "configuration_set": self.configuration_set,
            "rendering_failure": self.failure,
        }

    def whole(self) -> dict[str, Any]:
        """With the bodies, while they are kept."""
        text, html = self.text, self.html
        if self.template:
            text, html = (templates.render(pieces, self.data) for pieces in (self.template.text, self.template.html))
        return self.summary() | {"text": text, "html": html}


def new_message_id() -> str:
    """In the form of SES: its first part tells region and time of sending."""
    bits = f"{random.getrandbits(128):032x}"
    return f"0100{int(time.time() * 1000):012x}-{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}-000000"
