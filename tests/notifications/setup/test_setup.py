"""What the set-up creates, and that a second run has nothing to do."""

import json

import pytest

from notifications.setup.wishes import Via
from tests.aws import ACCOUNT, BUS, TOPIC
from tests.notifications.setup.running import run

BOTH = pytest.mark.parametrize("via", list(Via))


@BOTH
def test_everything_is_created(aws, via):
    tally, said, known = run(aws, via=via)

    assert (tally.failed, tally.updated, tally.kept, tally.waiting) == (0, 0, 0, 0), said
    assert tally.created == (11 if via is Via.EVENTBRIDGE else 7)
    assert known.dkim_tokens == ["one", "two", "three"]


@BOTH
def test_a_second_run_finds_everything_as_it_should_be(aws, via):
    run(aws, via=via)
    aws.sesv2.writes.clear()

    tally, said, _ = run(aws, via=via)

    assert (tally.created, tally.updated, tally.failed, tally.waiting) == (0, 0, 0, 0), said
    assert aws.sesv2.writes == []


@BOTH
def test_a_dry_run_writes_nothing_and_says_what_it_would_do(aws, via):
    tally, said, _ = run(aws, via=via, dry_run=True)

    assert tally.failed == 0, said
    assert tally.created >= 7
    assert aws.sesv2.writes == []
    assert aws.events.list_connections()["Connections"] == []
    assert aws.events.list_rules()["Rules"] == []
    assert aws.iam.list_roles()["Roles"] == []
    assert aws.sns.list_topics()["Topics"] == []
    assert aws.sqs.list_queues().get("QueueUrls", []) == []


@BOTH
def test_after_both_a_dry_run_finds_nothing_to_do(aws, via):
    run(aws, via=via)

    tally, said, _ = run(aws, via=via, dry_run=True)

    assert (tally.created, tally.updated) == (0, 0), said


def test_the_two_ways_share_their_queue(aws):
    run(aws)
    run(aws, via=Via.SNS)

    url = aws.sqs.get_queue_url(QueueName="outreach-ses-events-undelivered")["QueueUrl"]
    policy = json.loads(aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])

    assert {one["Principal"]["Service"] for one in policy["Statement"]} == {"events.amazonaws.com", "sns.amazonaws.com"}
    assert run(aws)[0].updated == 0


def test_events_go_from_the_default_bus_to_the_webhook_with_the_secret(aws):
    run(aws)

    rule = aws.events.describe_rule(Name="outreach-ses-events")
    (target,) = aws.events.list_targets_by_rule(Rule="outreach-ses-events")["Targets"]
    destination = aws.events.describe_api_destination(Name="outreach-ses-events")
    connection = aws.events.describe_connection(Name="outreach-ses-events")

    assert json.loads(rule["EventPattern"]) == {"source": ["aws.ses"]}
    assert target["Arn"] == destination["ApiDestinationArn"]
    assert target["DeadLetterConfig"]["Arn"].endswith(":outreach-ses-events-undelivered")
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()
    assert destination["InvocationEndpoint"] == "https://mail.example.com/api/webhooks/ses-events"
    assert (destination["HttpMethod"], destination["InvocationRateLimitPerSecond"]) == ("POST", 50)
    assert destination["ConnectionArn"] == connection["ConnectionArn"]
    assert connection["AuthParameters"]["ApiKeyAuthParameters"]["ApiKeyName"] == "X-Webhook-Secret"


def test_the_role_is_for_our_rule_and_our_destination_only(aws):
    run(aws)

    role = aws.iam.get_role(RoleName="outreach-ses-events-us-east-1")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    policies = aws.iam.get_role_policy(RoleName="outreach-ses-events-us-east-1", PolicyName="invoke-api-destination")

    rule = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/outreach-ses-events"
    assert role["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": rule}
    (statement,) = policies["PolicyDocument"]["Statement"]
    assert statement["Action"] == "events:InvokeApiDestination"
    assert statement["Resource"] == f"arn:aws:events:us-east-1:{ACCOUNT}:api-destination/outreach-ses-events/*"


def test_ses_publishes_all_event_types_to_the_default_bus(aws):
    run(aws)

    destination = aws.sesv2.destinations["outreach"]["eventbridge"]

    assert destination["EventBridgeDestination"] == {"EventBusArn": BUS}
    assert (destination["Enabled"], len(destination["MatchingEventTypes"])) == (True, 10)


def test_the_configuration_set_is_the_missions(aws):
    run(aws)

    assert aws.sesv2.sets["outreach"] == {
        "ReputationOptions": {"ReputationMetricsEnabled": True},
        "SendingOptions": {"SendingEnabled": True},
        "SuppressionOptions": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]},
    }


def test_the_topic_lets_our_configuration_set_publish_and_signs_with_sha_256(aws):
    run(aws, via=Via.SNS)

    attributes = aws.sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]
    (statement,) = json.loads(attributes["Policy"])["Statement"]

    assert attributes["SignatureVersion"] == "2"
    assert statement["Principal"] == {"Service": "ses.amazonaws.com"}
    assert statement["Condition"]["StringEquals"]["AWS:SourceArn"].endswith(":configuration-set/outreach")


def test_the_subscription_retries_for_long_and_is_never_raw(aws):
    run(aws, via=Via.SNS)

    (one,) = aws.sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    attributes = aws.sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]

    assert (one["Protocol"], one["Endpoint"]) == ("https", "https://mail.example.com/v1/notifications/ses-events")
    assert json.loads(attributes["DeliveryPolicy"])["healthyRetryPolicy"]["numRetries"] == 50
    assert attributes["RawMessageDelivery"] == "false"
    assert "outreach-ses-events-undelivered" in attributes["RedrivePolicy"]


def test_nothing_is_subscribed_before_the_site_accepts_the_topic(aws):
    tally, said, _ = run(aws, via=Via.SNS, listed_topics=())

    assert tally.waiting == 1
    assert f"SES_SNS_TOPIC_ARNS={TOPIC}" in said
    assert aws.sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"] == []


def test_an_unconfirmed_subscription_is_asked_for_again(aws, monkeypatch):
    run(aws, via=Via.SNS)
    asked = []
    monkeypatch.setattr("notifications.setup.sns_steps.find_subscription", lambda *_: "PendingConfirmation")
    monkeypatch.setattr(aws.sns, "subscribe", lambda **parameters: asked.append(parameters["Endpoint"]))

    run(aws, via=Via.SNS)

    assert asked == ["https://mail.example.com/v1/notifications/ses-events"]


def test_the_secret_is_never_said(aws):
    said = "".join(run(aws, **changes)[1] for changes in ({"dry_run": True}, {}, {"new_secret": True}))

    assert "made-up-secret" not in said


def test_a_new_secret_is_written_only_when_asked(aws, monkeypatch):
    run(aws)
    written = []
    monkeypatch.setattr(aws.events, "update_connection", lambda **parameters: written.append(parameters))

    run(aws, secret="another")
    assert written == []
    run(aws, secret="another", new_secret=True)

    assert written[0]["AuthParameters"]["ApiKeyAuthParameters"]["ApiKeyValue"] == "another"
