"""The AWS clients of set-up and doctor. They honour boto3's own variables, AWS_ENDPOINT_URL among them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from outreach.errors import DomainError

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sts import STSClient

# The last: whatever answered there, it was not AWS.
AwsError = (ClientError, BotoCoreError, ResponseParserError)
_LONGEST = 300
# Nothing here is a mail: trying again does no harm, waiting for minutes does.
_PATIENCE = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2})


class WrongConfiguration(DomainError):
    """boto3's own configuration holds something that it refuses."""

    code = "AWS_CONFIGURATION"


@dataclass(frozen=True)
class Aws:
    """One client for each service that events pass through."""

    sesv2: "SESV2Client"
    events: "EventBridgeClient"
    iam: "IAMClient"
    sns: "SNSClient"
    sqs: Any  # its types are not among the locked ones
    sts: "STSClient"


def connect(region: str) -> Aws:
    """Clients for a region. Nothing is called yet. Raises WrongConfiguration, in one line."""
    try:
        return _clients(boto3.session.Session(region_name=region or None))
    except (BotoCoreError, ValueError) as error:
        remedy = "correct the AWS_ variables or the file that AWS_CONFIG_FILE names"
        raise WrongConfiguration(f"boto3 refuses its configuration ({said(error)}): {remedy}.") from error


def _clients(session: boto3.session.Session) -> Aws:
    return Aws(
        sesv2=session.client("sesv2", config=_PATIENCE),
        events=session.client("events", config=_PATIENCE),
        iam=session.client("iam", config=_PATIENCE),
        sns=session.client("sns", config=_PATIENCE),
        sqs=session.client("sqs", config=_PATIENCE),
        sts=session.client("sts", config=_PATIENCE),
    )


def is_missing(error: Exception) -> bool:
    """Whether AWS says that the thing asked for does not exist; each service has a word of its own."""
    return code_of(error) in {
        "NotFoundException",
        "ResourceNotFoundException",
        "NoSuchEntity",
        "NotFound",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
    }


def code_of(error: Exception) -> str:
    """AWS' code for an error; empty for one that AWS did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def said(error: Exception) -> str:
    """An error in one line, for people."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {code_of(error)}: {error.response.get('Error', {}).get('Message', '')}".strip()
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST]
