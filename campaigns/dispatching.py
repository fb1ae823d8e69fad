"""A turn of a campaign's loop: enrol, then chunk after chunk claim, send at the reserved pace and record."""

import copy
import math
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import connection, transaction

from campaigns import claiming, composing, enrolling, lanes, lifecycle, reporting, safeguards
from campaigns.models import Campaign, CampaignStatus
from notifications import delivering, pacing, quota, slots
from notifications.delivering import Mail
from notifications.transports.base import Transport
from prospects import catching_up

log = structlog.get_logger("campaigns")

# A turn is short, so that a redelivered task is harmless and other campaigns get theirs.
CHUNK_SECONDS = 5.0
# A claim must outlast the wait for its slot and the chunk; a call's lease the longest call.
CLAIM_LEASE = CHUNK_SECONDS + slots.LONGEST_WAIT + 12.0
_CALL_MARGIN = 15.0
_ENROL_SECONDS = 5.0
_SHORTEST_TURN = 1.0
_SHORTEST_CHUNK = 0.4
# What is left of a turn then is not worth another chunk.
_TOO_SHORT = 0.5
_DAY = 0x5E5_0002  # the key of an advisory lock

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Chunk:
    """What a turn leaves: whether another should follow, and the ticket for it."""

    more: bool
    generation: int = 0


def send_chunk(campaign_id: int, generation: int, *, transport: Transport, clock: Clock, lane: int = 0) -> Chunk:
    """Take the next turn of a campaign's loop, or of a lane beside it, if this ticket is still good.

    A turn sends for about five seconds: one chunk at a slow rate, several of at most CAMPAIGN_CHUNK_SIZE
    recipients at a fast one. The campaign's own loop finishes it when its ledger is settled; either pauses it
    when SES says that a person must act.
    """
    if lane:
        return _turn_of_lane(campaign_id, lane, generation, transport=transport, clock=clock)
    ticket = lifecycle.use_ticket(campaign_id, generation, now=clock())
    if ticket is None:
        return Chunk(more=False)

    if catching_up.is_behind():
        # Somebody's no is kept in a file that PostgreSQL does not know yet; the next sweep looks again.
        log.warning("campaign_waits_for_unsubscribes", campaign_id=campaign_id)
        lifecycle.rest(campaign_id, ticket)
        return Chunk(more=False)
    enrolled = enrolling.enrol(campaign_id, seconds=_ENROL_SECONDS)
    quota.refresh(transport, now=clock())
    turn = _Turn(
        campaign_id,
        transport,
        clock,
        sign_of_life=partial(lifecycle.give_sign_of_life, campaign_id),
        pass_on=partial(lifecycle.wake, campaign_id, ticket),
    )
    lanes.wake_resting(campaign_id, loops=turn.loops, now=clock())
    busy = turn.run()
    if lifecycle.finish_campaign(campaign_id, now=clock()) or turn.passed_on:
        return Chunk(more=False)
    if busy or not enrolled:
        return Chunk(more=True, generation=ticket)
    # Rows in flight elsewhere end their lease first, a daily limit makes room, SES answers again.
    lifecycle.rest(campaign_id, ticket)
    return Chunk(more=False)


def requeue(campaign_id: int, chunk: Chunk, *, lane: int = 0) -> None:
    """Let the next turn follow, when there is one."""
    if chunk.more and lane:
        lanes.wake(campaign_id, chunk.generation, lane)
    elif chunk.more:
        lifecycle.wake(campaign_id, chunk.generation)


def call_lease(transport: Transport) -> float:
    """Seconds after the start of a call when it has certainly ended, and its outcome was stored if anybody could."""
    return transport.longest_call + _CALL_MARGIN


def chunk_size(*, rate: float, loops: int) -> int:
    """How many recipients one chunk takes: a turn's worth, shared among all loops of all campaigns."""
    # So short that the slots of twenty loops lie within `LONGEST_WAIT`: whoever finds no place there rests while others go on.
    seconds = max(_SHORTEST_CHUNK, CHUNK_SECONDS / max(1, loops))
    return max(1, min(settings.CAMPAIGN_CHUNK_SIZE, math.floor(rate * seconds)))


