"""What SNS says about our subscription itself: confirm it when it begins, warn when it ends."""

import structlog

from notifications import sns
from outreach.errors import DomainError
from outreach.publishing import publish

log = structlog.get_logger("notifications")

CONFIRM = "notifications.tasks.confirm_subscription"


class BrokerUnavailable(DomainError):
    """The confirmation could not be passed on: send it again later."""

    code = "BROKER_UNAVAILABLE"
    status = 503


def heed(message: sns.Message) -> str:
    """Act on a verified message about the subscription; returns what becomes of it. Raises BrokerUnavailable.

    Nothing of it is stored or logged but the topic: its token and its address would subscribe anybody.
    """
    if message.type is sns.MessageType.UNSUBSCRIPTION:
        log.warning("sns_unsubscribed", topic_arn=message.topic_arn, remedy="manage.py ses_setup --via sns subscribes again.")
        return "ignored"
    if not publish(CONFIRM, message.topic_arn, message.text("Token"), secret=True):
        raise BrokerUnavailable
    log.info("sns_subscription_confirming", topic_arn=message.topic_arn)
    return "confirming"
