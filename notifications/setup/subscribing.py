"""Confirms SNS subscriptions through the API, never by a visit to an address that a message names.

https://docs.aws.amazon.com/sns/latest/api/API_ConfirmSubscription.html
"""

from typing import TYPE_CHECKING

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from outreach import topics

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

log = structlog.get_logger("notifications")

_REMEDY = (
    "The workers need sns:ConfirmSubscription on the topic, and a token is good for two days. "
    "Ask for a new one: manage.py ses_setup --via sns, or 'Request confirmation' in the SNS console."
)
# Confirming twice does no harm, so trying again is safe here.
_PATIENCE = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


def confirm(topic_arn: str, token: str, *, client: "SNSClient | None" = None) -> str:
    """Confirm a subscription with the token of its verified message; returns its ARN, or nothing and a line in the log.

    Unsubscribing needs credentials from then on: otherwise every notification would carry an address
    that ends our events for whoever reads it.
    """
    try:
        sns = client or client_for(topic_arn)
        answer = sns.confirm_subscription(TopicArn=topic_arn, Token=token, AuthenticateOnUnsubscribe="true")
    except (ClientError, BotoCoreError) as error:
        log.error("sns_subscription_not_confirmed", topic_arn=topic_arn, error=_said(error), remedy=_REMEDY)
        return ""
    log.info("sns_subscription_confirmed", topic_arn=topic_arn, subscription_arn=answer["SubscriptionArn"])
    return answer["SubscriptionArn"]


def client_for(topic_arn: str) -> "SNSClient":
    """SNS in the topic's region, at the endpoint of the environment if it names one (AWS_ENDPOINT_URL_SNS)."""
    client: SNSClient = boto3.session.Session().client("sns", region_name=topics.region_of(topic_arn), config=_PATIENCE)
    return client


def _said(error: Exception) -> str:
    """What went wrong, by its name: AWS' own words may repeat the token."""
    if isinstance(error, ClientError):
        return f"ClientError: {error.response.get('Error', {}).get('Code', '')}"
    return type(error).__name__
