import json

import pytest
from botocore.exceptions import ClientError

from notifications.setup import apply, documents, plan, records, ses_steps, wishes
from notifications.setup.steps import Known
from notifications.setup.wishes import Via
from tests import aws as stand_ins
from tests.aws import ACCOUNT, BUS, TOPIC, wish

BOTH = pytest.mark.parametrize("via", list(Via))


@pytest.fixture
def aws():
    with stand_ins.clients() as clients:
        yield clients


def run(aws, *, dry_run=False, **changes):
    """What was said, and how much was done."""
    lines, known = [], Known()
    tally = apply.run(plan.steps_for(wish(**changes), aws, known), dry_run=dry_run, say=lines.append)
    return tally, "\n".join(lines), known


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


def spoil_the_rule(aws):
    aws.events.put_rule(Name="outreach-ses-events", EventPattern='{"source": ["aws.s3"]}', State="DISABLED")


def spoil_the_role(aws):
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    aws.iam.update_assume_role_policy(RoleName="outreach-ses-events-us-east-1", PolicyDocument=json.dumps(trust))


def spoil_the_policy(aws):
    aws.iam.delete_role_policy(RoleName="outreach-ses-events-us-east-1", PolicyName="invoke-api-destination")


def spoil_the_target(aws):
    target = aws.events.list_targets_by_rule(Rule="outreach-ses-events")["Targets"][0]
    aws.events.put_targets(Rule="outreach-ses-events", Targets=[{"Id": "1", "Arn": target["Arn"], "InputPath": "$.detail"}])


def spoil_the_address(aws):
    aws.events.update_api_destination(
        Name="outreach-ses-events", InvocationEndpoint="https://old.example.com/x", HttpMethod="PUT"
    )


def spoil_the_set(aws):
    aws.sesv2.sets["outreach"]["SuppressionOptions"] = {"SuppressedReasons": ["BOUNCE"]}


def spoil_the_destination(aws):
    aws.sesv2.destinations["outreach"]["eventbridge"] |= {"Enabled": False, "MatchingEventTypes": ["SEND"]}


def spoil_the_signing(aws):
    aws.sesv2.identities["example.com"]["DkimAttributes"]["SigningEnabled"] = False


SPOILERS = [
    spoil_the_rule,
    spoil_the_role,
    spoil_the_policy,
    spoil_the_target,
    spoil_the_address,
    spoil_the_set,
    spoil_the_destination,
    spoil_the_signing,
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_what_differs_is_mended_and_nothing_else(aws, spoil):
    run(aws)
    spoil(aws)

    tally, said, _ = run(aws)

    assert tally.created + tally.updated == 1, said
    assert run(aws)[0].kept == 11


def test_a_topics_own_policy_is_kept(aws):
    theirs = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sns:Subscribe", "Resource": TOPIC}
    policy = {"Version": "2008-10-17", "Statement": [theirs]}
    aws.sns.create_topic(Name="outreach-ses-events", Attributes={"Policy": json.dumps(policy)})

    run(aws, via=Via.SNS)

    found = json.loads(aws.sns.get_topic_attributes(TopicArn=TOPIC)["Attributes"]["Policy"])["Statement"]
    assert [one["Sid"] for one in found] == ["Theirs", "SesPublishes"]


def test_sending_that_somebody_switched_off_stays_off(aws):
    run(aws)
    aws.sesv2.sets["outreach"]["SendingOptions"] = {"SendingEnabled": False}

    tally, said, _ = run(aws)

    assert tally.waiting == 1
    assert "switched off" in said
    assert aws.sesv2.sets["outreach"]["SendingOptions"] == {"SendingEnabled": False}


def test_a_mail_from_domain_of_their_own_is_kept(aws):
    run(aws, mail_from="bounce.example.com")

    assert run(aws)[0].kept == 11
    assert aws.sesv2.identities["example.com"]["MailFromAttributes"]["MailFromDomain"] == "bounce.example.com"


def refuse(**_parameters):
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not allowed"}}, "DescribeRule")


def test_the_first_failure_ends_a_run_and_is_named(aws, monkeypatch):
    monkeypatch.setattr(aws.events, "describe_rule", refuse)

    tally, said, _ = run(aws)

    assert tally.failed == 1
    assert said.splitlines()[-1].startswith("  FAILED  EventBridge rule")
    assert "AccessDeniedException" in said


def test_a_dry_run_goes_on_after_what_it_may_not_read(aws, monkeypatch):
    monkeypatch.setattr(aws.events, "describe_rule", refuse)

    tally, said, _ = run(aws, dry_run=True)

    assert (tally.failed, tally.created) == (1, 10), said


def test_a_target_that_eventbridge_does_not_take_is_a_failure(aws, monkeypatch):
    answer = {"FailedEntryCount": 1, "FailedEntries": [{"ErrorCode": "Bad", "ErrorMessage": "role"}]}
    monkeypatch.setattr(aws.events, "put_targets", lambda **_: answer)

    tally, said, _ = run(aws)

    assert tally.failed == 1
    assert "Bad: role" in said


def test_the_delivery_policy_stays_within_an_hour():
    """numRetries: immediate ones, then backoff from least to most delay, then those at most delay (AWS: 3,600 s at most)."""
    policy = documents.DELIVERY_POLICY["healthyRetryPolicy"]
    backoff = policy["numRetries"] - policy["numMaxDelayRetries"]

    assert policy["maxDelayTarget"] * (policy["numMaxDelayRetries"] + backoff) <= 3600


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"region": ""}, "SES_REGION"),
        ({"domain": ""}, "SES_FROM"),
        ({"configuration_set": ""}, "SES_CONFIGURATION_SET"),
        ({"secret": ""}, "SES_WEBHOOK_SECRET"),
        ({"base_url": "http://mail.example.com"}, "https"),
        ({"base_url": "https://127.0.0.1:8000"}, "this machine"),
        ({"base_url": "https://localhost"}, "this machine"),
        ({"name": "with space"}, "--name"),
        ({"rate": 0}, "--rate"),
        ({"rate": 301}, "--rate"),
    ],
)
def test_what_is_missing_is_named(changes, word):
    (problem,) = wishes.problems(wish(**changes))

    assert word in problem


def test_sns_needs_no_secret():
    assert wishes.problems(wish(via=Via.SNS, secret="")) == []


def test_the_dns_records_are_the_missions():
    found = records.dkim("example.com", ["a", "b", "c"]) + records.spf("example.com")
    found += records.mail_from("mail.example.com", "us-east-1") + records.dmarc("example.com")

    assert [(record.kind, record.name) for record in found] == [
        ("CNAME", "a._domainkey.example.com"),
        ("CNAME", "b._domainkey.example.com"),
        ("CNAME", "c._domainkey.example.com"),
        ("TXT", "example.com"),
        ("MX", "mail.example.com"),
        ("TXT", "mail.example.com"),
        ("TXT", "_dmarc.example.com"),
    ]
    assert found[0].value == "a.dkim.amazonses.com"
    assert found[4].value == "10 feedback-smtp.us-east-1.amazonses.com"


def test_a_region_with_a_zone_of_its_own_has_its_keys_there():
    (record,) = records.dkim("example.com", ["a"], "dkim.eu-central-2.amazonses.com")

    assert record.value == "a.dkim.eu-central-2.amazonses.com"


def test_every_event_type_is_one_of_ses():
    assert len(set(ses_steps.EVENT_TYPES)) == 10