def left_today(limit: int, *, now: datetime) -> int:
    """How many outreach mails a limit still allows in the 24 hours that end now, claimed ones deducted."""
    return max(0, limit - reporting.called_since(now - timedelta(hours=24)))


def _turn_of_lane(campaign_id: int, lane: int, generation: int, *, transport: Transport, clock: Clock) -> Chunk:
    ticket = lanes.use_ticket(campaign_id, lane, generation, now=clock())
    if ticket is None:
        return Chunk(more=False)
    turn = _Turn(
        campaign_id,
        transport,
        clock,
        sign_of_life=partial(lanes.give_sign_of_life, campaign_id, lane),
        pass_on=partial(lanes.wake, campaign_id, ticket, lane),
    )
    busy = lane < turn.loops and not catching_up.is_behind() and turn.run()
    if busy and not turn.passed_on:
        return Chunk(more=True, generation=ticket)
    if not busy:
        lanes.rest(campaign_id, lane, ticket)
    # The loop may have found this lane's last mails still in flight.
    lifecycle.finish_campaign(campaign_id, now=clock())
    return Chunk(more=False)


def _turn_seconds(loops: int) -> float:
    # Not shorter: tasks would then start more often than their rate limit lets them.
    return max(_SHORTEST_TURN, CHUNK_SECONDS / max(1, loops))


class _WhileCaughtUp:
    """A ledger of which nothing is started any more once somebody's no is kept in a file that PostgreSQL does not know of."""

    def __init__(self, ledger: claiming.CampaignLedger) -> None:
        self._ledger = ledger
        self.record, self.give_sign_of_life = ledger.record, ledger.give_sign_of_life

    def start(self, ids: list[int]) -> set[int]:
        """Mark calls started; none while requests wait, which ends the turn and lets its rows wait again."""
        return set() if catching_up.is_behind() else self._ledger.start(ids)


