import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from campaigns import claiming, dispatching, reporting, tasks
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications import quota
from notifications.models import SendPace
from notifications.transports.base import Outcome, Verdict
from notifications.transports.guarded import GuardedTransport
from notifications.transports.memory import MemoryTransport
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def quota_of(settings, now):
    """What the account allows in 24 hours, as SES said a moment ago."""
    settings.EMAIL_MODE = "ses"
    return lambda mails: SendPace.objects.create(pk=1, next_slot_at=now, account_quota=mails, account_sent=0, account_seen_at=now)


def claimed_by_a_loop(campaign):
    """How many rows one chunk of a loop claims."""
    try:
        turn = dispatching._Turn(campaign.pk, MemoryTransport(), timezone.now, sign_of_life=int, pass_on=int)
        return len(turn._claim(1000)[0])
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


def test_a_campaign_goes_to_everybody_once_and_is_then_sent(run_all, transport):
    people = ProspectFactory.create_batch(30)
    campaign = CampaignFactory(sending=True, enrolled_through=0)

    run_all(campaign)

    assert sorted(message.to for message in transport.sent) == sorted(person.email for person in people)
    assert campaign.status == CampaignStatus.SENT


def test_a_paused_campaign_sends_nothing(run_chunk, transport):
    campaign = CampaignFactory(paused=True, waiting=3)

    run_chunk(campaign)

    assert transport.sent == []


def test_the_chunk_that_sends_the_last_mail_finishes_the_campaign(run_chunk):
    campaign = CampaignFactory(sending=True, waiting=2)

    assert not run_chunk(campaign).more

    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.SENT


def test_a_ticket_works_once(fast, transport):
    campaign = CampaignFactory(sending=True, waiting=3)
    send = dispatching.send_chunk
    send(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)

    again = send(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)

    assert again == dispatching.Chunk(more=False)


def test_a_mail_carries_what_every_outreach_mail_must(run_all, transport, settings):
    settings.SES_CONFIGURATION_SET = "outreach"
    campaign = CampaignFactory(sending=True, waiting=1)
    send = EmailSend.objects.get()

    run_all(campaign)

    (message,) = transport.sent
    url = f"http://127.0.0.1:8000/api/unsubscribe?token={send.prospect.unsubscribe_token}&c={campaign.key}"
    assert dict(message.headers)["List-Unsubscribe"] == f"<{url}>"
    assert dict(message.headers)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert dict(message.tags) == {"send_id": send.send_id, "campaign_id": str(campaign.pk), "kind": "outreach"}
    assert message.configuration_set == "outreach"
    assert url in message.html
    assert url in message.text


def test_the_words_are_filled_in_for_each_person(run_all, transport):
    ProspectFactory(first_name="Ada")
    ProspectFactory(first_name="Grace")

    run_all(CampaignFactory(sending=True, enrolled_through=0))

    assert sorted(message.subject for message in transport.sent) == ["Hello Ada", "Hello Grace"]


def test_a_persons_own_attributes_are_filled_in(run_all, transport):
    ProspectFactory(attributes={"City": "Köln", "rooms": 3})
    words = {"subject": "{{ attributes.City }}", "body_html": "<p>{{ attributes.rooms }} rooms</p>"}

    run_all(CampaignFactory(sending=True, enrolled_through=0, **words))

    (message,) = transport.sent
    assert message.subject == "Köln"
    assert "3 rooms" in message.html


def test_a_suppressed_person_is_accounted_for_and_gets_nothing(run_all, transport):
    campaign = CampaignFactory(sending=True, waiting=2)
    SuppressionFactory(email=EmailSend.objects.first().email)

    run_all(campaign)

    assert len(transport.sent) == 1
    stats = reporting.stats(campaign.pk)
    assert (stats["planned"], stats["sent"], stats["skipped"]) == (2, 1, 1)


