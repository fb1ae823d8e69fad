"""SendEmail and SendBulkEmail: a request becomes accepted mails, or a refusal.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html
"""

import base64
import binascii
import email
import email.policy
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from notifications.simulator import checking, refusing, templates
from notifications.simulator.account import SIMULATOR_DOMAIN
from notifications.simulator.mails import Mail, new_message_id
from notifications.simulator.refusing import bad_request
from notifications.simulator.templates import Template

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Rules:
    """What this account has verified and made; empty means that everything is there."""

    identities: Collection[str] = ()
    configuration_sets: Collection[str] = ()
    sandbox: bool = False
    region: str = "us-east-1"

    def check_sender(self, bare: str) -> None:
        """Raises Refusal for a sender that is neither verified nor at a verified domain."""
        if self.identities and not self._verified(bare):
            raise refusing.unverified([bare], self.region)

    def check_recipients(self, recipients: list[str]) -> None:
        """In the sandbox only one's own addresses and the mailbox simulator get mail."""
        if self.sandbox:
            others = [one for one in recipients if checking.domain(one) != SIMULATOR_DOMAIN and not self._verified(one)]
            if others:
                raise refusing.unverified(others, self.region)

    def check_configuration_set(self, name: str) -> None:
        """Raises Refusal for one that does not exist."""
        if name and self.configuration_sets and name not in self.configuration_sets:
            raise refusing.unknown_configuration_set(name)

    def _verified(self, bare: str) -> bool:
        return bare.lower() in self.identities or checking.domain(bare) in self.identities


@dataclass(frozen=True)
class _Shared:
    """What all mails of one request have in common."""

    operation: str
    sender: str
    reply_to: list[str]
    configuration_set: str


def read_mail(body: Any, rules: Rules) -> Mail:
    """The mail that a SendEmail request asks for. Raises Refusal."""
    body, content = _object(body, "The request"), _object(_object(body, "The request").get("Content"), "Content")
    kinds = [name for name in ("Simple", "Raw", "Template") if content.get(name) is not None]
    if len(kinds) != 1:
        raise bad_request("Content needs exactly one of Simple, Raw and Template.")
    if kinds == ["Raw"]:
        return _raw(body, _object(content["Raw"], "Raw"), rules)
    shared = _shared("SendEmail", body, rules)
    to, cc, bcc = checking.destination(body.get("Destination"))
    rules.check_recipients([*to, *cc, *bcc])
    mail = _blank(shared, to, cc, bcc, checking.tags(body.get("EmailTags")))
    (_simple if kinds == ["Simple"] else _templated)(mail, _object(content[kinds[0]], kinds[0]))
    return mail


def read_bulk(body: Any, rules: Rules) -> list[Callable[[], Mail]]:
    """One function for each entry of a SendBulkEmail request: it makes the entry's mail or raises Refusal.

    Raises Refusal for what is wrong with the whole request.
    """
    body = _object(body, "The request")
    shared = _shared("SendBulkEmail", body, rules)
    entries = body.get("BulkEmailEntries")
    if not isinstance(entries, list) or not 1 <= len(entries) <= checking.MOST_ENTRIES:
        raise bad_request(f"BulkEmailEntries must hold 1 to {checking.MOST_ENTRIES} entries.")
    default = _object(_object(body.get("DefaultContent"), "DefaultContent").get("Template"), "Template")
    template, data = _template(default), templates.read_data(default.get("TemplateData"))
    headers, tags = checking.header_list(default.get("Headers")), checking.tags(body.get("DefaultEmailTags"))

    def make(entry: Any) -> Mail:
        entry = _object(entry, "Entry")
        to, cc, bcc = checking.destination(entry.get("Destination"))
        rules.check_recipients([*to, *cc, *bcc])
        mail = _blank(shared, to, cc, bcc, {**tags, **checking.tags(entry.get("ReplacementTags"))})
        mail.headers = _replaced(headers, checking.header_list(entry.get("ReplacementHeaders")))
        _fill(mail, template, {**data, **_replacement(entry)})
        return mail

    return [partial(make, entry) for entry in entries]


def _shared(operation: str, body: dict[str, Any], rules: Rules) -> _Shared:
    sender = body.get("FromEmailAddress")
    rules.check_sender(checking.address(sender))
    configuration_set = checking.configuration_set(body.get("ConfigurationSetName"))
    rules.check_configuration_set(configuration_set)
    reply_to = [checking.address(one) for one in body.get("ReplyToAddresses") or ()]
    return _Shared(operation, str(sender), reply_to, configuration_set)


