import json
import threading

import pytest
from django.db import OperationalError, connection
from django.test import Client

from campaigns import lifecycle
from campaigns.models import Campaign
from notifications.models import EmailEvent
from tests import events
from tests.factories import CampaignFactory

URL = "/api/webhooks/ses-events"
OURS = "arn:aws:ses:us-east-1:123456789012:configuration-set/outreach"
OTHER = "arn:aws:ses:us-east-1:123456789012:configuration-set/newsletter"
TENANT = "arn:aws:ses:us-east-1:123456789012:tenant/acme/tn-1"
ACCOUNT = "arn:aws:ses:us-east-1:123456789012:account"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SES_WEBHOOK_SECRETS = ["secret"]
    settings.SES_REGION, settings.SES_CONFIGURATION_SET = "us-east-1", "outreach"
    settings.SES_ACCOUNT_ID = "123456789012"


def status(name="Disabled", **changes):
    return events.payload("sending_status_disabled") | {"detail-type": f"Sending Status {name}"} | changes


def post(body):
    return Client().post(URL, json.dumps(body), "application/json", headers={"X-Webhook-Secret": "secret"})


def statuses():
    return sorted(Campaign.objects.values_list("status", flat=True))


def test_every_sending_campaign_is_paused_before_the_answer():
    CampaignFactory(sending=True), CampaignFactory(sending=True, waiting=2), CampaignFactory(), CampaignFactory(done=True)

    response = post(status())

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert statuses() == ["draft", "paused", "paused", "sent"]


def test_the_reason_says_who_paused_it_and_why():
    campaign = CampaignFactory(sending=True)

    post(status())
    campaign.refresh_from_db()

    assert campaign.pause_reason.startswith("Sending is paused: SES has switched it off for configuration-set/outreach")
    assert "because of the bounce rate" in campaign.pause_reason


def test_a_pause_of_another_reason_keeps_it():
    campaign = CampaignFactory(paused=True, pause_reason="Paused by ada.")

    post(status())
    campaign.refresh_from_db()

    assert campaign.pause_reason == "Paused by ada."


def test_a_duplicate_pauses_what_the_first_one_did_not():
    post(status())
    CampaignFactory(sending=True)

    response = post(status())

    assert response.json() == {"status": "duplicate"}
    assert statuses() == ["paused"]


def test_when_pausing_fails_the_event_comes_again(monkeypatch):
    campaign = CampaignFactory(sending=True)

    def fail(*_args, **_kwargs):
        raise OperationalError("canceling statement due to lock timeout")

    with monkeypatch.context() as context:
        context.setattr(lifecycle, "stop_campaign", fail)
        assert post(status()).status_code == 503
    post(status())
    campaign.refresh_from_db()

    assert campaign.status == "paused"


def test_sending_that_is_on_again_resumes_nothing_and_is_logged(caplog):
    CampaignFactory(paused=True)

    response = post(status("Enabled"))

    assert response.json() == {"status": "ignored"}
    assert statuses() == ["paused"]
    assert "ses_sending_enabled" in caplog.text


def test_a_late_repetition_does_not_pause_again_what_a_person_has_resumed():
    post(status(time="2026-11-01T12:00:05Z"))
    post(status("Enabled", time="2026-11-01T13:00:00Z"))
    CampaignFactory(sending=True)

    post(status(time="2026-11-01T12:00:05Z"))

    assert statuses() == ["sending"]


@pytest.mark.parametrize(
    "earlier", [{"time": "2026-11-01T11:00:00Z"}, {"time": "2026-11-01T13:00:00Z", "resources": [OTHER]}, {"time": None}]
)
def test_only_a_later_word_about_the_same_counts(earlier, time_machine):
    time_machine.move_to("2026-11-01T12:00:00Z")
    post(status("Enabled", **earlier))
    CampaignFactory(sending=True)

    post(status(time="2026-11-01T12:00:05Z"))

    assert statuses() == ["paused"]


@pytest.mark.parametrize(
    "changes",
    [
        {"resources": []},
        {"resources": None},
        {"resources": [OURS, OTHER]},
        {"resources": [ACCOUNT]},
        {"resources": [7, None]},
        {"account": None, "region": None},
        {"detail": {}},
        {"detail": {"data": "text"}},
        {"detail": {"data": {"record": {"status": "DISABLED", "cause": "nul \x00 and half \ud800"}}}},
        {"detail": {"data": {"reason": "x" * 5000}}},
        {"time": "yesterday"},
        {"time": 5},
    ],
)
def test_what_may_concern_us_pauses(changes):
    CampaignFactory(sending=True)

    assert post(status(**changes)).status_code == 200
    assert statuses() == ["paused"]


@pytest.mark.parametrize(
    "changes",
    [{"account": "999999999999"}, {"region": "eu-west-1"}, {"resources": [OTHER]}, {"resources": [TENANT]}],
)
def test_somebody_elses_sending_is_only_logged(changes, caplog):
    CampaignFactory(sending=True)

    response = post(status(**changes))

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})
    assert statuses() == ["sending"]
    assert "ses_sending_disabled" in caplog.text


@pytest.mark.parametrize("changes", [{"account": "999999999999"}, {"region": "eu-west-1"}, {"resources": [OTHER]}])
def test_what_is_not_configured_cannot_differ(settings, changes):
    settings.SES_ACCOUNT_ID = settings.SES_REGION = settings.SES_CONFIGURATION_SET = ""
    CampaignFactory(sending=True)

    post(status(**changes))

    assert statuses() == ["paused"]


def test_an_advisors_recommendation_pauses_nothing():
    CampaignFactory(sending=True)

    assert post(events.payload("advisor_recommendation")).json() == {"status": "ignored"}
    assert statuses() == ["sending"]


def test_a_call_logged_by_cloudtrail_is_counted():
    body = status(
        **{"detail-type": "AWS API Call via CloudTrail", "detail": {"eventType": "AwsApiCall", "eventName": "SendEmail"}}
    )

    assert post(body).json() == {"status": "ignored"}
    assert EmailEvent.objects.get().state == "ignored"


@pytest.mark.django_db(transaction=True)
def test_several_copies_at_the_same_time_pause_everything_and_all_are_answered():
    campaigns = [CampaignFactory(sending=True) for _ in range(3)]
    answers = []

    def send():
        answers.append(post(status()).status_code)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [200] * 4
    assert statuses() == ["paused"] * len(campaigns)