def test_a_refusal_fails_one_mail_and_the_others_go(run_all, transport):
    campaign = CampaignFactory(sending=True, waiting=3)
    bad = EmailSend.objects.first().email
    transport.answer = lambda m: Outcome(Verdict.REFUSED if m.to == bad else Verdict.ACCEPTED, error="bad content")

    run_all(campaign)

    assert campaign.status == CampaignStatus.SENT
    assert EmailSend.objects.get(email=bad).error == "bad content"
    assert reporting.stats(campaign.pk)["sent"] == 2


def test_a_halt_pauses_the_campaign_with_the_reason_and_loses_nobody(run_all, transport):
    campaign = CampaignFactory(sending=True, waiting=3)
    transport.answer = lambda _m: Outcome(Verdict.HALT, error="The daily sending quota of SES is used up.")

    run_all(campaign)

    assert campaign.status == CampaignStatus.PAUSED
    assert campaign.pause_reason == "The daily sending quota of SES is used up."
    assert reporting.stats(campaign.pk)["waiting"] == 3


def test_a_throttled_mail_waits_and_goes_later(run_chunk, transport):
    campaign = CampaignFactory(sending=True, waiting=1)
    transport.answer = lambda _m: Outcome(Verdict.WAIT, error="Maximum sending rate exceeded", retry_after=0.01)
    run_chunk(campaign)
    transport.answer = None

    run_chunk(campaign)

    assert len(transport.sent) == 1


def test_an_unknown_outcome_is_never_sent_again(run_all, transport):
    campaign = CampaignFactory(sending=True, waiting=1)
    transport.answer = lambda _m: Outcome(Verdict.UNKNOWN, error="ReadTimeoutError")
    run_all(campaign)
    transport.answer = None

    run_all(campaign)

    assert transport.sent == []
    assert (campaign.status, EmailSend.objects.get().status) == (CampaignStatus.SENT, "unknown")


def test_a_campaign_is_not_finished_while_a_row_is_in_flight_elsewhere(run_all):
    campaign = CampaignFactory(sending=True, waiting=1)
    EmailSend.objects.update(claimed_by="00000000-0000-0000-0000-000000000001", lease_until=timezone.now())

    run_all(campaign)

    assert campaign.status == CampaignStatus.SENDING


def test_people_added_since_get_it_at_a_re_run_and_nobody_gets_it_twice(run_all, transport):
    ProspectFactory()
    campaign = CampaignFactory(sending=True, enrolled_through=0)
    run_all(campaign)
    late = ProspectFactory()
    Campaign.objects.update(status=CampaignStatus.SENDING, enrolled_through=0)

    run_all(campaign)

    assert len(transport.sent) == 2
    assert transport.sent[1].to == late.email


def test_a_daily_limit_lets_no_more_leave(run_all, transport, settings):
    settings.CAMPAIGN_DAILY_LIMIT = 2
    campaign = CampaignFactory(sending=True, waiting=5)

    run_all(campaign)

    assert len(transport.sent) == 2
    assert reporting.stats(campaign.pk)["waiting"] == 3


def test_mails_that_are_claimed_elsewhere_count_towards_the_daily_limit(now):
    campaign = CampaignFactory(sending=True, waiting=5)
    claiming.claim(campaign.pk, slice_id=uuid.uuid4(), limit=2, lease=60)

    assert dispatching.left_today(3, now=now) == 1


@pytest.mark.parametrize(
    ("rate", "loops", "size"),
    [
        (5, 1, 25),  # five seconds' worth
        (5, 5, 5),  # shared fairly
        (5, 20, 2),  # the slots of all lie near
        (0.1, 1, 1),  # never nothing
        (200, 1, 1000),
        (5000, 1, 1000),  # CAMPAIGN_CHUNK_SIZE
    ],
)
def test_a_chunk_lasts_a_few_seconds(rate, loops, size):
    assert dispatching.chunk_size(rate=rate, loops=loops) == size


def test_a_rehearsal_mails_only_whom_it_may_and_says_why_the_others_failed(fast, published, transport):
    campaign = CampaignFactory(sending=True, waiting=2)
    first, second = EmailSend.objects.filter(campaign=campaign).order_by("pk")
    guarded = GuardedTransport(transport, [first.email])

    dispatching.send_chunk(campaign.pk, campaign.generation, transport=guarded, clock=timezone.now)

    assert [message.to for message in transport.sent] == [first.email]
    second.refresh_from_db()
    assert second.status == "failed"
    assert "EMAIL_ALLOWED_RECIPIENTS" in second.error


