"""The JSON documents of the set-up: policies, patterns, delivery. Pure.

Every permission names the one resource it is for and the one account it comes from: otherwise any
account's SES or EventBridge could act through ours (the confused deputy).
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-add-event-destination-sns.html
"""

from typing import Any

from notifications.setup.wishes import Via, Wish

Document = dict[str, Any]

EVENT_PATTERN: Document = {"source": ["aws.ses"]}
# SNS' default gives up after a minute, so that every deployment would lose events; an hour is its limit.
# https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
DELIVERY_POLICY: Document = {
    "healthyRetryPolicy": {
        "numRetries": 50,
        "minDelayTarget": 5,
        "maxDelayTarget": 60,
        "numMaxDelayRetries": 35,
        "backoffFunction": "exponential",
    },
    "requestPolicy": {"headerContentType": "application/json"},
}


def role_trust(wish: Wish) -> Document:
    """Who may act in the role: EventBridge, for our rule."""
    condition = {"StringEquals": {"aws:SourceAccount": wish.account, "aws:SourceArn": wish.rule_arn}}
    return _document(_allow("TrustEventBridgeService", "events.amazonaws.com", "sts:AssumeRole", condition))


def role_policy(wish: Wish) -> Document:
    """What the role may: call our webhook."""
    statement = {"Effect": "Allow", "Action": "events:InvokeApiDestination", "Resource": wish.api_destination_arns}
    return _document(statement)


def topic_statement(wish: Wish) -> Document:
    """SES may publish to the topic, for our configuration set."""
    condition = {"StringEquals": {"AWS:SourceAccount": wish.account, "AWS:SourceArn": wish.configuration_set_arn}}
    return _allow("SesPublishes", "ses.amazonaws.com", "sns:Publish", condition) | {"Resource": wish.topic_arn}


def queue_statement(wish: Wish) -> Document:
    """EventBridge, or SNS, may put what it could not deliver into the queue."""
    service, source = ("sns", wish.topic_arn) if wish.via is Via.SNS else ("events", wish.rule_arn)
    condition = {"ArnEquals": {"aws:SourceArn": source}}
    allow = _allow(f"Undelivered{service.capitalize()}", f"{service}.amazonaws.com", "sqs:SendMessage", condition)
    return allow | {"Resource": wish.queue_arn}


def with_statement(policy: Document, statement: Document) -> Document:
    """A policy with this statement in the place of its namesake; whatever else it says stays."""
    others = [one for one in _statements(policy) if one.get("Sid") != statement["Sid"]]
    return {"Version": "2012-10-17", **policy, "Statement": [*others, statement]}


def has_statement(policy: Document, statement: Document) -> bool:
    """Whether a policy holds exactly this statement."""
    return statement in _statements(policy)


def _statements(policy: Document) -> list[Document]:
    found = policy.get("Statement", [])
    return found if isinstance(found, list) else [found]


def _document(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, service: str, action: str, condition: Document) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Condition": condition}
