import json
import threading
from datetime import timedelta

import pytest
from celery import current_app
from django.db import OperationalError, connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from notifications import certificates, recording, waking
from notifications.models import EmailEvent
from tests import events, sns_messages
from tests.sns_messages import SENT, TOPIC, confirmation, notification, signed

URL = "/v1/notifications/ses-events"
CLIENT = Client()
pytestmark = pytest.mark.django_db


@pytest.fixture
def host():
    """What the certificate host answers: a PEM file, or an error."""
    return {"answer": sns_messages.certificate(), "asked": []}


@pytest.fixture(autouse=True)
def _site(settings, monkeypatch, time_machine, host):
    def download(url):
        host["asked"].append(url)
        if isinstance(host["answer"], Exception):
            raise host["answer"]
        return host["answer"]

    time_machine.move_to(SENT + timedelta(seconds=1))
    settings.SES_SNS_TOPIC_ARNS = [TOPIC]
    monkeypatch.setattr(certificates, "kept", certificates.Certificates(download))
    monkeypatch.setattr(waking, "apply_events_soon", lambda: None)


@pytest.fixture(autouse=True)
def published(monkeypatch):
    calls = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: calls.append((name, options)))
    return calls


def post(message, content_type="text/plain; charset=UTF-8", **headers):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return CLIENT.generic("POST", URL, body, content_type=content_type, headers=headers)


def code(response):
    (error,) = response.json()["errors"]
    return response.status_code, error["code"]


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("content_type", ["text/plain; charset=UTF-8", "application/json", "application/octet-stream"])
def test_a_signed_event_is_stored_as_it_came(version, content_type):
    body = json.dumps(signed(notification(events.payload("bounce")["detail"]), version=version), indent=3).encode()

    response = post(body, content_type)

    row = EmailEvent.objects.get()
    assert (response.status_code, response.json()) == (200, {"status": "stored"})
    assert (bytes(row.body), row.state, row.event_type, row.route) == (body, "pending", "Bounce", "sns")
    assert row.send_id == "0123456789ab-42"


def test_a_path_with_a_slash_answers_too():
    response = CLIENT.post(f"{URL}/", json.dumps(signed(notification({}))), content_type="text/plain")

    assert response.status_code == 200


def test_no_csrf_token_is_asked_for():
    strict = Client(enforce_csrf_checks=True)

    assert strict.post(URL, json.dumps(signed(notification({}))), content_type="text/plain").status_code == 200


@pytest.mark.parametrize("path", sns_messages.GENUINE, ids=lambda path: path.stem)
def test_the_genuine_messages_are_taken_and_counted(path, settings, host):
    message, settings.SES_SNS_TOPIC_ARNS = sns_messages.genuine(path)[0], [sns_messages.genuine(path)[1]]
    host["answer"] = sns_messages.genuine_certificate()

    response = post(path.read_bytes())

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert EmailEvent.objects.get().state == "ignored"
    assert message.text("Message") == "Hello world"


def test_an_identitys_notification_is_stored():
    post(signed(notification(events.payload("identity_bounce"))))

    assert EmailEvent.objects.get().event_type == "Bounce"


def test_the_same_event_by_both_routes_is_one(settings):
    settings.SES_WEBHOOK_SECRETS = ["secret"]
    post(signed(notification(events.payload("bounce")["detail"])))

    response = CLIENT.post(
        "/api/webhooks/ses-events", events.payload("bounce"), "application/json", headers={"X-Webhook-Secret": "secret"}
    )

    assert response.json() == {"status": "duplicate"}
    assert EmailEvent.objects.count() == 1


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=1)])
def test_a_replayed_message_has_no_second_effect(time_machine, age):
    message = signed(notification(events.payload("click")["detail"]))
    post(message)

    time_machine.move_to(SENT + age)

    assert post(message | {"MessageId": message["MessageId"]}).json() == {"status": "duplicate"}
    assert EmailEvent.objects.count() == 1


def test_a_stored_event_can_be_read_again():
    post(signed(notification(events.payload("bounce")["detail"])))

    recording.apply_events(now=SENT)

    assert EmailEvent.objects.get().state == "parked"


@pytest.mark.parametrize(
    "message",
    ["Successfully validated SNS topic for Amazon SES event publishing.", {"notificationType": "AmazonSnsSubscriptionSucceeded"}],
)
def test_greetings_are_counted_and_have_no_effect(message):
    response = post(signed(notification(message)))

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert EmailEvent.objects.get().state == "ignored"


