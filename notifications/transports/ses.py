"""SES v2: one mail by `SendEmail`, many by `SendBulkEmail`.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

import time
from collections.abc import Hashable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from notifications.messages import Attachment, OutgoingMessage
from notifications.transports import ses_answers, ses_bulk, ses_wire
from notifications.transports.base import Account, Outcome, Verdict

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 60.0
_ASKING_TIMEOUT = 5.0
_MOST_CONNECTIONS = 128
_ALONE_SECONDS = 60.0


class SesTransport:
    """Sends through SES in one region. Retries are off: SES has no idempotency key, and boto3 would
    post a timed-out mail three times."""

    longest_call = _CONNECT_TIMEOUT + _READ_TIMEOUT

    def __init__(self, region: str) -> None:
        self._region = region
        self._alone_until = 0.0
        with suppress(ses_answers.NoClient):
            # Now, because it takes a moment. A call tries again, and has an answer for what is wrong with it.
            self._client = self._build()

    def send(self, message: OutgoingMessage) -> Outcome:
        """Hand one mail to SES. Never raises."""
        try:
            answer = self._client.send_email(**request_for(message))
            return Outcome(Verdict.ACCEPTED, message_id=answer["MessageId"])
        except ClientError as error:
            return ses_answers.judge(error)
        except Exception as error:
            return ses_answers.judge_failure(error)

    @property
    def most_together(self) -> int:
        """50, but for a minute after a whole call was refused, when each mail must show for itself what SES thinks of it."""
        return ses_bulk.MOST_ENTRIES if time.monotonic() > self._alone_until else 1

    def call_key(self, message: OutgoingMessage) -> Hashable | None:
        """Mails of one sender may share a call, as far as they fit."""
        return ses_bulk.call_key(message)

    def send_many(self, messages: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand up to 50 mails of one `call_key` to SES in one call. Never raises.

        One bad mail has a whole call refused, and nothing of it was accepted: all wait, and go alone for a while.
        """
        if len(messages) == 1:
            return [self.send(messages[0])]
        try:
            answer = self._client.send_bulk_email(**ses_bulk.request_for(messages))
            return ses_bulk.judge_entries(answer["BulkEmailEntryResults"], count=len(messages))
        except ClientError as error:
            outcome = ses_answers.judge(error)
        except Exception as error:
            outcome = ses_answers.judge_failure(error)
        if outcome.verdict is Verdict.REFUSED:
            self._alone_until = time.monotonic() + _ALONE_SECONDS
            outcome = Outcome(
                Verdict.WAIT, error=f"SES refused a call of {len(messages)} mails, so each goes alone: {outcome.error}"
            )
        return [outcome] * len(messages)

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
    def _client(self) -> Any:
        # Threads that ask at once may each build one, and any of them does.
        return self._build()

    def _build(self) -> Any:
        try:
            # An OutgoingMessage is checked already, more strictly than boto3 would.
            client = _client(self._region, read_timeout=_READ_TIMEOUT, parameter_validation=False)
        except Exception as error:
            raise ses_answers.NoClient from error
        ses_wire.write_bulk_bodies(client)
        return client

    @cached_property
    def _asking(self) -> Any:
        # A question may not hold up a chunk for as long as a mail may take.
        return _client(self._region, read_timeout=_ASKING_TIMEOUT)


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
