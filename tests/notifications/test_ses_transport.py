"""What each answer of SES means. Codes: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.stub import Stubber
from moto import mock_aws

from notifications.messages import OutgoingMessage, message_tags, outreach_headers
from notifications.transports import ses_answers
from notifications.transports.base import Verdict
from notifications.transports.ses import SesTransport

MESSAGE = OutgoingMessage(
    to="ada@example.com",
    from_email="hello@example.com",
    from_name="Grüße",
    reply_to=("answers@example.com",),
    subject="Hello",
    html="<p>Hello</p>",
    text="Hello",
    headers=outreach_headers("https://mail.example.com/api/unsubscribe?token=1"),
    tags=message_tags(send_id="abc-1", campaign_id=3, kind="outreach"),
    configuration_set="outreach",
)


@pytest.fixture
def transport(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    return SesTransport("us-east-1")


def test_a_mail_goes_out_with_tags_headers_both_parts_and_configuration_set(transport):
    expected = {
        "FromEmailAddress": "=?utf-8?b?R3LDvMOfZQ==?= <hello@example.com>",
        "Destination": {"ToAddresses": ["ada@example.com"]},
        "ReplyToAddresses": ["answers@example.com"],
        "Content": {
            "Simple": {
                "Subject": {"Data": "Hello", "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": "Hello", "Charset": "UTF-8"},
                    "Html": {"Data": "<p>Hello</p>", "Charset": "UTF-8"},
                },
                "Headers": [
                    {"Name": "List-Unsubscribe", "Value": "<https://mail.example.com/api/unsubscribe?token=1>"},
                    {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
                ],
            }
        },
        "EmailTags": [
            {"Name": "send_id", "Value": "abc-1"},
            {"Name": "campaign_id", "Value": "3"},
            {"Name": "kind", "Value": "outreach"},
        ],
        "ConfigurationSetName": "outreach",
    }
    with Stubber(transport._client) as stub:
        stub.add_response("send_email", {"MessageId": "0102-x"}, expected)

        outcome = transport.send(MESSAGE)

    assert (outcome.verdict, outcome.message_id) == (Verdict.ACCEPTED, "0102-x")


@mock_aws
def test_moto_accepts_the_request_as_ses_would(transport):
    boto3.client("sesv2", region_name="us-east-1").create_email_identity(EmailIdentity="hello@example.com")

    assert SesTransport("us-east-1").send(MESSAGE).verdict is Verdict.ACCEPTED


def test_no_call_is_ever_repeated_by_the_client(transport, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")

    assert SesTransport("us-east-1")._client.meta.config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize(
    ("code", "status", "text", "verdict"),
    [
        ("TooManyRequestsException", 429, "Too many requests", Verdict.WAIT),
        ("ThrottlingException", 400, "Maximum sending rate exceeded.", Verdict.WAIT),
        ("Throttling", 400, "Daily message quota exceeded.", Verdict.HALT),  # a pause of hours, not of a second
        ("LimitExceededException", 400, "Daily message quota exceeded", Verdict.HALT),
        ("SendingPausedException", 400, "paused", Verdict.HALT),
        ("AccountSuspendedException", 400, "suspended", Verdict.HALT),
        ("MailFromDomainNotVerifiedException", 400, "not verified", Verdict.HALT),
        ("NotFoundException", 404, "Configuration set <x> does not exist.", Verdict.HALT),
        ("AccessDeniedException", 403, "not authorized", Verdict.HALT),
        ("ExpiredTokenException", 403, "expired", Verdict.HALT),
        ("SomethingNewException", 403, "forbidden", Verdict.HALT),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed", Verdict.HALT),
        ("MessageRejected", 400, "Invalid content", Verdict.REFUSED),
        ("BadRequestException", 400, "bad", Verdict.REFUSED),
        ("SomethingNewException", 400, "no idea", Verdict.REFUSED),
        ("InternalServiceErrorException", 500, "oops", Verdict.UNKNOWN),  # may have been taken before it failed
        ("ServiceUnavailable", 503, "busy", Verdict.UNKNOWN),
        ("", 502, "", Verdict.UNKNOWN),
    ],
)
def test_an_error_answer_is_judged(code, status, text, verdict):
    error = ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}, "SendEmail")

    assert ses_answers.judge(error).verdict is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (EndpointConnectionError(endpoint_url="https://email"), Verdict.WAIT),  # no byte left
        (ConnectTimeoutError(endpoint_url="https://email"), Verdict.WAIT),
        (ReadTimeoutError(endpoint_url="https://email"), Verdict.UNKNOWN),  # all bytes left
        (ConnectionClosedError(endpoint_url="https://email"), Verdict.UNKNOWN),
        (ConnectionResetError(), Verdict.UNKNOWN),
        (ValueError("a bug"), Verdict.UNKNOWN),
        (NoCredentialsError(), Verdict.HALT),
    ],
)
def test_a_call_without_an_answer_is_judged(error, verdict):
    assert ses_answers.judge_failure(error).verdict is verdict
