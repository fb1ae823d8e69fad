"""The doctor's examination as a whole, and what it says of credentials, mode and account."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from notifications.setup import doctor
from notifications.setup.doctor import Mark
from tests import aws as stand_ins
from tests.aws import ACCOUNT
from tests.notifications.setup.doctor.lines import the

pytestmark = pytest.mark.django_db


def test_of_a_healthy_site_all_is_well(examine, received):
    received("eventbridge"), received("sns")

    lines = examine()

    assert [line for line in lines if line.mark is not Mark.OK] == []
    assert len(lines) >= 18


def test_whatever_is_not_well_has_a_fix(examine, aws, zone):
    aws.sesv2.identities.clear(), aws.sesv2.sets.clear(), zone.zone.clear()
    aws.sesv2.account = {"SendingEnabled": False, "SendQuota": {"Max24HourSend": 1.0, "SentLast24Hours": 1.0, "MaxSendRate": 1.0}}

    lines = examine(mode="log", post=lambda *_: (0, "refused"))

    bad = [line for line in lines if line.mark is not Mark.OK]
    assert len(bad) > 9
    assert all(line.fix for line in bad)
    assert doctor.worst(lines) is Mark.FAIL


def refusing(code):
    def call(**_parameters):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")

    return call


def test_one_call_that_fails_hides_nothing_else(examine, aws, monkeypatch):
    whole = {line.subject for line in examine()}

    monkeypatch.setattr(aws.sts, "get_caller_identity", refusing("ExpiredToken"))
    aws.sesv2.get_account = refusing("InternalFailure")
    lines = examine()

    assert the(lines, "credentials").mark is the(lines, "account").mark is Mark.FAIL
    assert {line.subject for line in lines} >= whole - {"sandbox", "quota", "rate"}


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AuthorizationError"])
def test_what_may_not_be_read_is_a_warning_that_names_the_call(examine, aws, code):
    aws.sesv2.get_account = refusing(code)

    line = the(examine(), "account")

    assert (line.mark, "Operation" in line.words) == (Mark.WARN, True)
    assert "docs/operations.md" in line.fix


def test_an_aws_that_does_not_answer_is_said_in_every_line_that_needs_it(examine, aws, monkeypatch):
    def away(*_self, **_parameters):
        raise EndpointConnectionError(endpoint_url="https://email.us-east-1.amazonaws.com")

    monkeypatch.setattr(stand_ins.Ses, "_get_email_identity", away)

    lines = examine()

    assert the(lines, "identity").mark is Mark.FAIL
    assert the(lines, "EventBridge").mark is the(lines, "SPF").mark is Mark.OK
    assert "p=quarantine; whether DKIM or SPF aligns is not known" in the(lines, "DMARC").words


def test_credentials_of_another_account_are_found(examine):
    line = the(examine(account_id="999999999999"), "credentials")

    assert line.mark is Mark.FAIL
    assert ACCOUNT in line.words


def test_in_log_mode_nothing_leaves(examine):
    assert the(examine(mode="log"), "mode").mark is Mark.WARN


@pytest.mark.parametrize(
    ("changes", "subject", "mark"),
    [
        ({"ProductionAccessEnabled": False}, "sandbox", Mark.FAIL),
        ({"SendingEnabled": False}, "account", Mark.FAIL),
        ({"EnforcementStatus": "SHUTDOWN"}, "account", Mark.FAIL),
        ({"EnforcementStatus": "PROBATION"}, "account", Mark.WARN),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 200.0, "MaxSendRate": 14.0}}, "quota", Mark.FAIL),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 160.0, "MaxSendRate": 14.0}}, "quota", Mark.WARN),
        ({"SendQuota": {"Max24HourSend": -1.0, "SentLast24Hours": 9e9, "MaxSendRate": 14.0}}, "quota", Mark.OK),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 0.0, "MaxSendRate": 1.0}}, "rate", Mark.WARN),
    ],
)
def test_the_account_is_judged(examine, aws, changes, subject, mark):
    aws.sesv2.account |= changes

    assert the(examine(), subject).mark is mark
