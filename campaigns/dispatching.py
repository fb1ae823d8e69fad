"""One chunk of a campaign: enrol, claim, send at the reserved pace, record, and say whether there is more."""

import math
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import connection, transaction

from campaigns import claiming, composing, enrolling, lifecycle
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications import delivering
from notifications.transports.base import Transport
from prospects import catching_up

log = structlog.get_logger("campaigns")

# A chunk is short, so that a redelivered task is harmless and other campaigns get their turn.
CHUNK_SECONDS = 5.0
# A claim must outlast the wait for its slot and the chunk; a call's lease the longest call.
CLAIM_LEASE = CHUNK_SECONDS + delivering.LONGEST_WAIT + 12.0
_CALL_MARGIN = 15.0
_ENROL_SECONDS = 5.0
_SHORTEST_CHUNK_SECONDS = 1.0
_DAILY_LIMIT = 0x5E5_0002  # the key of an advisory lock


@dataclass(frozen=True)
class Chunk:
    """What a chunk leaves: whether another should follow, and the ticket for it."""

    more: bool
    generation: int = 0


def send_chunk(campaign_id: int, generation: int, *, transport: Transport, clock: Callable[[], datetime]) -> Chunk:
    """Send the next chunk of a campaign, if this ticket is still good.

    At most CAMPAIGN_CHUNK_SIZE recipients and about five seconds of send slots. Finishes the campaign
    when its ledger is settled, and pauses it when SES says that a person must act.
    """
    ticket = lifecycle.use_ticket(campaign_id, generation, now=clock())
    if ticket is None:
        return Chunk(more=False)

    if catching_up.is_behind():
        # Somebody's no is kept in a file that PostgreSQL does not know yet; the next sweep looks again.
        log.warning("campaign_waits_for_unsubscribes", campaign_id=campaign_id)
        lifecycle.rest(campaign_id, ticket)
        return Chunk(more=False)
    enrolled = enrolling.enrol(campaign_id, seconds=_ENROL_SECONDS)
    campaign = Campaign.objects.get(pk=campaign_id)
    busy = _send_some(campaign, transport, now=clock())
    if lifecycle.finish_campaign(campaign_id, now=clock()):
        return Chunk(more=False)
    if busy or not enrolled:
        return Chunk(more=True, generation=ticket)
    # Rows in flight elsewhere end their lease first, a daily limit makes room, SES answers again.
    lifecycle.rest(campaign_id, ticket)
    return Chunk(more=False)


def chunk_size(*, rate: float, sending_campaigns: int) -> int:
    """How many recipients one chunk takes: a few seconds' worth, shared among the sending campaigns."""
    # Not shorter: tasks would then start more often than their rate limit lets them.
    seconds = max(_SHORTEST_CHUNK_SECONDS, CHUNK_SECONDS / max(1, sending_campaigns))
    return max(1, min(settings.CAMPAIGN_CHUNK_SIZE, math.floor(rate * seconds)))


def left_today(limit: int, *, now: datetime) -> int:
    """How many outreach mails a limit still allows in the 24 hours that end now, claimed ones deducted."""
    called = EmailSend.objects.filter(call_started_at__gt=now - timedelta(hours=24)).count()
    claimed = EmailSend.objects.filter(lease_until__isnull=False, call_started_at=None).count()
    return max(0, limit - called - claimed)


@transaction.atomic
def _claim(campaign: Campaign, *, slice_id: uuid.UUID, limit: int, now: datetime) -> tuple[list[claiming.Claimed], int]:
    """Claim up to `limit` rows, within the daily limit when there is one."""
    if settings.CAMPAIGN_DAILY_LIMIT is not None:
        with connection.cursor() as cursor:
            # Counting and claiming are one step, or two workers would both take what is left.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DAILY_LIMIT])
        limit = min(limit, left_today(settings.CAMPAIGN_DAILY_LIMIT, now=now))
    if not limit:
        # The sweep asks again every few seconds; the oldest of today's mails makes room.
        log.info("daily_limit_reached", campaign_id=campaign.pk)
        return [], 0
    return claiming.claim(campaign.pk, slice_id=slice_id, limit=limit, lease=CLAIM_LEASE)


def _send_some(campaign: Campaign, transport: Transport, *, now: datetime) -> bool:
    """Claim and send; returns whether it is worth coming back at once."""
    rate = settings.SES_MAX_SEND_RATE
    sending = Campaign.objects.filter(status=CampaignStatus.SENDING).count()
    slice_id = uuid.uuid4()
    limit = chunk_size(rate=rate, sending_campaigns=sending)
    claimed, skipped = _claim(campaign, slice_id=slice_id, limit=limit, now=now)
    if not claimed:
        return skipped > 0

    ledger = claiming.CampaignLedger(campaign.pk, slice_id=slice_id, call_lease=transport.longest_call + _CALL_MARGIN)
    # Only now: claims that outlived a pause are void, so these words are the ones that were resumed with.
    campaign.refresh_from_db()
    compose = composing.composer(campaign)
    mails = [delivering.Mail(row.id, partial(compose, row)) for row in claimed]
    try:
        report = delivering.deliver(mails, ledger=ledger, transport=transport, rate=rate)
    finally:
        ledger.release([row.id for row in claimed])
    if report.halted:
        # Somebody may have paused or finished it in the same moment; then it is still already.
        with suppress(lifecycle.WrongStatus):
            lifecycle.pause_campaign(campaign, by="SES", reason=report.halted)
    return not report.halted and not report.held
