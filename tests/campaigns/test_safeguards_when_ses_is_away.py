"""When a campaign pauses itself because SES cannot be reached, or does not answer, and when it must not."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from campaigns import claiming, lifecycle, overseeing, safeguards
from campaigns.models import Campaign, CampaignStatus, EmailSend
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(now):
    return CampaignFactory(sending=True, sending_since=now - timedelta(hours=1))


def danger(campaign, now):
    return safeguards.find_danger(campaign.pk, now=now)


def unknown(campaign, at, count, error="ReadTimeoutError: Read timeout", *, mails_a_call=1):
    for call in range(count):
        ended = at + timedelta(milliseconds=call)
        for _ in range(mails_a_call):
            EmailSendFactory(campaign=campaign, call_started_at=at, unknown_at=ended, error=error)


def called(campaign, at, count):
    rows = (EmailSend(campaign=campaign, email=f"{uuid4()}@example.com", call_started_at=at) for _ in range(count))
    EmailSend.objects.bulk_create(rows)


def test_six_calls_without_an_answer_within_a_minute_are_a_danger(campaign, now):
    unknown(campaign, now - timedelta(seconds=50), 6)

    assert "SES did not answer 6 calls within a minute" in danger(campaign, now)


@pytest.mark.parametrize("count", [1, 5])
def test_a_few_calls_without_an_answer_are_none(campaign, now, count):
    unknown(campaign, now - timedelta(seconds=50), count)

    assert danger(campaign, now) == ""


def test_calls_without_an_answer_an_hour_ago_are_none(campaign, now):
    unknown(campaign, now - timedelta(minutes=30), 20)

    assert danger(campaign, now) == ""


def test_rows_of_a_lost_worker_say_nothing_about_ses(campaign, now):
    unknown(campaign, now - timedelta(seconds=5), 50, claiming.LOST_DURING_CALL)

    assert danger(campaign, now) == ""


@pytest.mark.parametrize(
    "later", [{"error": ""}, {"failed_at": 1, "error": "Given up by ada"}, {"bounced_at": 1, "error": "Bounce"}]
)
def test_what_has_been_said_since_about_a_lost_workers_rows_says_nothing_about_ses(campaign, now, later):
    unknown(campaign, now - timedelta(seconds=5), 50, claiming.LOST_DURING_CALL)
    EmailSend.objects.update(**{name: now if value == 1 else value for name, value in later.items()})

    assert danger(campaign, now) == ""


def test_calls_that_hung_until_after_the_resumption_are_the_run_befores(campaign, now):
    unknown(campaign, now - timedelta(seconds=5), 6)
    EmailSend.objects.update(call_started_at=campaign.sending_since - timedelta(seconds=60))

    assert danger(campaign, now) == ""


def test_a_call_without_an_answer_is_one_however_many_mails_it_carried(campaign, now):
    unknown(campaign, now - timedelta(seconds=5), 5, mails_a_call=10)
    called(campaign, now - timedelta(seconds=5), 4950)

    assert danger(campaign, now) == ""


def test_six_calls_within_a_minute_are_a_danger_among_any_number_of_mails(campaign, now):
    unknown(campaign, now - timedelta(seconds=50), 6)
    called(campaign, now - timedelta(seconds=50), 1000)

    assert danger(campaign, now)


@pytest.mark.parametrize(("mails", "found"), [(300, False), (299, True)])
def test_more_than_one_mail_in_a_hundred_without_an_answer_is_a_danger_however_slowly(campaign, now, mails, found):
    for minutes in (30, 20, 10):
        unknown(campaign, now - timedelta(minutes=minutes), 1)
    called(campaign, now - timedelta(minutes=10), mails - 3)

    assert (f"SES did not answer 3 of the last {mails} mails" in danger(campaign, now)) == found


def test_of_fewer_than_a_hundred_mails_the_share_says_nothing(campaign, now):
    unknown(campaign, now - timedelta(seconds=5), 2)
    called(campaign, now - timedelta(seconds=5), 97)

    assert danger(campaign, now) == ""


def test_one_call_without_an_answer_is_no_share(campaign, now):
    unknown(campaign, now - timedelta(seconds=5), 1, mails_a_call=50)
    called(campaign, now - timedelta(seconds=5), 950)

    assert danger(campaign, now) == ""


@pytest.mark.parametrize(("lately", "dangerous"), [(81, False), (79, True)])
def test_of_a_large_campaign_the_latest_mails_without_an_answer_are_judged(
    campaign, now, settings, monkeypatch, lately, dangerous
):
    monkeypatch.setattr(safeguards, "_MOST_MAILS", 1)  # the latest 100
    settings.CAMPAIGN_PAUSE_UNANSWERED_RATE = 0.5
    called(campaign, now - timedelta(minutes=40), 200)
    unknown(campaign, now - timedelta(minutes=30), 120)
    called(campaign, now - timedelta(minutes=20), lately)

    assert (danger(campaign, now) != "") == dangerous


def test_who_may_lose_more_calls_says_so(campaign, now, settings):
    settings.CAMPAIGN_PAUSE_UNANSWERED = 20
    unknown(campaign, now - timedelta(seconds=50), 20)

    assert danger(campaign, now) == ""


def fail_to_reach(campaign, times, error="EndpointConnectionError: Could not connect"):
    for _ in range(times):
        Campaign.objects.update(unreached_at=Now() - timedelta(seconds=5))  # one rest later
        safeguards.note_reach(campaign, reached=False, unreached=error)
    campaign.refresh_from_db()


def test_ten_tries_in_a_row_that_do_not_reach_ses_pause_with_the_error(campaign):
    fail_to_reach(campaign, 9)
    assert campaign.status == CampaignStatus.SENDING

    fail_to_reach(campaign, 1)

    assert campaign.status == CampaignStatus.PAUSED
    assert campaign.pause_reason.startswith(
        "SES could not be reached 10 times in a row: EndpointConnectionError: Could not connect."
    )
    assert campaign.pause_reason.endswith("Mend the network or the endpoint, then resume.")
    assert "keeps waiting: nobody gets it twice" in overseeing.advice(campaign.pause_reason)


def test_an_answer_in_between_begins_the_row_anew(campaign):
    fail_to_reach(campaign, 9)
    safeguards.note_reach(campaign, reached=True, unreached="")

    fail_to_reach(campaign, 9)

    assert (campaign.status, campaign.unreached_tries) == (CampaignStatus.SENDING, 9)


def test_a_turn_that_is_answered_and_then_reaches_nobody_is_the_first_of_a_row(campaign):
    fail_to_reach(campaign, 9)
    Campaign.objects.update(unreached_at=None)

    safeguards.note_reach(campaign, reached=True, unreached="x")

    assert Campaign.objects.get().unreached_tries == 1


def test_workers_that_fail_at_the_same_moment_have_tried_once(campaign, monkeypatch):
    monkeypatch.setattr(safeguards, "_ONE_TRY", timedelta(hours=1))
    for _ in range(5):
        safeguards.note_reach(campaign, reached=False, unreached="x")

    assert Campaign.objects.get().unreached_tries == 1


def test_a_clock_that_was_set_back_holds_up_no_count(campaign):
    Campaign.objects.update(unreached_at=Now() + timedelta(minutes=1))

    safeguards.note_reach(campaign, reached=False, unreached="x")

    assert Campaign.objects.get().unreached_tries == 1


def test_whoever_resumes_a_campaign_that_reached_nobody_gets_ten_new_tries(campaign, now, published):
    found = Campaign.objects.get()
    fail_to_reach(campaign, 10)
    lifecycle.start_campaign(campaign, by="ada", now=now)

    fail_to_reach(campaign, 9)
    fail_to_reach(found, 1)  # a turn that began before the pause

    assert (campaign.status, Campaign.objects.get().unreached_tries) == (CampaignStatus.SENDING, 9)
