import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from campaigns import claiming, lifecycle, safeguards
from campaigns.models import Campaign, CampaignStatus
from tests import sessions
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db


def test_starting_enrols_people_and_wakes_a_worker(now, published, django_capture_on_commit_callbacks):
    ProspectFactory.create_batch(2)
    campaign = CampaignFactory()

    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.start_campaign(campaign, by="ada", now=now)

    assert (campaign.status, campaign.started_by, campaign.sends.count()) == (CampaignStatus.SENDING, "ada", 2)
    assert published == [("campaigns.tasks.send_chunk", (campaign.pk, campaign.generation))]


@pytest.mark.parametrize("state", ["sending", "paused", "done"])
def test_sending_is_safe_to_repeat_from_any_state(now, state, published):
    campaign = CampaignFactory(**{state: True})

    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert campaign.status == CampaignStatus.SENDING


def test_a_machine_does_not_rename_a_persons_pause(now, published):
    campaign = CampaignFactory(sending=True)
    found = Campaign.objects.get()
    lifecycle.pause_campaign(campaign, by="anna")

    with pytest.raises(lifecycle.WrongStatus):
        lifecycle.stop_campaign(found, by="SES", reason="The daily sending quota of SES is used up.")

    assert Campaign.objects.get().pause_reason == "Paused by anna."


def test_a_machine_does_not_pause_what_was_resumed_since_it_looked(now, published):
    campaign = CampaignFactory(sending=True)
    found = Campaign.objects.get()
    lifecycle.pause_campaign(campaign, by="anna")
    lifecycle.start_campaign(campaign, by="anna", now=now)

    with pytest.raises(lifecycle.WrongStatus):
        lifecycle.stop_campaign(found, by="SES", reason="The AWS credentials have expired.")

    assert Campaign.objects.get().status == CampaignStatus.SENDING


