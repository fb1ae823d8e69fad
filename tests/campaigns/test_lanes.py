from datetime import timedelta

import pytest
from django.db import transaction

from campaigns import dispatching, lanes
from campaigns.models import CampaignLane, EmailSend
from notifications.transports.memory import MemoryTransport
from tests import sessions
from tests.factories import CampaignFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch):
    calls = []
    monkeypatch.setattr("campaigns.lanes.publish", lambda name, *args: calls.append(args) or True)
    return calls


@pytest.mark.parametrize(("rate", "campaigns", "loops"), [(5, 1, 1), (1000, 1, 1), (2500, 1, 3), (2500, 3, 1), (100_000, 1, 16)])
def test_a_campaign_has_as_many_loops_as_its_share_of_the_rate_needs(rate, campaigns, loops):
    assert lanes.loops_for(rate, sending_campaigns=campaigns) == loops


def test_resting_lanes_are_woken_with_a_ticket_each(woken, now):
    campaign = CampaignFactory(sending=True)

    assert lanes.wake_resting(campaign.pk, loops=3, now=now) == 2

    assert sorted(woken) == [(campaign.pk, 1, 1), (campaign.pk, 1, 2)]


def test_a_living_lane_is_left_alone_and_a_silent_one_is_woken(woken, now):
    campaign = CampaignFactory(sending=True)
    lanes.wake_resting(campaign.pk, loops=2, now=now)

    assert lanes.wake_resting(campaign.pk, loops=2, now=now + timedelta(seconds=5)) == 0
    assert lanes.wake_resting(campaign.pk, loops=2, now=now + timedelta(seconds=60)) == 1


def test_a_lanes_ticket_works_once(woken, now):
    campaign = CampaignFactory(sending=True)
    lanes.wake_resting(campaign.pk, loops=2, now=now)

    assert lanes.use_ticket(campaign.pk, 1, 1, now=now) == 2
    assert lanes.use_ticket(campaign.pk, 1, 1, now=now) is None


def test_a_lanes_ticket_works_once_for_two_at_the_same_moment(transactional_db, woken, now):
    campaign = CampaignFactory(sending=True)
    lanes.wake_resting(campaign.pk, loops=2, now=now)

    with sessions.sessions_of_their_own() as run, transaction.atomic():
        mine = lanes.use_ticket(campaign.pk, 1, 1, now=now)
        other = run(lambda: lanes.use_ticket(campaign.pk, 1, 1, now=now))
        sessions.wait_for_waiters()

    assert (mine, other.result(30)) == (2, None)


def test_a_lane_of_a_paused_campaign_ends(now):
    campaign = CampaignFactory(paused=True)
    CampaignLane.objects.create(campaign=campaign, number=1, generation=1)

    assert lanes.use_ticket(campaign.pk, 1, 1, now=now) is None


def test_a_lane_sends_and_rests_when_nothing_is_left(woken, now, settings):
    settings.SES_MAX_SEND_RATE = 5000.0
    campaign = CampaignFactory(sending=True, waiting=30)
    lanes.wake_resting(campaign.pk, loops=2, now=now)
    transport = MemoryTransport(most_together=50)

    turn = dispatching.send_chunk(campaign.pk, 1, lane=1, transport=transport, clock=lambda: now)
    again = dispatching.send_chunk(campaign.pk, turn.generation, lane=1, transport=transport, clock=lambda: now)

    assert (turn.more, again.more) == (True, False)
    assert EmailSend.objects.filter(status="sent").count() == 30
    assert CampaignLane.objects.get().seen_at is None


def test_the_last_lane_finishes_the_campaign(woken, now, settings):
    settings.SES_MAX_SEND_RATE = 5000.0
    campaign = CampaignFactory(sending=True)
    lanes.wake_resting(campaign.pk, loops=2, now=now)

    dispatching.send_chunk(campaign.pk, 1, lane=1, transport=MemoryTransport(), clock=lambda: now)

    campaign.refresh_from_db()
    assert campaign.status == "sent"


def test_a_lane_that_the_rate_no_longer_needs_rests(woken, now, settings):
    campaign = CampaignFactory(sending=True, waiting=1)
    lanes.wake_resting(campaign.pk, loops=2, now=now)
    settings.SES_MAX_SEND_RATE = 5.0

    turn = dispatching.send_chunk(campaign.pk, 1, lane=1, transport=MemoryTransport(), clock=lambda: now)

    assert not turn.more
    assert EmailSend.objects.get().status == "queued"
