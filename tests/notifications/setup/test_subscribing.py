import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from notifications import tasks
from notifications.setup import subscribing
from tests.sns_messages import TOPIC

TOKEN = "2336412f37secret"
SUBSCRIPTION = f"{TOPIC}:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55"


@pytest.fixture
def client():
    return boto3.client("sns", region_name="us-east-1", aws_access_key_id="made", aws_secret_access_key="up")


def test_a_subscription_is_confirmed_so_that_ending_it_needs_credentials(client):
    wanted = {"TopicArn": TOPIC, "Token": TOKEN, "AuthenticateOnUnsubscribe": "true"}
    with Stubber(client) as stub:
        stub.add_response("confirm_subscription", {"SubscriptionArn": SUBSCRIPTION}, wanted)

        assert subscribing.confirm(TOPIC, TOKEN, client=client) == SUBSCRIPTION


@pytest.mark.parametrize("error", ["AuthorizationError", "InvalidParameter", "NotFound"])
def test_a_failure_says_what_to_do_and_never_the_token(client, caplog, error):
    with Stubber(client) as stub:
        stub.add_client_error("confirm_subscription", error, f"Invalid token: {TOKEN}", 400)

        assert subscribing.confirm(TOPIC, TOKEN, client=client) == ""

    assert error in caplog.text
    assert "ses_setup --via sns" in caplog.text
    assert TOKEN not in caplog.text


def test_without_credentials_the_task_logs_and_does_not_raise(caplog):
    tasks.confirm_subscription(TOPIC, TOKEN)

    assert "NoCredentialsError" in caplog.text
    assert TOKEN not in caplog.text


def test_a_host_out_of_reach_is_logged(client, caplog, monkeypatch):
    def fail(**_kwargs):
        raise EndpointConnectionError(endpoint_url="https://sns.us-east-1.amazonaws.com/")

    monkeypatch.setattr(client, "confirm_subscription", fail)

    assert subscribing.confirm(TOPIC, TOKEN, client=client) == ""
    assert "EndpointConnectionError" in caplog.text


def test_the_endpoint_of_the_environment_is_called(monkeypatch):
    """With retries off an unreachable endpoint is enough to see where the call goes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "up")

    assert subscribing.client_for(TOPIC).meta.endpoint_url == "http://127.0.0.1:9"
