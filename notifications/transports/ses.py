"""SES v2 `SendEmail`, one recipient a call.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from notifications.messages import OutgoingMessage
from notifications.transports import ses_answers
from notifications.transports.base import Outcome, Verdict

_CONNECT_TIMEOUT = 5.0
_READ_TIMEOUT = 60.0
_MOST_CONNECTIONS = 64


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
            return ses_answers.judge(error)
        except Exception as error:
            return ses_answers.judge_failure(error)


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