def _blank(shared: _Shared, to: list[str], cc: list[str], bcc: list[str], tags: dict[str, str]) -> Mail:
    return Mail(
        message_id=new_message_id(),
        operation=shared.operation,
        at=time.time(),
        sender=shared.sender,
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=shared.reply_to,
        subject="",
        tags=tags,
        headers=[],
        configuration_set=shared.configuration_set,
    )


def _simple(mail: Mail, content: dict[str, Any]) -> None:
    mail.headers = checking.header_list(content.get("Headers"))
    mail.subject = checking.subject(_data(content.get("Subject")))
    body = _object(content.get("Body"), "Body")
    mail.text, mail.html = _data(body.get("Text")) or "", _data(body.get("Html")) or ""
    if body.get("Text") is None and body.get("Html") is None:
        raise bad_request("Body needs Text or Html.")
    checking.size(mail.subject, mail.text, mail.html)


def _templated(mail: Mail, content: dict[str, Any]) -> None:
    mail.headers = checking.header_list(content.get("Headers"))
    _fill(mail, _template(content), templates.read_data(content.get("TemplateData")))


def _fill(mail: Mail, template: Template, data: dict[str, str]) -> None:
    """A variable without a value is accepted, and becomes a Rendering Failure afterwards."""
    mail.template, mail.data = template, data
    if missing := template.missing(data):
        mail.failure = f"Attribute '{missing}' is not present in the rendering data."
    mail.subject = templates.render(template.subject, data).replace("\n", " ").replace("\r", " ")


def _template(given: dict[str, Any]) -> Template:
    if name := given.get("TemplateName") or given.get("TemplateArn"):
        raise refusing.unknown_template(str(name))
    content = _object(given.get("TemplateContent"), "TemplateContent")
    subject, text, html = (content.get(part) or "" for part in ("Subject", "Text", "Html"))
    if not all(isinstance(part, str) for part in (subject, text, html)):
        raise bad_request("Subject, Text and Html of TemplateContent are texts.")
    if not subject or not (text or html):
        raise bad_request("TemplateContent needs a Subject, and Text or Html.")
    checking.size(subject, text, html)
    return templates.compiled(subject, text, html)


def _replacement(entry: dict[str, Any]) -> dict[str, str]:
    content = entry.get("ReplacementEmailContent") or {}
    template = _object(content, "ReplacementEmailContent").get("ReplacementTemplate") or {}
    return templates.read_data(_object(template, "ReplacementTemplate").get("ReplacementTemplateData"))


def _replaced(headers: Pairs, replacements: Pairs) -> Pairs:
    """An entry's header takes the place of the template's header of that name."""
    if not replacements:
        return headers
    names = {name.lower() for name, _ in replacements}
    together = [pair for pair in headers if pair[0].lower() not in names] + replacements
    if len(together) > checking.MOST_HEADERS:
        raise bad_request(f"The number of headers exceeds {checking.MOST_HEADERS}.")
    return together


def _raw(body: dict[str, Any], content: dict[str, Any], rules: Rules) -> Mail:
    """A whole MIME message; its own headers say what the request leaves out."""
    try:
        octets = base64.b64decode(content.get("Data") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise bad_request("Raw.Data is not base64.") from None
    message = email.message_from_bytes(octets, policy=email.policy.default)
    named = {f"{name}Addresses": _addressed(message, name) for name in ("To", "Cc", "Bcc")}
    to, cc, bcc = checking.destination(body.get("Destination") or named)
    rules.check_recipients([*to, *cc, *bcc])
    shared = _shared("SendEmail", {"FromEmailAddress": str(message["From"] or "")} | body, rules)
    mail = _blank(shared, to, cc, bcc, checking.tags(body.get("EmailTags")))
    mail.subject = str(message["Subject"] or "")
    mail.headers = [(name, str(value)) for name, value in message.items()]
    checking.size(str(content.get("Data")))
    return mail


def _addressed(message: Any, header: str) -> list[str]:
    return [str(one.addr_spec) for found in message.get_all(header, []) for one in found.addresses]


def _data(given: Any) -> str | None:
    """The text of a Content object."""
    if given is None:
        return None
    text = _object(given, "Content").get("Data")
    if not isinstance(text, str):
        raise bad_request("Data must be a text.")
    return text


def _object(given: Any, what: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad_request(f"{what} must be an object.") if given is not None else bad_request(f"{what} is required.")
    return given
