"""More loops beside a campaign's own, when the rate is more than one process can send.

The campaign's loop enrols, wakes the lanes and finishes; a lane only claims and sends. The claims
keep them apart, and the slots that all of them reserve keep the pace.
"""

import math
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from campaigns.models import Campaign, CampaignLane, CampaignStatus
from outreach.publishing import publish

# What one process sends by bulk calls with ease, in mails per second.
_RATE_OF_ONE_LOOP = 1000.0
_MOST_LOOPS = 16
_SILENT_AFTER = timedelta(seconds=15)


def loops_for(rate: float, *, sending_campaigns: int) -> int:
    """How many loops a campaign has, its own included, while so many campaigns share the rate (mails per second)."""
    return max(1, min(_MOST_LOOPS, math.ceil(rate / _RATE_OF_ONE_LOOP / max(1, sending_campaigns))))


def wake_resting(campaign_id: int, *, loops: int, now: datetime) -> int:
    """Wake the lanes of a campaign that rest or have been silent; returns how many."""
    numbers = range(1, loops)
    if not numbers:
        return 0
    lanes = CampaignLane.objects.filter(campaign_id=campaign_id, number__in=numbers)
    missing = set(numbers) - set(lanes.values_list("number", flat=True))
    CampaignLane.objects.bulk_create(
        [CampaignLane(campaign_id=campaign_id, number=number) for number in missing], ignore_conflicts=True
    )
    silent = Q(seen_at__lt=now - _SILENT_AFTER) | Q(seen_at__gt=now + _SILENT_AFTER)  # the latter: a clock was set back
    resting = lanes.filter(Q(seen_at=None) | silent)
    return sum(_wake(lane, now) for lane in resting)


def use_ticket(campaign_id: int, number: int, generation: int, *, now: datetime) -> int | None:
    """Use up a lane's ticket; returns the next one, or None when this one is void or the campaign is not sending."""
    # Asked beside the row and not by a join, which Django would put into a query of ids: whoever waits for the row then
    # looks at its generation no more, and the ticket works twice.
    sends = Exists(Campaign.objects.filter(pk=OuterRef("campaign_id"), status=CampaignStatus.SENDING))
    lane = CampaignLane.objects.filter(sends, campaign_id=campaign_id, number=number, generation=generation)
    return generation + 1 if lane.update(generation=F("generation") + 1, seen_at=now) else None


def give_sign_of_life(campaign_id: int, number: int) -> None:
    """Say that a lane lives."""
    CampaignLane.objects.filter(campaign_id=campaign_id, number=number).update(seen_at=Now())


def rest(campaign_id: int, number: int, generation: int) -> None:
    """Say that a lane has nothing to do: the campaign's loop wakes it when there is more."""
    CampaignLane.objects.filter(campaign_id=campaign_id, number=number, generation=generation).update(seen_at=None)


def wake(campaign_id: int, generation: int, number: int) -> bool:
    """Ask a worker to run a lane's next turn."""
    return publish("campaigns.tasks.send_chunk", campaign_id, generation, number)


def _wake(lane: CampaignLane, now: datetime) -> bool:
    mine = CampaignLane.objects.filter(pk=lane.pk, generation=lane.generation)
    moved = mine.update(generation=F("generation") + 1, seen_at=now)
    return bool(moved) and wake(lane.campaign_id, lane.generation + 1, lane.number)
