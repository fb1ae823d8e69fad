"""Alarms: each condition, each thing that only looks like one, and that each is told once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from structlog.testing import capture_logs

from campaigns import lifecycle, settling, tasks, watching
from campaigns.models import EmailSend, RaisedAlarm, SendAttempt
from notifications import recording, transports
from notifications.models import SendPace
from notifications.transports.base import Account
from notifications.transports.memory import MemoryTransport
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@dataclass
class Quota:
    used: float
    limit: float


def alarms(now, **words):
    return [(alarm.name, alarm.campaign_id) for alarm in watching.find_alarms(now=now, **words)]


@pytest.fixture
def campaign(now):
    return CampaignFactory(sending=True, sending_since=now - timedelta(minutes=10))


def test_where_all_is_well_there_is_no_alarm(campaign, now):
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, accepted=True)
    CampaignFactory(paused=True, waiting=1)
    CampaignFactory()

    assert alarms(now) == []


def test_a_campaign_that_paused_itself_is_an_alarm_until_a_person_resumes_it(campaign, now, published):
    lifecycle.stop_campaign(campaign, by="safeguard", reason="SES could not be reached 10 times in a row: x.")
    campaign.refresh_from_db()
    later = campaign.updated_at
    assert alarms(later) == [("paused_by_itself", campaign.pk)]
    assert alarms(later + timedelta(days=8)) == []

    lifecycle.start_campaign(campaign, by="ada", now=later)

    assert alarms(later) == []


def test_a_campaign_that_a_person_paused_is_none(campaign, now):
    lifecycle.pause_campaign(campaign, by="ada")

    assert alarms(timezone.now()) == []


def test_one_address_in_two_spellings_is_an_alarm(campaign, now):
    EmailSendFactory(campaign=campaign, accepted=True, email="ada@example.com")
    twice = EmailSendFactory(campaign=campaign, accepted=True, email="Ada@Example.com")

    (alarm,) = watching.find_alarms(now=now)

    assert (alarm.name, alarm.campaign_id, alarm.facts) == ("address_twice", campaign.pk, {"count": 1, "sends": [twice.pk]})


def test_one_address_in_two_campaigns_is_none(campaign, now):
    for other in (campaign, CampaignFactory(done=True)):
        EmailSendFactory(campaign=other, accepted=True, email="ada@example.com")

    assert alarms(now) == []


def test_an_event_of_a_second_mail_for_one_send_is_an_alarm(campaign):
    send = EmailSendFactory(campaign=campaign, accepted=True)
    events.post(events.envelope("delivery", to=send.email, send_id=send.send_id, message_id="a-second-mail"))
    recording.apply_events(now=events.RECEIVED)

    assert alarms(events.RECEIVED) == [("address_twice", campaign.pk)]


def test_a_parked_event_of_a_mail_that_is_not_known_yet_is_none(campaign):
    send = EmailSendFactory(campaign=campaign, unsettled=True)
    events.post(
        events.envelope("delivery", send_id=send.send_id + "9"),
        events.envelope("open", send_id="someone-elses-7"),
        events.envelope("click", tags=False),
    )
    recording.apply_events(now=events.RECEIVED)

    assert "address_twice" not in dict(alarms(events.RECEIVED))


def test_a_retry_whose_first_mail_had_left_too_is_told(campaign, now):
    send = EmailSendFactory(campaign=campaign, unsettled=True)
    settling.retry([send.pk], by="ada", why="why", now=now)
    EmailSend.objects.update(sent_at=now, call_started_at=now, message_id="second")
    assert alarms(now) == []

    SendAttempt.objects.update(sent_at=now, message_id="first")

    assert alarms(now) == [("address_twice", campaign.pk)]


def test_a_retry_that_the_first_mail_made_needless_is_none(campaign, now):
    send = EmailSendFactory(campaign=campaign, unsettled=True)
    settling.retry([send.pk], by="ada", why="why", now=now)
    EmailSend.objects.update(sent_at=now, call_started_at=now, message_id="first")
    SendAttempt.objects.update(sent_at=now, message_id="first")

    assert alarms(now) == []


def test_a_sending_campaign_that_stands_still_for_two_minutes_is_an_alarm(campaign, now):
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, sent_at=now, call_started_at=now - timedelta(seconds=121))

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_a_call_under_way_is_no_progress_yet(campaign, now):
    lease = {"claimed_by": uuid4(), "lease_until": now + timedelta(seconds=20)}
    EmailSendFactory(campaign=campaign, call_started_at=now - timedelta(seconds=3), **lease)

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_one_that_sent_something_within_them_is_none(campaign, now):
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, sent_at=now, call_started_at=now - timedelta(seconds=110))

    assert alarms(now) == []


def test_one_that_skips_people_makes_progress(campaign, now):
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, skipped_at=now - timedelta(seconds=20), skip_reason="suppressed")

    assert alarms(now) == []


def test_a_campaign_of_which_all_is_settled_and_that_still_sends_is_an_alarm(campaign, now):
    EmailSendFactory(campaign=campaign, accepted=True)
    EmailSend.objects.update(call_started_at=now - timedelta(hours=3), sent_at=now - timedelta(hours=3))

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_sixty_campaigns_that_are_well_hide_none_that_is_not(campaign, now):
    EmailSendFactory(campaign=campaign)
    type(campaign).objects.update(loop_seen_at=now - timedelta(hours=1))
    for well in CampaignFactory.create_batch(60, sending=True, loop_seen_at=now):
        EmailSendFactory(campaign=well, accepted=True)

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_sixty_newer_campaigns_hide_no_unknown_sends(campaign, now):
    EmailSendFactory.create_batch(2, campaign=campaign, unsettled=True)
    CampaignFactory.create_batch(60, paused=True)

    assert ("unknown_share", campaign.pk) in alarms(now)


def test_another_campaigns_progress_is_not_its_own(campaign, now):
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=CampaignFactory(sending=True), accepted=True)

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_a_campaign_that_was_resumed_a_minute_ago_has_time(now):
    CampaignFactory(sending=True, waiting=1, started_at=now - timedelta(days=1), sending_since=now - timedelta(minutes=1))

    assert alarms(now) == []


def test_a_campaign_that_enrols_people_makes_progress_while_its_loop_lives(campaign, now):
    type(campaign).objects.update(enrolled_through=5, loop_seen_at=now - timedelta(seconds=30))
    assert alarms(now) == []

    type(campaign).objects.update(loop_seen_at=now - timedelta(minutes=3))

    assert alarms(now) == [("no_progress", campaign.pk)]


def test_a_daily_limit_that_is_used_up_holds_a_campaign_without_an_alarm(campaign, now, settings):
    settings.CAMPAIGN_DAILY_LIMIT = 1
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, sent_at=now, call_started_at=now - timedelta(hours=1))

    assert alarms(now) == []


def test_a_retried_call_counts_towards_the_limit_that_holds_a_campaign(campaign, now, settings):
    settings.CAMPAIGN_DAILY_LIMIT = 1
    send = EmailSendFactory(campaign=campaign, unsettled=True)

    settling.retry([send.pk], by="ada", why="why", now=now)

    assert alarms(now) == []


def test_a_quota_that_is_used_up_is_one_alarm_and_not_two(campaign, now):
    EmailSendFactory(campaign=campaign)

    assert alarms(now, quota=Quota(9, 9)) == [("quota_nearly_used", None)]
    assert alarms(now, quota=Quota(1, 9)) == [("no_progress", campaign.pk)]


@pytest.mark.parametrize(("used", "held"), [(90, False), (94, False), (95, True), (120, True)])
def test_a_standstill_is_told_until_nothing_of_the_quota_is_left_for_campaigns(campaign, now, used, held):
    EmailSendFactory(campaign=campaign)

    assert (("no_progress", campaign.pk) in alarms(now, quota=Quota(used, 100))) is not held


def test_at_a_very_slow_pace_a_campaign_may_wait_longer(campaign, now, settings):
    settings.SES_MAX_SEND_RATE = 0.01
    EmailSendFactory(campaign=campaign)
    EmailSendFactory(campaign=campaign, sent_at=now, call_started_at=now - timedelta(seconds=150))

    assert alarms(now) == []


@pytest.mark.parametrize(("sent", "alarm"), [(998, True), (999, False)])
def test_more_than_one_unknown_send_in_a_thousand_is_an_alarm(now, sent, alarm):
    campaign = CampaignFactory(done=True)
    EmailSendFactory(campaign=campaign, unsettled=True)
    EmailSend.objects.bulk_create(
        EmailSend(campaign=campaign, email=f"x{n}@example.com", sent_at=now, call_started_at=now) for n in range(sent)
    )

    assert alarms(now) == ([("unknown_share", campaign.pk)] if alarm else [])


def test_a_decision_ends_the_alarm_about_unknown_sends(campaign, now):
    send = EmailSendFactory(campaign=campaign, unsettled=True)
    assert alarms(now) == [("unknown_share", campaign.pk)]

    settling.give_up([send.pk], by="ada", why="why", now=now)

    assert alarms(now) == []


@pytest.mark.parametrize(
    ("quota", "alarm"), [(Quota(45_000, 50_000), True), (Quota(44_999, 50_000), False), (Quota(9, -1), False)]
)
def test_a_quota_that_is_nearly_used_is_an_alarm(now, quota, alarm):
    assert alarms(now, quota=quota) == ([("quota_nearly_used", None)] if alarm else [])


def test_the_alarm_about_the_quota_ends_although_nothing_is_sent(now, settings, monkeypatch):
    settings.EMAIL_MODE = "ses"
    a_minute_ago = now - timedelta(seconds=61)
    seen = {"account_asked_at": a_minute_ago, "account_seen_at": a_minute_ago}
    SendPace.objects.create(pk=1, next_slot_at=now, account_quota=100, account_sent=95, **seen)
    transport = MemoryTransport()
    transport.allows = Account(14.0, 100.0, 50.0, sending_enabled=True, in_sandbox=False)
    monkeypatch.setattr(transports, "configured", lambda: transport)
    tasks.watch()
    assert [alarm.name for alarm in RaisedAlarm.objects.all()] == ["quota_nearly_used"]

    tasks.watch()

    assert not RaisedAlarm.objects.exists()


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_ends(campaign, now):
    send = EmailSendFactory(campaign=campaign, unsettled=True)
    told = []
    for later in range(4):
        with capture_logs() as logs:
            watching.watch(now=now + timedelta(seconds=30 * later))
        told.append([(line["event"], line["alarm"], line["campaign_id"]) for line in logs if line["event"].startswith("alarm")])
        if later == 1:
            settling.give_up([send.pk], by="ada", why="why", now=now)

    assert told == [
        [("alarm", "unknown_share", campaign.pk)],
        [],
        [("alarm_cleared", "unknown_share", campaign.pk)],
        [],
    ]
    assert not RaisedAlarm.objects.exists()


def test_an_alarms_line_has_its_facts_and_no_address(campaign, now):
    send = EmailSendFactory(campaign=campaign, unsettled=True)

    with capture_logs() as logs:
        watching.watch(now=now)

    (line,) = (line for line in logs if line["event"] == "alarm")
    assert (line["log_level"], line["unknown"], line["called"]) == ("error", 1, 1)
    assert send.email not in str(line)


@pytest.mark.django_db(transaction=True)
def test_many_that_watch_at_once_tell_an_alarm_once(monkeypatch):
    EmailSendFactory(campaign=CampaignFactory(sending=True), unsettled=True)
    told = []
    monkeypatch.setattr(watching.log, "error", lambda *words, **facts: told.append(facts["alarm"]))

    def look(_n):
        try:
            watching.watch(now=timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(8)))

    assert told == ["unknown_share"]


def test_a_look_takes_a_bounded_number_of_statements(campaign, now, django_assert_max_num_queries):
    for _ in range(3):
        EmailSendFactory(campaign=campaign, unsettled=True)

    with django_assert_max_num_queries(12):
        watching.find_alarms(now=now)
