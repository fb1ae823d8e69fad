"""`SendBulkEmail`: up to 50 mails a call, each with its own words, headers and tags.

We render; an inline template of three variables only carries the result, so a mail is the same
whichever call took it. Every entry has an answer of its own.
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html
"""

from collections.abc import Hashable, Sequence
from typing import Any

import orjson

from notifications.messages import OutgoingMessage
from notifications.transports import ses_answers
from notifications.transports.base import Outcome, Verdict

MOST_ENTRIES = 50
# SES takes 262,144 characters an entry; this keeps a whole call near 4 MB, so that it ends within its time-out.
MOST_DATA = 80_000

_TEMPLATE = {"Subject": "{{subject}}", "Html": "{{html}}", "Text": "{{text}}"}
# Every variable needs a default, or SES reports a rendering failure for an entry without it.
_DEFAULTS = orjson.dumps({"subject": "", "html": "", "text": ""}).decode()


def call_key(message: OutgoingMessage) -> Hashable | None:
    """What the mails of one call have in common; None for a mail that must go alone."""
    return (message.from_header(), tuple(message.reply_to), message.configuration_set) if fits(message) else None


def fits(message: OutgoingMessage) -> bool:
    """Whether a message may travel as values of the inline template.

    Braces in a value might be taken for a placeholder by the template engine of SES.
    """
    words = (message.subject, message.html, message.text)
    return (
        not message.attachments and all(words) and sum(map(len, words)) <= MOST_DATA and not any("{{" in word for word in words)
    )


def request_for(messages: Sequence[OutgoingMessage]) -> dict[str, Any]:
    """The parameters of `SendBulkEmail` for messages with one sender."""
    first = messages[0]
    request: dict[str, Any] = {
        "FromEmailAddress": first.from_header(),
        "DefaultContent": {"Template": {"TemplateContent": _TEMPLATE, "TemplateData": _DEFAULTS}},
        "BulkEmailEntries": [_entry(message) for message in messages],
    }
    if first.reply_to:
        request["ReplyToAddresses"] = list(first.reply_to)
    if first.configuration_set:
        request["ConfigurationSetName"] = first.configuration_set
    return request


def judge_entries(results: Sequence[Any], *, count: int) -> list[Outcome]:
    """The outcomes of `count` entries; an entry without an answer is unknown."""
    judged = [ses_answers.judge_entry(result) for result in results[:count]]
    missing = Outcome(Verdict.UNKNOWN, error="SES did not answer about this mail of a bulk call.")
    return judged + [missing] * (count - len(judged))


def _entry(message: OutgoingMessage) -> dict[str, Any]:
    words = {"subject": message.subject, "html": message.html, "text": message.text}
    return {
        "Destination": {"ToAddresses": [message.to]},
        "ReplacementTags": [{"Name": name, "Value": value} for name, value in message.tags],
        "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": orjson.dumps(words).decode()}},
        "ReplacementHeaders": [{"Name": name, "Value": value} for name, value in message.headers],
    }
