"""SES v2 `SendEmail`, one recipient a call, and what each of its answers means.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from notifications.messages import Attachment, OutgoingMessage
from notifications.transports.base import Outcome, Verdict

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 60.0
_MOST_CONNECTIONS = 64

# Not accepted, and the next mail would not be either: configuration, credentials, account.
_HALTING = {
    "SendingPausedException": "Sending is paused for this account or configuration set in SES.",
    "AccountSuspendedException": "AWS has suspended this account's sending.",
    "MailFromDomainNotVerifiedException": "The sender's domain is not verified in SES.",
    "NotFoundException": "SES does not know the configuration set: check SES_CONFIGURATION_SET.",
    "LimitExceededException": "The daily sending quota of SES is used up.",
    "AccessDeniedException": "The AWS credentials may not send: they need ses:SendEmail.",
    "UnrecognizedClientException": "The AWS credentials are not valid.",
    "InvalidClientTokenId": "The AWS credentials are not valid.",
    "InvalidSignatureException": "The AWS credentials are not valid, or this machine's clock is wrong.",
    "SignatureDoesNotMatch": "The AWS secret key is not valid.",
    "ExpiredTokenException": "The AWS credentials have expired.",
    "ExpiredToken": "The AWS credentials have expired.",
    "IncompleteSignature": "The AWS credentials are incomplete.",
}
_THROTTLING = {"TooManyRequestsException", "ThrottlingException", "Throttling"}
_REFUSING = {"MessageRejected", "BadRequestException", "ValidationException", "InvalidParameterValue"}
# Raised before a byte of the request left this machine.
_NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError)


class SesTransport:
    """Sends through SES in one region. Retries are off: SES has no idempotency key, and boto3 would
    post a timed-out mail three times."""

    longest_call = _CONNECT_TIMEOUT + _READ_TIMEOUT

    def __init__(self, region: str) -> None:
        self._client = boto3.session.Session().client(
            "sesv2",
            region_name=region,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=_CONNECT_TIMEOUT,
                read_timeout=_READ_TIMEOUT,
                tcp_keepalive=True,
                max_pool_connections=_MOST_CONNECTIONS,
            ),
        )

    def send(self, message: OutgoingMessage) -> Outcome:
        """Hand one mail to SES. Never raises."""
        try:
            answer = self._client.send_email(**request_for(message))
            return Outcome(Verdict.ACCEPTED, message_id=answer["MessageId"])
        except ClientError as error:
            return judge(error)
        except Exception as error:
            return judge_failure(error)


def request_for(message: OutgoingMessage) -> dict[str, Any]:
    """The parameters of `SendEmail` for a message."""
    # An empty part is not sent: a mail program would show it instead of the other.
    bodies = {"Text": message.text, "Html": message.html}
    request: dict[str, Any] = {
        "FromEmailAddress": message.from_header(),
        "Destination": {"ToAddresses": [message.to]},
        "Content": {
            "Simple": {
                "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                "Body": {name: {"Data": body, "Charset": "UTF-8"} for name, body in bodies.items() if body},
                "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
            }
        },
        "EmailTags": [{"Name": name, "Value": value} for name, value in message.tags],
    }
    if message.reply_to:
        request["ReplyToAddresses"] = list(message.reply_to)
    if message.attachments:
        request["Content"]["Simple"]["Attachments"] = [_attachment(one) for one in message.attachments]
    if message.configuration_set:
        request["ConfigurationSetName"] = message.configuration_set
    return request


def _attachment(attachment: Attachment) -> dict[str, Any]:
    inline = {"ContentDisposition": "INLINE", "ContentId": attachment.content_id} if attachment.content_id else {}
    return {
        "FileName": attachment.name,
        "RawContent": attachment.content,
        "ContentType": attachment.content_type,
        "ContentTransferEncoding": "BASE64",
    } | (inline or {"ContentDisposition": "ATTACHMENT"})


def judge(error: ClientError) -> Outcome:
    """What an error answer of SES means for this mail and the next (ses_facts, 4.4)."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    detail = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{code}: {detail}"
    if "daily message quota" in detail.lower():
        return Outcome(Verdict.HALT, error=_HALTING["LimitExceededException"])
    if code in _THROTTLING or status == 429:
        return Outcome(Verdict.WAIT, error=said, retry_after=1.0)
    if code in _HALTING:
        return Outcome(Verdict.HALT, error=f"{_HALTING[code]} ({said})")
    if code == "MessageRejected" and "not verified" in detail.lower():
        return Outcome(Verdict.HALT, error=f"SES does not accept this sender, or the account is in the sandbox. ({said})")
    if code in _REFUSING:
        return Outcome(Verdict.REFUSED, error=said)
    if status in {401, 403}:
        return Outcome(Verdict.HALT, error=f"AWS refused the credentials. ({said})")
    if 400 <= status < 500:
        return Outcome(Verdict.REFUSED, error=said)
    # 5xx: SES may have taken the mail before it failed.
    return Outcome(Verdict.UNKNOWN, error=said)


def judge_failure(error: Exception) -> Outcome:
    """What a call without an answer means: certainly not sent, or unknown."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Outcome(Verdict.HALT, error=f"No AWS credentials were found. ({said})")
    if isinstance(error, ParamValidationError):
        return Outcome(Verdict.REFUSED, error=said)
    if isinstance(error, _NEVER_SENT):
        return Outcome(Verdict.WAIT, error=said, retry_after=5.0)
    return Outcome(Verdict.UNKNOWN, error=said)
