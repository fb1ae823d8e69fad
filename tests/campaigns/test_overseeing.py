from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import enrolling, lifecycle, overseeing
from campaigns.models import EmailSend
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db


def test_progress_counts_what_is_sent_and_what_is_settled(now):
    campaign = CampaignFactory(sending=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)
    EmailSendFactory(campaign=campaign, accepted=True, bounced_at=now)
    EmailSendFactory(campaign=campaign, skipped_at=now, skip_reason="bounced")

    assert overseeing.progress([campaign.pk]) == {campaign.pk: overseeing.Progress(planned=5, sent=2, settled=3)}


def test_the_progress_of_many_campaigns_is_one_query():
    campaigns = [CampaignFactory(waiting=1) for _ in range(3)]

    with CaptureQueriesContext(
        connection,
    ) as queries:
        overseeing.progress([campaign.pk for campaign in campaigns])

    assert len(queries) == 1


def test_the_pace_is_that_of_the_last_minute(now):
    campaign = CampaignFactory(sending=True)
    for second in range(11):
        EmailSendFactory(campaign=campaign, call_started_at=now - timedelta(seconds=10 - second))
    EmailSendFactory(campaign=campaign, call_started_at=now - timedelta(hours=1))

    assert overseeing.pace(campaign.pk, now=now) == pytest.approx(1.0)


def test_calls_under_way_make_no_pace(now):
    campaign = CampaignFactory(sending=True)
    lease = {"claimed_by": uuid4(), "lease_until": now + timedelta(seconds=20)}
    for _ in range(3):
        EmailSendFactory(campaign=campaign, call_started_at=now - timedelta(seconds=3), **lease)

    assert overseeing.pace(campaign.pk, now=now) == 0


def test_a_campaign_that_stands_still_has_no_pace(now):
    campaign = CampaignFactory(sending=True, waiting=3)
    EmailSendFactory(campaign=campaign, call_started_at=now - timedelta(minutes=5))

    assert overseeing.pace(campaign.pk, now=now) == 0


@pytest.mark.parametrize(
    "audience",
    [
        {},
        {"include_tags": ["vip"]},
        {"include_tags": ["vip", "berlin"], "exclude_tags": ["trial"]},
        {"exclude_tags": ["trial", "berlin"]},
    ],
)
def test_the_forecast_is_what_enrolling_then_does(audience, now):
    for tags in ([], ["vip"], ["berlin"], ["vip", "trial"], ["trial"]):
        ProspectFactory(tags=tags)
        ProspectFactory(tags=tags, unsubscribed_at=now)
    campaign = CampaignFactory(audience=audience)
    expected = overseeing.reach(campaign).people

    enrolling.enrol_batch(campaign.pk)

    assert EmailSend.objects.filter(campaign=campaign).count() == expected > 0
    assert overseeing.reach(campaign).people == 0


def test_the_forecast_counts_neither_a_person_nor_an_address_twice():
    campaign = CampaignFactory(waiting=2)
    EmailSendFactory(campaign=campaign, prospect=None, email="again@example.com")
    ProspectFactory(email="again@example.com")  # deleted and imported again
    ProspectFactory()

    assert overseeing.reach(campaign).people == 1


def test_the_forecast_names_those_on_the_suppression_list():
    SuppressionFactory(email=ProspectFactory().email)
    ProspectFactory()

    assert overseeing.reach(CampaignFactory()) == overseeing.Reach(people=2, suppressed=1)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("Paused by anna.", "nobody gets it twice"),
        ("The daily sending quota of SES is used up.", "24 hours"),
        ("The AWS credentials have expired. (ExpiredToken: x)", "credentials"),
        ("SES does not accept this sender, or the account is in the sandbox. (x)", "production access"),
        ("Sending is paused for this account or configuration set in SES: look there. (x)", "switch sending on again"),
        ("The AWS credentials are not valid, or this machine's clock is wrong. (x)", "clock"),
        ("The configuration set names a dedicated IP pool that SES does not know. (x)", "pool"),
        ("This is not an endpoint of SES: check SES_REGION. (x)", "SES_REGION"),
        ("6.0% of the last 500 mails have bounced: AWS reviews accounts at 5 %.", "Suppress or delete"),
        ("0.20% of the last 500 people reported the mail as spam.", "Suppress or delete"),
        ("Something new.", "ses_doctor"),
    ],
)
def test_every_pause_comes_with_what_to_do(reason, hint):
    assert hint in overseeing.advice(reason)


def test_whom_somebody_suppresses_or_deletes_during_a_pause_is_spared_as_the_advice_says(now, published, run_all, transport):
    kept, gone, listed = ProspectFactory(), ProspectFactory(), ProspectFactory()
    campaign = CampaignFactory()
    lifecycle.start_campaign(campaign, by="ada", now=now)
    lifecycle.pause_campaign(campaign, by="safeguard", reason="6.0% of the last 500 mails have bounced.")
    SuppressionFactory(email=listed.email)
    gone.delete()

    lifecycle.start_campaign(campaign, by="ada", now=now)
    run_all(campaign)

    assert [message.to for message in transport.sent] == [kept.email]
