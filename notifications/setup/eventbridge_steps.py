"""The steps of EventBridge: queue for what is undeliverable, connection, API destination, rule, role, target.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html
"""

import json
from typing import TYPE_CHECKING, Any

from notifications.setup import documents, steps
from notifications.setup.clients import Aws
from notifications.setup.steps import Finding, Known, Step
from notifications.setup.wishes import SECRET_HEADER, Wish
from outreach.errors import DomainError

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import CreateConnectionAuthRequestParametersTypeDef, TargetTypeDef

_TARGET_ID = "1"
_BUS = "default"


class TargetRefused(DomainError):
    """EventBridge did not take the rule's target."""

    code = "TARGET_REFUSED"


def connection(wish: Wish, aws: Aws, known: Known) -> Step:
    """The header with the secret. EventBridge never shows a secret, so it is written anew only when asked."""
    auth: CreateConnectionAuthRequestParametersTypeDef = {
        "ApiKeyAuthParameters": {"ApiKeyName": SECRET_HEADER, "ApiKeyValue": wish.secret}
    }

    def look() -> Finding:
        current = steps.found(lambda: aws.events.describe_connection(Name=wish.name))
        if current is None:
            return steps.create(make)
        known.connection_arn = current["ConnectionArn"]
        differing = steps.differences(_connection(current), {"type": "API_KEY", "header": SECRET_HEADER})
        if wish.new_secret:
            differing = (*differing, "secret: the first of SES_WEBHOOK_SECRET")
        return steps.update_if(differing, mend)

    def make() -> None:
        answer = aws.events.create_connection(Name=wish.name, AuthorizationType="API_KEY", AuthParameters=auth)
        known.connection_arn = answer["ConnectionArn"]

    def mend() -> None:
        aws.events.update_connection(
            Name=wish.name,
            AuthorizationType="API_KEY",
            AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": SECRET_HEADER, "ApiKeyValue": wish.secret}},
        )

    return Step(f"EventBridge connection {wish.name}", f"{SECRET_HEADER}: the first of SES_WEBHOOK_SECRET", look)


def api_destination(wish: Wish, aws: Aws, known: Known) -> Step:
    """The webhook's address, and how many events a second it gets at most."""

    def look() -> Finding:
        current = steps.found(lambda: aws.events.describe_api_destination(Name=wish.name))
        if current is None:
            return steps.create(make)
        known.api_destination_arn = current["ApiDestinationArn"]
        wanted = {
            "ConnectionArn": known.connection_arn,
            "InvocationEndpoint": wish.endpoint,
            "HttpMethod": "POST",
            "InvocationRateLimitPerSecond": wish.rate,
        }
        return steps.update_if(steps.differences(current, wanted), mend)

    def make() -> None:
        answer = aws.events.create_api_destination(
            Name=wish.name,
            ConnectionArn=known.connection_arn,
            InvocationEndpoint=wish.endpoint,
            HttpMethod="POST",
            InvocationRateLimitPerSecond=wish.rate,
        )
        known.api_destination_arn = answer["ApiDestinationArn"]

    def mend() -> None:
        aws.events.update_api_destination(
            Name=wish.name,
            ConnectionArn=known.connection_arn,
            InvocationEndpoint=wish.endpoint,
            HttpMethod="POST",
            InvocationRateLimitPerSecond=wish.rate,
        )

    return Step(f"API destination {wish.name}", f"POST {wish.endpoint}, {wish.rate} a second", look)


def rule(wish: Wish, aws: Aws) -> Step:
    """Which events are meant: all of SES, on the default bus."""
    wanted = {"pattern": documents.EVENT_PATTERN, "state": "ENABLED"}

    def look() -> Finding:
        current = steps.found(lambda: aws.events.describe_rule(Name=wish.name, EventBusName=_BUS))
        if current is None:
            return steps.create(put)
        there = {"pattern": json.loads(current.get("EventPattern") or "{}"), "state": current.get("State")}
        return steps.update_if(steps.differences(there, wanted), put)

    def put() -> None:
        pattern = json.dumps(documents.EVENT_PATTERN)
        aws.events.put_rule(Name=wish.name, EventBusName=_BUS, EventPattern=pattern, State="ENABLED")

    return Step(f"EventBridge rule {wish.name}", f"on the default bus, {json.dumps(documents.EVENT_PATTERN)}", look)


def role(wish: Wish, aws: Aws) -> Step:
    """The role in which EventBridge calls the API destination."""
    trust = documents.role_trust(wish)

    def look() -> Finding:
        current = steps.found(lambda: aws.iam.get_role(RoleName=wish.role_name))
        if current is None:
            return steps.create(make)
        there = {"trust": _json(current["Role"].get("AssumeRolePolicyDocument"))}
        return steps.update_if(steps.differences(there, {"trust": trust}), mend)

    def make() -> None:
        aws.iam.create_role(RoleName=wish.role_name, AssumeRolePolicyDocument=json.dumps(trust))

    def mend() -> None:
        aws.iam.update_assume_role_policy(RoleName=wish.role_name, PolicyDocument=json.dumps(trust))

    return Step(f"IAM role {wish.role_name}", f"for {wish.rule_arn} only", look)


def role_policy(wish: Wish, aws: Aws) -> Step:
    """What the role may do."""
    name, policy = "invoke-api-destination", documents.role_policy(wish)

    def look() -> Finding:
        current = steps.found(lambda: aws.iam.get_role_policy(RoleName=wish.role_name, PolicyName=name))
        if current is None:
            return steps.create(put)
        return steps.update_if(steps.differences({"policy": _json(current["PolicyDocument"])}, {"policy": policy}), put)

    def put() -> None:
        aws.iam.put_role_policy(RoleName=wish.role_name, PolicyName=name, PolicyDocument=json.dumps(policy))

    return Step(f"policy of {wish.role_name}", "events:InvokeApiDestination", look)


def target(wish: Wish, aws: Aws, known: Known) -> Step:
    """Rule → API destination, a day of retries, then the queue; the event as it is, without a transformer."""

    def look() -> Finding:
        answer = steps.found(lambda: aws.events.list_targets_by_rule(Rule=wish.name, EventBusName=_BUS)) or {}
        current: Any = next((one for one in answer.get("Targets", []) if one["Id"] == _TARGET_ID), None)
        if current is None:
            return steps.create(put)
        keys = [*wanted(), "Input", "InputPath", "InputTransformer"]
        return steps.update_if(steps.differences(current, {key: wanted().get(key) for key in keys}), put)

    def wanted() -> "TargetTypeDef":
        return {
            "Id": _TARGET_ID,
            "Arn": known.api_destination_arn,
            "RoleArn": wish.role_arn,
            "DeadLetterConfig": {"Arn": wish.queue_arn},
            "RetryPolicy": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
        }

    def put() -> None:
        answer = aws.events.put_targets(Rule=wish.name, EventBusName=_BUS, Targets=[wanted()])
        for failed in answer.get("FailedEntries", []):
            raise TargetRefused(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")

    return Step(f"target of {wish.name}", "the API destination; a day of retries, then the queue", look)


def _connection(current: Any) -> dict[str, Any]:
    header = current.get("AuthParameters", {}).get("ApiKeyAuthParameters", {}).get("ApiKeyName")
    return {"type": current.get("AuthorizationType"), "header": header}


def _json(document: Any) -> Any:
    """A policy document: boto3 decodes those of IAM by itself, stand-ins do not always."""
    return json.loads(document) if isinstance(document, str) else document
