"""How a mail is handed to SES. https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from notifications import transports
from notifications.messages import OutgoingMessage, message_tags, outreach_headers
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


def no_profile(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "missing")


def no_scheme(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "ses.example.com:4579")


def broken_file(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default\nregion")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [(no_profile, "No credentials"), (no_scheme, "AWS_ENDPOINT_URL"), (broken_file, "configuration files")],
)
def test_a_client_that_cannot_be_built_halts_until_it_can(monkeypatch, tmp_path, spoil, words, count):
    with monkeypatch.context() as patch:
        spoil(patch, tmp_path)
        transport = SesTransport("us-east-1")
        outcomes = transport.send_many([MESSAGE] * count)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.HALT] * count
    assert words in outcomes[0].error
    assert transport._client.meta.region_name == "us-east-1"


def test_many_threads_share_a_client_that_was_built_before_they_called(transport):
    with ThreadPoolExecutor(16) as pool:
        clients = set(pool.map(lambda _: id(transport._client), range(64)))

    assert len(clients) == 1


def test_a_process_that_was_forked_has_a_client_of_its_own(settings, monkeypatch):
    settings.EMAIL_MODE, settings.SES_REGION = "ses", "us-east-1"
    before = transports.configured()

    monkeypatch.setattr("os.getpid", lambda: -1)

    assert transports.configured() is transports.configured() is not before