@pytest.mark.django_db(transaction=True)
def test_two_loops_do_not_both_take_what_is_left_of_the_quota(fast, quota_of, monkeypatch):
    quota_of(100)
    both_have_asked, real, asked = threading.Barrier(2), quota.left_for_outreach, set()

    def left(**words):
        found = real(**words)
        if threading.get_ident() not in asked:
            asked.add(threading.get_ident())
            both_have_asked.wait(30)
        return found

    monkeypatch.setattr(quota, "left_for_outreach", left)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(claimed_by_a_loop, [CampaignFactory(sending=True, waiting=60) for _ in range(2)]))

    assert sum(taken) == 95


@pytest.mark.django_db(transaction=True)
def test_two_loops_do_not_both_take_what_is_left_of_the_daily_limit(fast, settings, monkeypatch):
    settings.CAMPAIGN_DAILY_LIMIT = 50
    together, real = threading.Barrier(2), dispatching.left_today

    def left(limit, *, now):
        found = real(limit, now=now)
        with suppress(threading.BrokenBarrierError):
            together.wait(1)  # the other one is not let in meanwhile
        return found

    monkeypatch.setattr(dispatching, "left_today", left)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(claimed_by_a_loop, [CampaignFactory(sending=True, waiting=40) for _ in range(2)]))

    assert sum(taken) == 50


def test_the_daily_limit_counts_the_last_24_hours(now):
    for hours in (1, 23, 25, 48):
        EmailSendFactory(call_started_at=now - timedelta(hours=hours), sent_at=now - timedelta(hours=hours))

    assert dispatching.left_today(10, now=now) == 8


def test_far_from_a_daily_limit_its_mails_are_counted_once_a_turn(run_all, fast, settings, monkeypatch):
    settings.CAMPAIGN_DAILY_LIMIT, settings.CAMPAIGN_CHUNK_SIZE = 1_000_000, 10
    counted, real = [], dispatching.left_today
    monkeypatch.setattr(dispatching, "left_today", lambda limit, *, now: counted.append(1) or real(limit, now=now))
    monkeypatch.setattr(dispatching, "_one_at_a_time", lambda: 1 / 0)

    run_all(CampaignFactory(sending=True, waiting=50))

    assert EmailSend.objects.filter(status="sent").count() == 50
    assert len(counted) <= 2


def test_near_a_daily_limit_its_mails_are_counted_once_a_claim(run_all, fast, settings, monkeypatch):
    settings.CAMPAIGN_DAILY_LIMIT, settings.CAMPAIGN_CHUNK_SIZE = 50, 10
    counted, real = [], dispatching.left_today
    monkeypatch.setattr(dispatching, "left_today", lambda limit, *, now: counted.append(1) or real(limit, now=now))

    run_all(CampaignFactory(sending=True, waiting=50))

    assert EmailSend.objects.filter(status="sent").count() == 50
    # Five claims in one turn, one that finds nobody, and the look that found the end near.
    assert len(counted) <= 7


def test_far_from_the_end_of_the_quota_no_loop_waits_for_another(fast, quota_of, monkeypatch):
    quota_of(1_000_000)
    monkeypatch.setattr(dispatching, "_one_at_a_time", lambda: 1 / 0)

    assert claimed_by_a_loop(CampaignFactory(sending=True, waiting=3)) == 3


def test_a_client_for_ses_that_cannot_be_built_pauses_the_campaign_and_stops_no_sweep(settings, monkeypatch, published):
    settings.EMAIL_MODE, settings.SES_REGION = "ses", "eu-north-1"
    monkeypatch.setenv("AWS_PROFILE", "missing")
    campaign = CampaignFactory(sending=True, waiting=1)

    tasks.send_chunk(campaign.pk, 0)
    tasks.wake_silent_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.PAUSED
    assert "No credentials for AWS" in campaign.pause_reason
    assert EmailSend.objects.get().status == "queued"
