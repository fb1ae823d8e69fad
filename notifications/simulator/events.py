"""The JSON of an SES event, as event publishing writes it.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from notifications.simulator.account import SIMULATOR_DOMAIN
from notifications.simulator.checking import domain
from notifications.simulator.fates import News
from notifications.simulator.mails import Mail

ACCOUNT = "123456789012"
DETAIL_TYPES = {
    "Send": "Email Sent",
    "Delivery": "Email Delivered",
    "Bounce": "Email Bounced",
    "Complaint": "Email Complaint Received",
    "Reject": "Email Rejected",
    "Open": "Email Opened",
    "Click": "Email Clicked",
    "Rendering Failure": "Email Rendering Failed",
    "DeliveryDelay": "Email Delivery Delayed",
}
_PARTS = {"Rendering Failure": "failure", "DeliveryDelay": "deliveryDelay"}
_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
_NOT_SENT = "Amazon SES did not send the message to this address because it is on the suppression list for your account."
_SUPPRESSED = (
    "Amazon SES has suppressed sending to this address because it has a recent history of bouncing as an invalid address."
)
_BOUNCES = {
    "Permanent/General": {"action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"},
    "Permanent/Suppressed": {"action": "failed", "status": "5.1.1", "diagnosticCode": _SUPPRESSED},
    "Permanent/OnAccountSuppressionList": {"action": "failed", "status": "5.1.1", "diagnosticCode": _NOT_SENT},
    "Transient/MailboxFull": {"action": "failed", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 mailbox full"},
    "Transient/General": {},
}


def detail(mail: Mail, news: News, *, at: datetime, region: str) -> dict[str, Any]:
    """The event: `detail` of EventBridge's envelope, `Message` of an SNS notification."""
    part = _PARTS.get(news.kind, news.kind.lower())
    return {"eventType": news.kind, "mail": _mail(mail, news.kind, region), part: _part(mail, news, at)}


def moment(at: datetime) -> str:
    """As SES writes times."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mail(mail: Mail, kind: str, region: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "timestamp": moment(datetime.fromtimestamp(mail.at, UTC)),
        "source": mail.sender,
        "sourceArn": f"arn:aws:ses:{region}:{ACCOUNT}:identity/{domain(mail.sender.rstrip('>'))}",
        "sendingAccountId": ACCOUNT,
        "messageId": mail.message_id,
        "destination": mail.recipients,
    }
    if kind in ("Open", "Click"):
        del told["sourceArn"]
    if kind not in ("Rendering Failure", "DeliveryDelay"):
        told |= _headers(mail)
    return told | {"tags": _tags(mail, kind)}


def _headers(mail: Mail) -> dict[str, Any]:
    ours = [("From", mail.sender), ("To", ", ".join(mail.to)), ("Subject", mail.subject), ("MIME-Version", "1.0")]
    return {
        "headersTruncated": False,
        "headers": [{"name": name, "value": value} for name, value in [*ours, *mail.headers]],
        "commonHeaders": {"from": [mail.sender], "to": mail.to, "messageId": mail.message_id, "subject": mail.subject},
    }


def _tags(mail: Mail, kind: str) -> dict[str, list[str]]:
    automatic = {
        "ses:operation": [mail.operation],
        "ses:source-ip": ["192.0.2.0"],
        "ses:from-domain": [domain(mail.sender.rstrip(">"))],
        "ses:caller-identity": ["simulator"],
    }
    if mail.configuration_set:
        automatic["ses:configuration-set"] = [mail.configuration_set]
    if kind not in ("Send", "Reject", "Rendering Failure"):
        automatic["ses:outgoing-ip"] = ["192.0.2.1"]
    return automatic | {name: [value] for name, value in mail.tags.items()}


def _part(mail: Mail, news: News, at: datetime) -> dict[str, Any]:
    match news.kind:
        case "Delivery":
            return _delivery(mail, news, at)
        case "Bounce":
            return _bounce(mail, news, at)
        case "Complaint":
            return _complaint(mail, news, at)
        case "DeliveryDelay":
            return _delay(news, at)
        case "Reject":
            return {"reason": "Bad content"}
        case "Rendering Failure":
            return {"errorMessage": mail.failure, "templateName": "InlineTemplate"}
        case "Open" | "Click":
            return _look(news, at)
    return {}


def _delivery(mail: Mail, news: News, at: datetime) -> dict[str, Any]:
    return {
        "timestamp": moment(at),
        "processingTimeMillis": max(1, round((at.timestamp() - mail.at) * 1000)),
        "recipients": list(news.recipients),
        "smtpResponse": "250 2.6.0 Message received",
        "reportingMTA": "a8-50.smtp-out.amazonses.com",
    }


def _bounce(mail: Mail, news: News, at: datetime) -> dict[str, Any]:
    kind, _, sub_type = news.detail.partition("/")
    told: dict[str, Any] = {
        "bounceType": kind,
        "bounceSubType": sub_type,
        "bouncedRecipients": [{"emailAddress": one, **_BOUNCES.get(news.detail, {})} for one in news.recipients],
        "timestamp": moment(at),
        "feedbackId": _feedback_id(mail, news),
    }
    if news.detail == "Permanent/General":
        told["reportingMTA"] = "dsn; a8-50.smtp-out.amazonses.com"
    return told


def _complaint(mail: Mail, news: News, at: datetime) -> dict[str, Any]:
    ours = all(domain(one) == SIMULATOR_DOMAIN for one in news.recipients)
    return {
        "complainedRecipients": [{"emailAddress": one} for one in news.recipients],
        "timestamp": moment(at),
        "feedbackId": _feedback_id(mail, news),
        "complaintSubType": None,
        "userAgent": "Amazon SES Mailbox Simulator" if ours else "Yahoo!-Mail-Feedback/2.0",
        "complaintFeedbackType": "abuse",
        "arrivalDate": moment(at),
    }


def _delay(news: News, at: datetime) -> dict[str, Any]:
    why = {"status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 mailbox full"}
    return {
        "timestamp": moment(at),
        "delayType": "MailboxFull",
        "expirationTime": moment(at + timedelta(hours=14)),
        "delayedRecipients": [{"emailAddress": one, **why} for one in news.recipients],
    }


def _look(news: News, at: datetime) -> dict[str, Any]:
    who = {"ipAddress": "192.0.2.17", "timestamp": moment(at), "userAgent": _BROWSER}
    return who | ({"link": news.detail, "linkTags": None} if news.kind == "Click" else {})


def _feedback_id(mail: Mail, news: News) -> str:
    """The same for the same news, by whichever route and however often it is told."""
    told = uuid.uuid5(uuid.NAMESPACE_OID, f"{mail.message_id} {news}")
    return f"{mail.message_id[:16]}-{told}-000000"
