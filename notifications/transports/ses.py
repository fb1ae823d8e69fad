"""SES v2: one mail by `SendEmail`, many by `SendBulkEmail`, and what each of its answers means.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from collections.abc import Sequence
from functools import cached_property
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

from notifications.messages import OutgoingMessage
from notifications.transports import ses_bulk
from notifications.transports.base import Account, Outcome, Verdict

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 60.0
_ASKING_TIMEOUT = 5.0
_MOST_CONNECTIONS = 128

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
    most_together = ses_bulk.MOST_ENTRIES

    def __init__(self, region: str) -> None:
        self._region = region
        # An OutgoingMessage is checked already, more strictly than boto3 would.
        self._client = _client(region, read_timeout=_READ_TIMEOUT, parameter_validation=False)

    def send(self, message: OutgoingMessage) -> Outcome:
        """Hand one mail to SES. Never raises."""
        try:
            answer = self._client.send_email(**request_for(message))
            return Outcome(Verdict.ACCEPTED, message_id=answer["MessageId"])
        except ClientError as error:
            return judge(error)
        except Exception as error:
            return judge_failure(error)

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand up to 50 mails to SES in one call; those that do not fit one go alone. Never raises."""
        outcomes: dict[int, Outcome] = {}
        for parcel in ses_bulk.parcels(messages):
            together = [messages[index] for index in parcel]
            outcomes |= zip(parcel, self._send_parcel(together), strict=True)
        return [outcomes[index] for index in range(len(messages))]

    def account(self) -> Account:
        """The account's limits, by `GetAccount`. Raises what boto3 raises.

        https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html
        """
        answer = self._asking.get_account()
        quota = answer.get("SendQuota", {})
        most = quota.get("Max24HourSend", -1.0)
        return Account(
            max_send_rate=quota.get("MaxSendRate", 0.0),
            # -1 says that nothing limits the day.
            max_24_hour_send=most if most >= 0 else None,
            sent_last_24_hours=quota.get("SentLast24Hours", 0.0),
            sending_enabled=answer.get("SendingEnabled", True),
            in_sandbox=not answer.get("ProductionAccessEnabled", True),
        )

    @cached_property
    def _asking(self) -> Any:
        # A question may not hold up a chunk for as long as a mail may take.
        return _client(self._region, read_timeout=_ASKING_TIMEOUT)

    def _send_parcel(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        if len(messages) == 1:
            return [self.send(messages[0])]
        try:
            answer = self._client.send_bulk_email(**ses_bulk.request_for(messages))
            return ses_bulk.judge_entries(answer["BulkEmailEntryResults"], count=len(messages))
        except ClientError as error:
            outcome = judge(error)
        except Exception as error:
            outcome = judge_failure(error)
        if outcome.verdict is Verdict.REFUSED:
            # One bad mail has a whole call refused, and nothing of it was accepted: each gets an answer of its own.
            return [self.send(message) for message in messages]
        return [outcome] * len(messages)


def _client(region: str, *, read_timeout: float, parameter_validation: bool = True) -> Any:
    return boto3.session.Session().client(
        "sesv2",
        region_name=region,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=read_timeout,
            tcp_keepalive=True,
            max_pool_connections=_MOST_CONNECTIONS,
            parameter_validation=parameter_validation,
        ),
    )


def request_for(message: OutgoingMessage) -> dict[str, Any]:
    """The parameters of `SendEmail` for a message."""
    request: dict[str, Any] = {
        "FromEmailAddress": message.from_header(),
        "Destination": {"ToAddresses": [message.to]},
        "Content": {
            "Simple": {
                "Subject": {"Data": message.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": message.text, "Charset": "UTF-8"},
                    "Html": {"Data": message.html, "Charset": "UTF-8"},
                },
                "Headers": [{"Name": name, "Value": value} for name, value in message.headers],
            }
        },
        "EmailTags": [{"Name": name, "Value": value} for name, value in message.tags],
    }
    if message.reply_to:
        request["ReplyToAddresses"] = list(message.reply_to)
    if message.configuration_set:
        request["ConfigurationSetName"] = message.configuration_set
    return request


def judge(error: ClientError) -> Outcome:
    """What an error answer of SES means for this mail and the next (ses_facts, 4.4)."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    detail = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{code}: {detail}"
    if "daily message quota" in detail.lower():
        return Outcome(Verdict.HALT, error=_HALTING["LimitExceededException"])
    if code in _THROTTLING or status == 429:
        return Outcome(Verdict.WAIT, error=said, retry_after=1.0, throttled=True)
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