def test_what_was_rolled_back_leaves_no_line(caplog, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        lifecycle.pause_campaign(CampaignFactory(sending=True), by="anna")
        transaction.set_rollback(True)

    assert "campaign_paused" not in caplog.text


def test_the_first_start_is_remembered(now, published):
    campaign = CampaignFactory(done=True)
    first = campaign.started_at

    lifecycle.start_campaign(campaign, by="ada", now=now + timedelta(days=1))

    assert campaign.started_at == first


@pytest.mark.parametrize("take_up", [lifecycle.start_campaign, lifecycle.take_up_again])
def test_since_when_a_campaign_sends_is_told_by_the_clock_that_dates_its_failures(now, published, take_up):
    campaign = CampaignFactory(done=True)

    take_up(campaign, by="ada", now=now + timedelta(hours=1))
    for _ in range(25):
        EmailSendFactory(campaign=campaign, call_started_at=Now(), failed_at=Now(), error="BadRequestException: no")

    assert "the same error" in safeguards.find_danger(campaign.pk, now=now + timedelta(hours=1))


@pytest.mark.parametrize(
    "broken",
    [{"subject": ""}, {"body_html": "", "body_text": ""}, {"body_html": "{{ nonsense }}"}, {"from_email": ""}],
)
def test_a_campaign_with_problems_does_not_start(now, broken, settings):
    settings.SES_FROM = ""
    campaign = CampaignFactory(**broken)

    with pytest.raises(lifecycle.CampaignNotSendable):
        lifecycle.start_campaign(campaign, by="ada", now=now)

    assert Campaign.objects.get().status == CampaignStatus.DRAFT


def test_production_does_not_start_outreach_without_a_postal_address(now, settings):
    settings.PRODUCTION, settings.POSTAL_ADDRESS = True, ""

    with pytest.raises(lifecycle.CampaignNotSendable, match="POSTAL_ADDRESS"):
        lifecycle.start_campaign(CampaignFactory(), by="ada", now=now)


def test_pausing_says_who_and_ends_the_running_loop(now):
    campaign = CampaignFactory(sending=True)

    lifecycle.pause_campaign(campaign, by="ada")

    assert campaign.pause_reason == "Paused by ada."
    assert lifecycle.use_ticket(campaign.pk, campaign.generation, now=now) is None


def test_after_pause_and_resume_one_of_two_loops_survives(now, published):
    campaign = CampaignFactory(sending=True)
    of_the_old_loop = lifecycle.use_ticket(campaign.pk, campaign.generation, now=now)
    lifecycle.pause_campaign(campaign, by="ada")
    lifecycle.start_campaign(campaign, by="ada", now=now)

    tickets = [campaign.generation, of_the_old_loop]

    assert [lifecycle.use_ticket(campaign.pk, ticket, now=now) is not None for ticket in tickets] == [True, False]


@pytest.mark.parametrize("state", [{}, {"done": True}])
def test_only_a_sending_campaign_can_be_paused(state):
    with pytest.raises(lifecycle.WrongStatus):
        lifecycle.pause_campaign(CampaignFactory(**state), by="ada")


def test_sending_again_leaves_a_living_loop_alone(now, published, django_capture_on_commit_callbacks):
    campaign = CampaignFactory(sending=True)

    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.start_campaign(campaign, by="ada", now=now)

    assert published == []


def test_sending_again_wakes_a_loop_that_is_silent(now, published, django_capture_on_commit_callbacks):
    campaign = CampaignFactory(sending=True, loop_seen_at=now - timedelta(minutes=1))

    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.start_campaign(campaign, by="ada", now=now)

    assert len(published) == 1


def test_a_silent_loop_gets_a_new_ticket(now, published):
    campaign = CampaignFactory(sending=True, loop_seen_at=now - timedelta(minutes=1))

    assert lifecycle.wake_silent_campaigns(now=now) == 1

    assert published == [("campaigns.tasks.send_chunk", (campaign.pk, campaign.generation + 1))]
    assert lifecycle.use_ticket(campaign.pk, campaign.generation, now=now) is None


def test_a_loop_that_gave_a_sign_of_life_is_left_alone(now, published):
    CampaignFactory(sending=True, loop_seen_at=now - timedelta(seconds=5))

    assert lifecycle.wake_silent_campaigns(now=now) == 0


def test_a_sign_of_life_from_the_future_is_none_at_all(now, published):
    # A worker's clock was an hour ahead, and has been set back.
    campaign = CampaignFactory(sending=True, loop_seen_at=now + timedelta(hours=1))

    assert lifecycle.wake_silent_campaigns(now=now) == 1

    campaign.refresh_from_db()
    assert campaign.loop_seen_at == now


def test_a_loop_that_rests_is_woken_at_the_next_sweep(now, published):
    campaign = CampaignFactory(sending=True)
    lifecycle.rest(campaign.pk, campaign.generation)

    assert lifecycle.wake_silent_campaigns(now=now) == 1


def test_pausing_and_resuming_again_and_again_publishes_one_task(now, published, django_capture_on_commit_callbacks):
    campaign = CampaignFactory(paused=True, loop_seen_at=now - timedelta(minutes=1))

    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(10):
            lifecycle.start_campaign(campaign, by="ada", now=now)
            lifecycle.pause_campaign(campaign, by="ada")
        lifecycle.start_campaign(campaign, by="ada", now=now)

    assert len(published) == 1
    assert lifecycle.wake_silent_campaigns(now=now) == 1


def test_a_loop_that_waits_for_its_turn_behind_many_campaigns_keeps_its_ticket(now, published):
    for _ in range(20):
        CampaignFactory(sending=True, loop_seen_at=now - timedelta(seconds=30))

    assert lifecycle.wake_silent_campaigns(now=now) == 0
    assert lifecycle.wake_silent_campaigns(now=now + timedelta(seconds=60)) == 20


def test_many_sweeps_at_once_wake_a_campaign_once(now, published):
    CampaignFactory(sending=True, loop_seen_at=now - timedelta(minutes=1))

    for _beat in range(3):
        lifecycle.wake_silent_campaigns(now=now)

    assert len(published) == 1


def test_a_campaign_is_not_finished_before_everybody_is_enrolled(now):
    campaign = CampaignFactory(sending=True, enrolled_through=5)

    assert not lifecycle.finish_campaign(campaign.pk, now=now)


def test_a_campaign_with_waiting_rows_is_not_finished(now):
    campaign = CampaignFactory(sending=True, waiting=1)

    assert not lifecycle.finish_campaign(campaign.pk, now=now)


def test_pausing_takes_claims_away_so_that_old_words_cannot_leave(now):
    campaign = CampaignFactory(sending=True, waiting=2)
    slice_id = uuid.uuid4()
    rows, _ = claiming.claim(campaign.pk, slice_id=slice_id, limit=2, lease=60)
    lifecycle.pause_campaign(campaign, by="ada")
    lifecycle.start_campaign(campaign, by="ada", now=now)

    ledger = claiming.CampaignLedger(campaign.pk, slice_id=slice_id)

    assert ledger.start([row.id for row in rows]) == set()


@pytest.mark.django_db(transaction=True)
def test_a_campaign_is_not_finished_under_a_re_run_that_is_enrolling(now):
    campaign = CampaignFactory(sending=True)
    enrolling_started, finish_waits = threading.Event(), threading.Event()

    def re_run():
        try:
            with transaction.atomic():
                Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
                enrolling_started.set()
                assert finish_waits.wait(sessions.SECONDS)
                time.sleep(0.3)
                EmailSendFactory(campaign=campaign)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(re_run)
        assert enrolling_started.wait(sessions.SECONDS)
        finish_waits.set()
        assert not lifecycle.finish_campaign(campaign.pk, now=now)
        done.result()
