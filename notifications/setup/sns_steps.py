"""The steps of SNS: topic, subscription; and the queue for what neither SNS nor EventBridge could deliver."""

import json
from typing import Any

from notifications.setup import documents, steps
from notifications.setup.clients import Aws
from notifications.setup.steps import Action, Finding, Step
from notifications.setup.wishes import SNS_PATH, Wish

PENDING = "PendingConfirmation"


def queue(wish: Wish, aws: Aws) -> Step:
    """Two weeks, as long as SQS keeps anything; without it an event that could not be delivered is gone."""
    statement = documents.queue_statement(wish)

    def look() -> Finding:
        url = steps.found(lambda: aws.sqs.get_queue_url(QueueName=wish.queue_name)["QueueUrl"])
        if url is None:
            return steps.create(make)
        attributes = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        policy = json.loads(attributes.get("Policy") or "{}")
        if documents.has_statement(policy, statement):
            return Finding(Action.KEEP)
        return Finding(Action.UPDATE, (f"lets {wish.via} put in what it could not deliver",), lambda: mend(url, policy))

    def make() -> None:
        policy = json.dumps(documents.with_statement({}, statement))
        aws.sqs.create_queue(QueueName=wish.queue_name, Attributes={"MessageRetentionPeriod": "1209600", "Policy": policy})

    def mend(url: str, policy: documents.Document) -> None:
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(documents.with_statement(policy, statement))})

    return Step(f"queue {wish.queue_name}", "keeps two weeks, for redriving", look)


def topic(wish: Wish, aws: Aws) -> Step:
    """A standard topic (SES publishes to no FIFO topic) that SES may publish to, signing with SHA-256."""
    statement = documents.topic_statement(wish)

    def look() -> Finding:
        answer = steps.found(lambda: aws.sns.get_topic_attributes(TopicArn=wish.topic_arn))
        if answer is None:
            return steps.create(make)
        current = answer["Attributes"]
        policy = json.loads(current.get("Policy") or "{}")
        differing = steps.differences({"SignatureVersion": current.get("SignatureVersion", "1")}, {"SignatureVersion": "2"})
        if not documents.has_statement(policy, statement):
            differing = (*differing, "policy: SES may publish for the configuration set")
        return steps.update_if(differing, lambda: mend(policy))

    def make() -> None:
        policy = json.dumps(documents.with_statement({}, statement))
        aws.sns.create_topic(Name=wish.name, Attributes={"Policy": policy, "SignatureVersion": "2"})

    def mend(policy: documents.Document) -> None:
        wanted = {"Policy": json.dumps(documents.with_statement(policy, statement)), "SignatureVersion": "2"}
        for name, value in wanted.items():
            aws.sns.set_topic_attributes(TopicArn=wish.topic_arn, AttributeName=name, AttributeValue=value)

    return Step(f"SNS topic {wish.name}", "signature version 2; SES may publish for the configuration set", look)


def subscription(wish: Wish, aws: Aws) -> Step:
    """Topic → webhook: an hour of retries, then the queue; signed envelopes, never raw delivery."""
    wanted = {
        "DeliveryPolicy": json.dumps(documents.DELIVERY_POLICY),
        "RawMessageDelivery": "false",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": wish.queue_arn}),
    }

    def look() -> Finding:
        if wish.topic_arn not in wish.listed_topics:
            # The site would refuse the confirmation, and SNS does not repeat what was refused.
            return Finding(Action.WAIT, (f"set SES_SNS_TOPIC_ARNS={wish.topic_arn}, restart web, then run this again",))
        arn = steps.found(lambda: find_subscription(wish, aws)) or ""
        if not arn:
            return steps.create(make)
        if arn == PENDING:
            return Finding(Action.UPDATE, ("it is not confirmed yet: ask again",), make)
        current = aws.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        return steps.update_if(_differing(current, wanted), lambda: mend(arn))

    def make() -> None:
        aws.sns.subscribe(TopicArn=wish.topic_arn, Protocol="https", Endpoint=wish.endpoint, Attributes=wanted)

    def mend(arn: str) -> None:
        for name, value in wanted.items():
            aws.sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)

    return Step(f"SNS subscription of {wish.base_url}", f"{wish.endpoint}; the site confirms it by itself", look)


def find_subscription(wish: Wish, aws: Aws) -> str:
    """The ARN of our webhook's subscription to the topic; `PendingConfirmation` before it is confirmed, else empty."""
    endpoint = wish.base_url + SNS_PATH
    for page in aws.sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=wish.topic_arn):
        for one in page["Subscriptions"]:
            if one["Endpoint"] == endpoint:
                return one["SubscriptionArn"]
    return ""


def _differing(current: Any, wanted: dict[str, str]) -> tuple[str, ...]:
    """Names of attributes that say something else; AWS adds defaults of its own to a delivery policy."""
    return tuple(name for name, value in wanted.items() if not _says(json.loads(current.get(name) or "null"), json.loads(value)))


def _says(current: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(_says(current.get(key), value) for key, value in wanted.items())
    return bool(current == wanted) or (wanted is False and current is None)
