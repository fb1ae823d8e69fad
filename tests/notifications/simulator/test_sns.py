"""Signed SNS envelopes, verified here from AWS' description and not by the simulator's own code.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import json
import urllib.request

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.notifications.simulator.webhook import Webhook
from tests.simulator import mail

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses"
DIGESTS = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 (SNS' own version 1)


@pytest.fixture(scope="module", params=["1", "2"])
def topic(request, start):
    """A simulator with a topic, its webhook, and the version of its signatures."""
    webhook = Webhook()
    flags = ["--sns", webhook.url, "--sns-topic-arn", TOPIC, "--sns-signature-version", request.param, "--speed", "50"]
    yield start(*flags), webhook, request.param
    webhook.close()


def posted(simulator, webhook, kind):
    """The headers and the envelope of the first post of this kind."""
    found = simulator.wait_for(lambda: [post for post in webhook.posts if json.loads(post[1])["Type"] == kind])
    return found[0][0], json.loads(found[0][1])


def verify(envelope, keys):
    """Raises InvalidSignature unless these keys, in this order, were signed by the certificate's key."""
    with urllib.request.urlopen(envelope["SigningCertURL"], timeout=30) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    signed = "".join(f"{key}\n{envelope[key]}\n" for key in keys).encode()
    key = certificate.public_key()
    key.verify(base64.b64decode(envelope["Signature"]), signed, padding.PKCS1v15(), DIGESTS[envelope["SignatureVersion"]])


def test_a_notification_is_signed_as_sns_signs(topic):
    simulator, webhook, version = topic
    message_id = simulator.client().send_email(**mail())["MessageId"]

    headers, envelope = posted(simulator, webhook, "Notification")

    keys = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    verify(envelope, keys)
    assert (envelope["SignatureVersion"], envelope["TopicArn"]) == (version, TOPIC)
    assert envelope["Message"].endswith("}\n")
    assert json.loads(envelope["Message"])["mail"]["messageId"] == message_id
    assert headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert headers["x-amz-sns-subscription-arn"].startswith(TOPIC)
    for key in keys:
        with pytest.raises(InvalidSignature):
            verify(envelope | {key: envelope[key] + "x"}, keys)


@pytest.mark.parametrize(
    ("route", "kind"), [("subscribe", "SubscriptionConfirmation"), ("unsubscribe", "UnsubscribeConfirmation")]
)
def test_confirmations_are_signed_with_token_and_link(topic, route, kind):
    simulator, webhook, _version = topic
    _status, answer = simulator.ask("POST", f"/sns/{route}")

    headers, envelope = posted(simulator, webhook, kind)

    verify(envelope, ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"))
    assert envelope["Token"] == answer["token"]
    assert envelope["SubscribeURL"].startswith("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")
    assert headers["x-amz-sns-message-type"] == kind
    assert ("x-amz-sns-subscription-arn" in headers) == (kind == "UnsubscribeConfirmation")


def test_the_certificate_can_lie_where_sns_has_its_own(start):
    webhook = Webhook()
    simulator = start("--sns", webhook.url, "--sns-certificate-base", "https://sns.us-east-1.amazonaws.com", "--speed", "50")
    simulator.client().send_email(**mail())

    _headers, envelope = posted(simulator, webhook, "Notification")

    described = simulator.ask("GET", "/sns/certificate")[1]
    assert envelope["SigningCertURL"] == described["url"]
    assert described["url"].startswith("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-")
    assert x509.load_pem_x509_certificate(described["pem"].encode()).subject.rfc4514_string() == "CN=sns.amazonaws.com"
    webhook.close()


def test_both_routes_tell_the_same_news(start):
    bridge, topic = Webhook(), Webhook()
    flags = ["--eventbridge", bridge.url, "--webhook-secret", "s", "--sns", topic.url, "--speed", "50"]
    simulator = start(*flags)

    simulator.client().send_email(**mail(Destination={"ToAddresses": ["bounce@simulator.amazonses.com"]}))
    simulator.wait_for(lambda: len(bridge.kinds()) == len(topic.kinds()) == 2)

    by_kind = [{event["eventType"]: event for event in webhook.events()} for webhook in (bridge, topic)]
    # Also the feedback id: whoever takes the same event twice must be able to tell.
    assert by_kind[0] == by_kind[1]
    bridge.close()
    topic.close()


def test_without_a_topic_there_is_none_to_subscribe(simulator):
    assert simulator.ask("POST", "/sns/subscribe")[0] == 404
