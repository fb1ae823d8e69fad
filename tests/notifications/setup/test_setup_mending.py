"""What a run of the set-up finds otherwise than it should be, and what goes wrong in one."""

import json

import pytest
from botocore.exceptions import ClientError

from notifications.setup.wishes import Via
from tests.aws import TOPIC
from tests.notifications.setup.running import run


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
