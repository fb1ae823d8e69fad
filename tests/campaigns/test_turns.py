"""What one turn of a campaign's loop does when calls hang, fail in a row or are not needed, and at whose pace."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.utils import timezone

from campaigns import dispatching, lanes, lifecycle, safeguards, tasks
from campaigns.models import CampaignStatus, EmailSend
from notifications import delivering, pacing
from notifications.models import SendPace
from notifications.transports.base import Account, Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from tests.factories import CampaignFactory, EmailSendFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

EXPIRED = Outcome(Verdict.HALT, error="The AWS credentials have expired: give the workers fresh ones.")


def take_a_turn(campaign, transport):
    dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)


class Hanging(MemoryTransport):
    """So many calls hang until they are let go; those after them get `answer`."""

    def __init__(self, answer, *, calls=1, seconds=0.0):
        super().__init__(self.take)
        self.seconds, self.usual, self.numbers, self.calls, self.released = seconds, answer, count(), calls, threading.Event()

    def take(self, _message):
        if next(self.numbers) < self.calls:
            self.released.wait(60)
        else:
            time.sleep(self.seconds)
        return self.usual


@contextmanager
def turn_of(campaign, transport):
    """One turn in a thread of its own, as a worker has it; over when the block is."""

    def run():
        take_a_turn(campaign, transport)
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        transport.released.set()
        thread.join()


def wait_for(probe):
    for _ in range(600):
        if probe():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_the_next_turn_does_not_wait_for_a_call_that_hangs(fast, published, seconds):
    campaign = CampaignFactory(sending=True, waiting=5)

    with turn_of(campaign, transport := Hanging(Outcome(Verdict.ACCEPTED), seconds=seconds)):
        wait_for(lambda: published and len(transport.sent) == 4)

    assert len(published) == 1
    assert EmailSend.objects.filter(status="sent").count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_turn_that_lingers_takes_back_no_tries_that_were_counted_after_its_answers(fast, published):
    campaign = CampaignFactory(sending=True, waiting=5, unreached_tries=3)
    tries = type(campaign).objects.filter(pk=campaign.pk)

    with turn_of(campaign, Hanging(Outcome(Verdict.ACCEPTED))):
        wait_for(lambda: published)
        assert tries.get().unreached_tries == 0
        tries.update(unreached_tries=2)

    assert tries.get().unreached_tries == 2


@pytest.mark.django_db(transaction=True)
def test_a_campaign_pauses_at_once_although_other_calls_hang(fast, published):
    campaign = CampaignFactory(sending=True, waiting=8)

    with turn_of(campaign, Hanging(EXPIRED, calls=4)):
        wait_for(lambda: type(campaign).objects.filter(status=CampaignStatus.PAUSED, pause_reason=EXPIRED.error))

    assert published == []


@pytest.mark.django_db(transaction=True)
def test_no_turn_follows_while_many_calls_hang(fast, published):
    campaign = CampaignFactory(sending=True, waiting=8)

    with turn_of(campaign, transport := Hanging(Outcome(Verdict.ACCEPTED), calls=4)):
        wait_for(lambda: len(transport.sent) == 4)
        time.sleep(1.5)
        assert published == []

    assert EmailSend.objects.filter(status="sent").count() == 8


@pytest.mark.django_db(transaction=True)
def test_a_loop_that_waits_for_many_calls_that_hang_is_alive(fast, published, now):
    campaign, long_ago = CampaignFactory(sending=True, waiting=8), now - timedelta(minutes=5)
    seen = type(campaign).objects.filter(pk=campaign.pk, loop_seen_at__gt=long_ago)

    with turn_of(campaign, transport := Hanging(Outcome(Verdict.ACCEPTED), calls=4)):
        wait_for(lambda: len(transport.sent) == 4)
        seen.update(loop_seen_at=long_ago)
        wait_for(seen.exists)


@pytest.mark.django_db(transaction=True)
def test_a_few_of_many_calls_that_hang_keep_nobody_waiting(fast, published):
    campaign = CampaignFactory(sending=True)
    EmailSendFactory.create_batch(400, campaign=campaign)

    with turn_of(campaign, Hanging(Outcome(Verdict.ACCEPTED), calls=4)):
        wait_for(lambda: published)

    assert EmailSend.objects.filter(status="sent").count() == 400


@pytest.mark.django_db(transaction=True)
def test_an_old_answer_does_not_pause_what_a_person_has_mended_and_resumed(fast, published):
    campaign = CampaignFactory(sending=True, waiting=5)

    with turn_of(campaign, Hanging(EXPIRED)):
        wait_for(lambda: type(campaign).objects.filter(status=CampaignStatus.PAUSED))
        campaign.refresh_from_db()
        lifecycle.start_campaign(campaign, by="anna", now=timezone.now())

    campaign.refresh_from_db()
    assert campaign.status == CampaignStatus.SENDING


@pytest.mark.parametrize("together", [1, 50])
@pytest.mark.parametrize(
    ("answer", "rate", "waiting", "status", "fewer_than", "reason"),
    [
        (Outcome(Verdict.UNKNOWN, error="InternalFailure"), 400.0, 400, "unknown", 150, "did not answer"),
        (Outcome(Verdict.REFUSED, error="BadRequest"), 2000.0, 600, "failed", 300, "the same error"),
    ],
)
def test_a_run_of_bad_answers_ends_the_turn_and_pauses(
    settings, published, together, answer, rate, waiting, status, fewer_than, reason
):
    settings.SES_MAX_SEND_RATE = rate
    campaign = CampaignFactory(sending=True)
    EmailSendFactory.create_batch(waiting, campaign=campaign)

    take_a_turn(campaign, MemoryTransport(lambda _message: answer, most_together=together))

    campaign.refresh_from_db()
    assert EmailSend.objects.filter(status=status).count() < fewer_than
    assert (campaign.status, reason in campaign.pause_reason) == (CampaignStatus.PAUSED, True)


def test_the_mails_of_a_call_without_an_answer_have_one_moment_so_that_calls_are_counted(settings, published):
    settings.SES_MAX_SEND_RATE = 1000.0
    campaign = CampaignFactory(sending=True)
    EmailSendFactory.create_batch(100, campaign=campaign)
    transport = MemoryTransport(lambda _message: Outcome(Verdict.UNKNOWN), most_together=50)

    take_a_turn(campaign, transport)

    moments = EmailSend.objects.filter(status="unknown").values("unknown_at").distinct().count()
    assert 1 < len(transport.parcels) == moments <= 5


def test_turns_that_reach_nobody_pause_in_the_end_and_everybody_waits(settings, published, monkeypatch):
    settings.SES_MAX_SEND_RATE, settings.CAMPAIGN_PAUSE_UNREACHED = 400.0, 3
    monkeypatch.setattr(safeguards, "_ONE_TRY", timedelta(0))
    campaign = CampaignFactory(sending=True, waiting=5)
    away = Outcome(Verdict.WAIT, error="ConnectTimeoutError: x", retry_after=0.01, unreached=True)

    for _ in range(9):  # a stall of the machine before a call costs a turn
        take_a_turn(campaign, MemoryTransport(lambda _message: away))
        campaign.refresh_from_db()

    assert (campaign.status, "reached 3 times" in campaign.pause_reason) == (CampaignStatus.PAUSED, True)
    assert EmailSend.objects.filter(status="queued", call_started_at=None).count() == 5


def test_mails_that_cannot_be_made_do_not_burn_the_list(settings, published, transport):
    settings.SES_MAX_SEND_RATE = 5000.0
    campaign = CampaignFactory(sending=True, reply_to="not an address")
    EmailSendFactory.create_batch(60, campaign=campaign)

    take_a_turn(campaign, transport)

    assert EmailSend.objects.filter(status="failed").count() == settings.CAMPAIGN_PAUSE_SAME_ERRORS


def test_people_who_may_not_get_it_cost_no_turn(settings, published, transport):
    settings.SES_MAX_SEND_RATE = 5.0
    campaign = CampaignFactory(sending=True, waiting=81)
    for send in EmailSend.objects.order_by("pk")[:80]:
        SuppressionFactory(email=send.email)

    take_a_turn(campaign, transport)

    assert EmailSend.objects.filter(status="skipped").count() == 80
    assert len(transport.sent) == 1


def test_a_chunk_of_people_who_may_not_get_it_is_not_passed_over_while_calls_are_in_flight(settings, published, transport):
    settings.SES_MAX_SEND_RATE, settings.CAMPAIGN_CHUNK_SIZE = 1000.0, 1
    campaign = CampaignFactory(sending=True, waiting=3)
    SuppressionFactory(email=EmailSend.objects.order_by("pk")[1].email)

    take_a_turn(campaign, transport)

    # The first one's answer wants to be recorded: the third is the next turn's.
    assert list(EmailSend.objects.order_by("pk").values_list("status", flat=True)) == ["sent", "skipped", "queued"]


@pytest.fixture
def delivered(monkeypatch, published):
    """What turns hand over instead of sending it: how many mails in their first chunk, and at which rate."""
    seen = []
    deliver = lambda mails, **words: seen.append((len(mails), words["rate"])) or delivering.Report()  # noqa: E731
    monkeypatch.setattr(delivering, "deliver", deliver)
    return seen


def test_a_turn_asks_ses_what_the_account_allows_and_keeps_to_it(settings, delivered, transport):
    settings.EMAIL_MODE, settings.SES_MAX_SEND_RATE = "ses", 1000.0
    transport.allows = Account(2.0, None, 0, sending_enabled=True, in_sandbox=False)

    take_a_turn(CampaignFactory(sending=True, waiting=30), transport)

    assert SendPace.objects.get().account_rate == 2.0
    assert delivered == [(10, 2.0)]


def test_a_turn_after_a_throttle_goes_at_half_the_pace(settings, delivered, transport):
    settings.SES_MAX_SEND_RATE = 8.0
    pacing.reserve(1, rate=1000)
    pacing.slow_down()

    take_a_turn(CampaignFactory(sending=True, waiting=60), transport)

    ((mails, rate),) = delivered
    assert (mails, rate) == (20, pytest.approx(4.0, abs=0.1))


def test_campaigns_share_the_time_and_each_goes_at_the_one_pace(settings, delivered, transport):
    settings.SES_MAX_SEND_RATE = 10.0

    for campaign in CampaignFactory.create_batch(5, sending=True, waiting=60):
        take_a_turn(campaign, transport)

    assert delivered == [(10, 10.0)] * 5


def test_a_loop_wakes_the_lanes_that_the_rate_asks_for(settings, delivered, transport, monkeypatch):
    settings.SES_MAX_SEND_RATE = 2500.0
    woken = []
    monkeypatch.setattr("campaigns.lanes.publish", lambda _name, *args: woken.append(args) or True)
    campaign = CampaignFactory(sending=True, waiting=3)

    take_a_turn(campaign, transport)

    assert [lane for _campaign, _generation, lane in woken] == [1, 2]


def test_a_lane_that_sent_something_comes_back(settings, fast, transport, monkeypatch):
    woken = []
    monkeypatch.setattr("campaigns.lanes.publish", lambda _name, *args: woken.append(args) or True)
    campaign = CampaignFactory(sending=True, waiting=3)
    lanes.wake_resting(campaign.pk, loops=2, now=timezone.now())
    (_, generation, lane) = woken.pop()

    tasks.send_chunk(campaign.pk, generation, lane)

    assert (len(woken), woken[0][2]) == (1, lane)
