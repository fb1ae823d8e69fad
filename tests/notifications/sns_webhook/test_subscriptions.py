"""The beginning and the end of a subscription, and what no log may hold of them."""

import pytest
from celery import current_app

from notifications.models import EmailEvent
from tests import events, sns_messages
from tests.notifications.sns_webhook.route import code, post
from tests.sns_messages import TOPIC, confirmation, notification, signed

pytestmark = pytest.mark.django_db


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
