"""When a campaign pauses itself, and when it must not."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle, overseeing, safeguards
from campaigns.models import Campaign, CampaignStatus, EmailSend
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(now):
    return CampaignFactory(sending=True, sending_since=now - timedelta(hours=1))


def refused(campaign, now, count, error="MessageRejected: Invalid content", *, ago=30.0):
    return [
        EmailSendFactory(
            campaign=campaign,
            call_started_at=now - timedelta(seconds=ago - 0.1 * n),
            failed_at=now - timedelta(seconds=ago - 0.1 * n),
            error=error.format(n),
        )
        for n in range(count)
    ]


def accepted(campaign, at, count=1, **facts):
    return [EmailSendFactory(campaign=campaign, call_started_at=at, sent_at=at, **facts) for _ in range(count)]


def danger(campaign, now):
    return safeguards.find_danger(campaign.pk, now=now)


def test_a_campaign_in_which_all_is_well_is_in_no_danger(campaign, now):
    accepted(campaign, now, 5)

    assert danger(campaign, now) == ""


def test_twenty_times_the_same_error_is_a_danger_that_names_it(campaign, now):
    refused(campaign, now, 20)

    assert "The last 20 mails failed with the same error: MessageRejected: Invalid content" in danger(campaign, now)


def test_nineteen_times_the_same_error_is_none(campaign, now):
    refused(campaign, now, 19)

    assert danger(campaign, now) == ""


@pytest.mark.parametrize(
    "error",
    [
        "BadRequestException: Illegal address person{}@example.com",
        "MessageRejected: request 7f3c{}a9e0-1b2c-4d5e-8f90-aabbccddeeff refused",
        "html: text and HTML together take 2800{} bytes",
    ],
)
def test_an_error_is_the_same_whomever_it_names(campaign, now, error):
    refused(campaign, now, 20, error)

    assert danger(campaign, now)


def test_different_errors_are_no_run(campaign, now):
    refused(campaign, now, 10)
    refused(campaign, now, 10, "BadRequestException: Illegal address")

    assert danger(campaign, now) == ""


def test_a_mail_that_was_accepted_in_between_ends_the_run(campaign, now):
    refused(campaign, now, 20)
    accepted(campaign, now - timedelta(seconds=29))

    assert danger(campaign, now) == ""


def test_a_mail_that_was_accepted_before_does_not(campaign, now):
    accepted(campaign, now - timedelta(seconds=31))
    refused(campaign, now, 20)

    assert danger(campaign, now)


def test_another_campaigns_mails_neither_make_a_run_nor_end_one(campaign, now):
    other = CampaignFactory(sending=True, sending_since=now - timedelta(hours=1))
    refused(campaign, now, 20)
    accepted(other, now, 3)

    assert (danger(campaign, now) != "", danger(other, now)) == (True, "")


def test_what_a_person_gave_up_is_no_error_of_the_campaign(campaign, now):
    for send in refused(campaign, now, 20, "Given up by ada: no"):
        EmailSend.objects.filter(pk=send.pk).update(unknown_at=now - timedelta(minutes=5))

    assert danger(campaign, now) == ""


def test_whoever_resumes_a_campaign_gets_a_new_run(campaign, now, published):
    refused(campaign, now, 20)
    lifecycle.pause_campaign(campaign, by="safeguard", reason=danger(campaign, now))

    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert danger(campaign, now) == ""


def test_sending_again_while_it_sends_starts_no_new_run(campaign, now, published):
    refused(campaign, now, 20)

    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert danger(campaign, now)


@pytest.fixture
def from_ten(settings):
    settings.CAMPAIGN_PAUSE_RATES_FROM = 10


@pytest.mark.usefixtures("from_ten")
def test_too_many_bounces_are_a_danger(campaign, now):
    accepted(campaign, now, 37)
    accepted(campaign, now, 3, bounced_at=now)

    assert "7.5% of the last 40 mails have bounced" in danger(campaign, now)


@pytest.mark.usefixtures("from_ten")
def test_one_bounce_in_twenty_is_tolerated(campaign, now):
    accepted(campaign, now, 57)
    accepted(campaign, now, 3, bounced_at=now)

    assert danger(campaign, now) == ""


def test_a_rate_says_nothing_about_few_mails(campaign, now):
    accepted(campaign, now, 30, bounced_at=now)

    assert danger(campaign, now) == ""


@pytest.mark.usefixtures("from_ten")
@pytest.mark.parametrize(
    "harmless",
    [
        {"error": "Bounce Permanent OnAccountSuppressionList"},
        {"error": "Amazon SES did not send the message … because it is on the suppression list for your account."},
    ],
)
def test_bounces_that_aws_does_not_count_do_not_count(campaign, now, harmless):
    accepted(campaign, now, 30)
    accepted(campaign, now, 10, bounced_at=now, **harmless)

    assert danger(campaign, now) == ""


@pytest.mark.usefixtures("from_ten")
def test_mail_to_the_simulator_does_not_count(campaign, now):
    accepted(campaign, now, 10)
    for n in range(5):
        accepted(campaign, now, bounced_at=now, email=f"bounce+{n}@simulator.amazonses.com")

    assert danger(campaign, now) == ""


@pytest.mark.usefixtures("from_ten")
def test_too_many_complaints_are_a_danger(campaign, now):
    accepted(campaign, now, 17)
    accepted(campaign, now, 3, complained_at=now)

    assert "15.00% of the last 20 people reported the mail as spam" in danger(campaign, now)


@pytest.mark.usefixtures("from_ten")
def test_bounces_of_mails_before_the_resumption_do_not_count(campaign, now):
    accepted(campaign, now - timedelta(hours=2), 40, bounced_at=now)
    accepted(campaign, now, 20)

    assert danger(campaign, now) == ""


@pytest.mark.usefixtures("from_ten")
@pytest.mark.parametrize(("lately", "dangerous"), [(600, False), (100, True)])
def test_of_a_large_campaign_the_latest_part_is_judged(campaign, now, monkeypatch, lately, dangerous):
    monkeypatch.setattr(safeguards, "_MOST_MAILS", 1000)  # the latest 50 bounces

    def rows(count, ago, name, **facts):
        at = now - timedelta(seconds=ago)
        EmailSend.objects.bulk_create(
            EmailSend(campaign=campaign, email=f"{name}{n}@example.com", call_started_at=at, sent_at=at, **facts)
            for n in range(count)
        )

    rows(2000, 1000, "good")
    rows(1, 1000, "late", bounced_at=now)
    rows(lately, 100, "fair")
    rows(60, 90, "bad", bounced_at=now - timedelta(seconds=1))
    if not dangerous:
        rows(900, 80, "better")

    assert (danger(campaign, now) != "") == dangerous


def test_a_campaign_in_danger_is_paused_with_the_reason(campaign, now):
    refused(campaign, now, 20)
    well = CampaignFactory(sending=True)

    assert safeguards.protect(now=now) == 1

    campaign.refresh_from_db()
    well.refresh_from_db()
    assert (campaign.status, well.status) == (CampaignStatus.PAUSED, CampaignStatus.SENDING)
    assert "same error" in campaign.pause_reason
    assert "Mend what the error names" in overseeing.advice(campaign.pause_reason)


def test_only_the_named_campaigns_are_looked_at(campaign, now):
    refused(campaign, now, 20)

    assert safeguards.protect([CampaignFactory(sending=True).pk], now=now) == 0


def test_a_paused_campaign_keeps_its_reason(campaign, now):
    refused(campaign, now, 20)
    lifecycle.pause_campaign(campaign, by="ada")

    assert safeguards.protect(now=now) == 0
    assert Campaign.objects.get(pk=campaign.pk).pause_reason == "Paused by ada."


def test_a_very_long_error_fits_into_the_reason(campaign, now):
    refused(campaign, now, 20, "x" * 2000)

    assert safeguards.protect(now=now) == 1


def test_a_look_takes_few_statements(campaign, now):
    accepted(campaign, now, 20)

    with CaptureQueriesContext(connection) as queries:
        danger(campaign, now)

    assert len(queries) <= 5
