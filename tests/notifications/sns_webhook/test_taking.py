"""Messages of SNS that are taken: once, as they came, whatever they hold."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from notifications import recording
from notifications.models import EmailEvent
from tests import events, sns_messages
from tests.notifications.sns_webhook.route import CLIENT, URL, code, post
from tests.sns_messages import SENT, notification, signed

pytestmark = pytest.mark.django_db


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