class _Turn:
    """Some seconds of one loop: chunks are claimed while the calls of the one before are in flight.

    `pass_on` wakes the next turn; called here, and `passed_on` set, when all that is left of this one is a call that hangs.
    """

    def __init__(
        self,
        campaign_id: int,
        transport: Transport,
        clock: Clock,
        *,
        sign_of_life: Callable[[], None],
        pass_on: Callable[[], object],
    ) -> None:
        self.transport, self.clock, self.pass_on, self.passed_on = transport, clock, pass_on, False
        self.campaign = Campaign.objects.get(pk=campaign_id)
        # As it was: whoever resumes it meanwhile has looked at what this turn may find.
        self.found = copy.copy(self.campaign)
        self.rate = pacing.allowed_rate()
        sending = Campaign.objects.filter(status=CampaignStatus.SENDING).count()
        self.loops = lanes.loops_for(self.rate, sending_campaigns=sending)
        # A lane has as long a turn as a loop: only campaigns divide the time.
        self.all_loops = self.loops * max(1, sending)
        self.until = time.monotonic() + _turn_seconds(sending)
        self.ledger = claiming.CampaignLedger(campaign_id, slice_id=uuid.uuid4(), sign_of_life=sign_of_life)
        self.skipped = False
        self._count_again_at = 0.0
        self._left_at_least: int | None = None
        self._near_an_end = False

    def run(self) -> bool:
        """Claim and send; returns whether it is worth coming back at once."""
        try:
            # Later chunks are claimed while calls are in flight: these want to be recorded.
            mails = self._next_chunk(patient=True)
            if not mails:
                return self.skipped
            report = delivering.deliver(
                mails,
                ledger=_WhileCaughtUp(self.ledger),
                transport=self.transport,
                rate=self.rate,
                more=self._chunk_in_time,
                most_refused=settings.CAMPAIGN_PAUSE_SAME_ERRORS,
                most_unanswered=settings.CAMPAIGN_PAUSE_UNANSWERED,
                on_halt=self._stop,
                on_lingering=self._linger,
            )
        finally:
            self.ledger.release()
        # What an earlier call of a turn that lingered had reached was noted when it did.
        safeguards.note_reach(self.found, reached=report.reached and not self.passed_on, unreached=report.unreached)
        return self._comes_back(report)

    def _linger(self, report: delivering.Report) -> None:
        self.ledger.release()
        safeguards.note_reach(self.found, reached=report.reached, unreached="")
        if self._comes_back(report):
            self.passed_on = True
            self.pass_on()

    def _comes_back(self, report: delivering.Report) -> bool:
        if report.halted:
            self._stop(report.halted)
        elif self.ledger.trouble:
            safeguards.protect([self.campaign.pk], now=self.clock())
        return not report.halted and not report.held

    def _chunk_in_time(self) -> Sequence[Mail]:
        return self._next_chunk() if self.until - time.monotonic() > _TOO_SHORT else ()

    def _next_chunk(self, *, patient: bool = False) -> Sequence[Mail]:
        """The next claimed rows and how to make their mails; when `patient`, not none because all of a chunk are skipped."""
        claimed = self._claim_somebody(patient=patient)
        if not claimed:
            return ()
        # Only now: claims that outlived a pause are void, so these words are the ones that were resumed with.
        self.campaign.refresh_from_db()
        compose = composing.composer(self.campaign)
        return [Mail(row.id, partial(compose, row)) for row in claimed]

    def _claim_somebody(self, *, patient: bool) -> list[claiming.Claimed]:
        while True:
            claimed, skipped = self._claim(chunk_size(rate=self.rate, loops=self.all_loops))
            self.skipped |= skipped > 0
            # A chunk of which nobody may get it takes no slot, so it needs no turn of its own either.
            if claimed or not skipped or not patient or self.until - time.monotonic() < _TOO_SHORT:
                return claimed

    @transaction.atomic
    def _claim(self, limit: int) -> tuple[list[claiming.Claimed], int]:
        """Claim up to `limit` rows, within the daily limit and the account's quota when there are any."""
        limit = min([limit, *self._limits(limit)])
        if not limit:
            # The sweep asks again every few seconds; the oldest of today's mails makes room.
            log.info("daily_limit_reached", campaign_id=self.campaign.pk)
            return [], 0
        return self.ledger.claim(limit=limit, lease=CLAIM_LEASE)

    def _limits(self, chunk: int) -> list[int]:
        left: list[int | None] = []
        if not self._near_an_end:
            left = [self._left_of_quota(), self._left_of_today()]
            # What all loops take at once, and as much again for those that were woken since.
            self._near_an_end = any(limit is not None and limit < 2 * self.all_loops * chunk for limit in left)
        if self._near_an_end:
            _one_at_a_time()
            left = [self._left_of_quota(), self._counted_today()]
        return [limit for limit in left if limit is not None]

    def _left_of_today(self) -> int | None:
        """What CAMPAIGN_DAILY_LIMIT allows at least, without a count of a day's mails for every chunk of them."""
        if time.monotonic() >= self._count_again_at and (left := self._counted_today()) is not None:
            # Until then everybody together can have used the other half.
            self._count_again_at = time.monotonic() + left / 2 / self.rate
            self._left_at_least = left // 2
        return self._left_at_least

    def _counted_today(self) -> int | None:
        limit = settings.CAMPAIGN_DAILY_LIMIT
        return None if limit is None else left_today(limit, now=self.clock())

    def _left_of_quota(self) -> int | None:
        return quota.left_for_outreach(rate=self.rate, now=self.clock(), sent_since=reporting.called_since)

    def _stop(self, reason: str) -> None:
        # Somebody may have paused or finished it meanwhile, or mended the cause and resumed it.
        with suppress(lifecycle.WrongStatus):
            lifecycle.stop_campaign(self.found, by="SES", reason=reason)


def _one_at_a_time() -> None:
    """Counting and claiming are one step, or two workers would both take what is left."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DAY])