def test_a_message_of_a_quarter_megabyte_is_taken():
    event = events.envelope("bounce", diagnosticCode="x" * 250_000)["detail"]

    assert post(signed(notification(event))).json() == {"status": "stored"}


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


def test_a_subscription_is_confirmed_by_a_task_and_nothing_is_visited(published, host):
    response = post(signed(confirmation()))

    assert (response.status_code, response.json()) == (200, {"status": "confirming"})
    ((name, options),) = published
    assert (name, options["args"]) == ("notifications.tasks.confirm_subscription", (TOPIC, "2336412f37secret"))
    assert host["asked"] == [sns_messages.CERTIFICATE_URL]
    assert not EmailEvent.objects.exists()


def test_workers_do_not_log_the_token(published):
    post(signed(confirmation()))

    assert published[0][1]["argsrepr"] == "***"


def test_a_foreign_subscription_is_not_confirmed(published):
    response = post(signed(confirmation(TopicArn="arn:aws:sns:us-east-1:999999999999:theirs")))

    assert response.status_code == 403
    assert published == []


def test_a_forged_subscription_is_not_confirmed(published):
    assert post(signed(confirmation()) | {"Token": "theirs"}).status_code == 403
    assert published == []


def test_without_a_broker_the_confirmation_comes_again(monkeypatch):
    def fail(*_args, **_kwargs):
        raise ConnectionError("Redis is away")

    monkeypatch.setattr(current_app, "send_task", fail)

    assert code(post(signed(confirmation()))) == (503, "BROKER_UNAVAILABLE")


def test_the_end_of_a_subscription_is_only_warned_about(published, caplog):
    response = post(signed(confirmation("UnsubscribeConfirmation")))

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert any("sns_unsubscribed" in record.getMessage() and record.levelname == "WARNING" for record in caplog.records)
    assert published == []


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_token_is_never_logged(kind, caplog):
    post(signed(confirmation(kind)))
    post(signed(confirmation(kind)) | {"Message": "tampered"})

    assert caplog.records
    assert "2336412f37secret" not in caplog.text


def test_an_address_that_unsubscribes_is_never_logged(caplog):
    post(
        signed(notification(events.payload("bounce")["detail"])) | {"UnsubscribeURL": "https://sns/?Action=Unsubscribe&x=hidden"}
    )

    assert "hidden" not in caplog.text


hostile = st.binary(max_size=200) | st.text(st.characters(codec=None), max_size=50).map(
    lambda text: json.dumps(signed(notification({})) | {"Message": text, "MessageId": text, "Subject": text}).encode()
)


@given(body=hostile)
def test_no_body_makes_the_route_fail(body):
    assert post(body).status_code in {400, 403}


odd = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(value=odd, key=st.sampled_from(["mail", "bounce", "eventType", "notificationType"]))
def test_whatever_aws_signs_is_taken(value, key):
    event = events.payload("bounce")["detail"] | {key: value}

    assert post(signed(notification(event))).status_code == 200


@pytest.mark.parametrize("text", ['"\\u0000"', '"\\ud800"', "9" * 5000, "1e999999", "[" * 400 + "]" * 400, "[" * 100_000])
def test_odd_json_inside_a_message_is_stored(text):
    event = json.dumps(events.payload("bounce")["detail"]).replace('"General"', text)

    assert post(signed(notification(event))).status_code == 200
    assert EmailEvent.objects.count() == 1


def test_of_equal_keys_the_last_counts_for_the_signature_and_for_the_event():
    body = json.dumps(signed(notification(events.payload("open")["detail"])))
    other = json.dumps(json.dumps(events.payload("complaint")["detail"]))

    first, last = body.replace("{", f'{{"Message": {other}, ', 1), body[:-1] + f', "Message": {other}}}'

    assert post(first.encode()).json() == {"status": "stored"}
    assert EmailEvent.objects.get().event_type == "Open"
    assert code(post(last.encode())) == (403, "SNS_SIGNATURE_WRONG")


@pytest.mark.django_db(transaction=True)
def test_the_same_message_many_times_at_once_is_stored_once():
    body, answers = json.dumps(signed(notification(events.payload("click")["detail"]))), []

    def send():
        for _ in range(5):
            answers.append(Client().post(URL, body, content_type="text/plain").json()["status"])
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == ["duplicate"] * 39 + ["stored"]
