"""Messages of SNS that are refused, and those that have to come again."""

import json

import pytest
from django.core.cache.backends.redis import RedisCache
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from notifications import recording
from notifications.models import EmailEvent
from outreach import reaching
from tests import events, sns_messages
from tests.notifications.sns_webhook.route import CLIENT, URL, code, post
from tests.sns_messages import TOPIC, notification, signed

pytestmark = pytest.mark.django_db

NOWHERE = RedisCache("redis://127.0.0.1:1/0", {})
REFUSED = [
    ("unsigned", {"Signature": None}, 403, "SNS_MESSAGE_UNSIGNED"),
    ("tampered", {"Message": "{}"}, 403, "SNS_SIGNATURE_WRONG"),
    ("foreign", {"TopicArn": TOPIC + "2"}, 403, "SNS_TOPIC_NOT_ALLOWED"),
    ("elsewhere", {"SigningCertURL": "https://sns.s3.amazonaws.com/x.pem"}, 403, "SNS_CERTIFICATE_URL_REFUSED"),
    ("future", {"Timestamp": "2026-11-02T12:16:00.000Z"}, 403, "SNS_TIMESTAMP_REFUSED"),
    ("unknown", {"Type": "Other"}, 400, "NOT_AN_SNS_MESSAGE"),
]


@pytest.mark.parametrize(("changes", "status", "error"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_believed_is_refused_and_leaves_nothing(changes, status, error, caplog):
    response = post(signed(notification(events.payload("bounce")["detail"])) | changes)

    assert code(response) == (status, error)
    assert not EmailEvent.objects.exists()
    assert "webhook_refused" in caplog.text
    assert "'sns'" in caplog.text


def test_a_correctly_signed_message_of_the_future_is_refused():
    assert code(post(signed(notification({}, Timestamp="2026-11-02T12:16:00.000Z")))) == (403, "SNS_TIMESTAMP_REFUSED")


def test_nothing_is_fetched_for_a_foreign_topic(host):
    post(signed(notification({}, TopicArn="arn:aws:sns:us-east-1:999999999999:theirs")))

    assert host["asked"] == []


def test_without_a_listed_topic_every_topic_is_foreign(settings):
    settings.SES_SNS_TOPIC_ARNS = []

    assert code(post(signed(notification({})))) == (403, "SNS_TOPIC_NOT_ALLOWED")


def test_the_least_version_is_a_setting(settings):
    settings.SES_SNS_LEAST_SIGNATURE_VERSION = 2

    assert code(post(signed(notification({}), version="1"))) == (403, "SNS_SIGNATURE_WRONG")
    assert post(signed(notification({}), version="2")).status_code == 200


@pytest.mark.parametrize("body", [events.payload("bounce")["detail"], events.payload("identity_bounce"), "Hello world", {}])
def test_raw_delivery_is_refused(body):
    response = post(body, **{"x-amz-sns-rawdelivery": "true"})

    assert code(response) == (403, "SNS_MESSAGE_UNSIGNED")


def test_a_bare_event_is_refused_as_raw_delivery():
    assert code(post(events.payload("bounce")["detail"])) == (403, "SNS_MESSAGE_UNSIGNED")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}", b'{"a": NaN}', b"null", b"9" * 5000])
def test_what_is_no_message_is_a_bad_request(body):
    assert code(post(body)) == (400, "NOT_AN_SNS_MESSAGE")


def test_eventbridges_envelope_is_none_of_sns():
    assert code(post(events.payload("bounce"))) == (400, "NOT_AN_SNS_MESSAGE")


@pytest.mark.parametrize("size", [1_000_000, 10_500_000])
def test_a_large_body_is_refused(size):
    assert code(post(b" " * size)) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_posts_are_answered(method):
    response = getattr(CLIENT, method)(URL)

    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("answer", [OSError("no route to host"), ValueError("too large"), b"<html>not here</html>"])
def test_without_the_certificate_the_message_comes_again(host, answer):
    host["answer"] = answer

    response = post(signed(notification(events.payload("bounce")["detail"])))

    assert code(response) == (503, "CERTIFICATE_UNAVAILABLE")
    assert response.headers["Retry-After"]
    assert not EmailEvent.objects.exists()


def test_a_certificate_of_another_kind_is_refused(host):
    host["answer"] = sns_messages.certificate(sns_messages.elliptic())

    assert code(post(signed(notification({})))) == (403, "SNS_CERTIFICATE_REFUSED")


def test_without_a_database_the_message_comes_again(monkeypatch):
    def fail(*_args, **_kwargs):
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(recording, "store", fail)

    assert code(post(signed(notification({})))) == (503, "DATABASE_UNAVAILABLE")


def test_without_redis_the_message_is_stored_and_comes_again(monkeypatch):
    monkeypatch.setattr(reaching, "redis", reaching.Look(lambda: NOWHERE.get("it")))

    assert code(post(signed(notification({})))) == (503, "REDIS_UNAVAILABLE")
    assert EmailEvent.objects.count() == 1


hostile = st.binary(max_size=200) | st.text(st.characters(codec=None), max_size=50).map(
    lambda text: json.dumps(signed(notification({})) | {"Message": text, "MessageId": text, "Subject": text}).encode()
)


@given(body=hostile)
def test_no_body_makes_the_route_fail(body):
    assert post(body).status_code in {400, 403}
