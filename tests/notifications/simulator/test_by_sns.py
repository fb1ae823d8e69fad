"""The product takes what the simulator's topic posts, over HTTP: signature, certificate and inbox included."""

import pytest

from notifications import recording
from notifications.models import EmailEvent
from tests.simulator import Simulator, mail

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["1", "2"])
def simulator(request, live_server, settings, monkeypatch):
    monkeypatch.setattr("notifications.waking.apply_events_soon", lambda: None)
    url = f"{live_server.url}/v1/notifications/ses-events"
    flags = ["--sns-topic-arn", TOPIC, "--sns-signature-version", request.param, "--speed", "50"]
    simulator = Simulator("--sns", url, *flags, "--sns-certificate-base", "https://sns.eu-west-1.amazonaws.com")
    settings.SES_SNS_TOPIC_ARNS, settings.SNS_ENDPOINT_URL = [TOPIC], simulator.url
    yield simulator
    simulator.close()


def test_events_that_sns_posts_are_verified_and_stored(simulator, now):
    message_id = simulator.client().send_email(**mail())["MessageId"]

    simulator.wait_for(lambda: EmailEvent.objects.filter(event_type="Delivery").exists())

    assert set(EmailEvent.objects.values_list("route", "message_id")) == {("sns", message_id)}
    assert recording.apply_events(now=now) >= 1
