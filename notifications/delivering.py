"""Claimed mails → transport → outcomes, at the reserved pace. Shared by outreach and transactional mail.

The caller's ledger says which mails may still go (and commits that they start) right before their
slot, and stores what became of them. The call itself happens outside any transaction, in a thread
that touches no database.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from django.db import Error as DatabaseError

from notifications import pacing
from notifications.call_logging import log_outcomes
from notifications.ledgers import Ledger, Settled
from notifications.messages import OutgoingMessage, UnsendableMessage
from notifications.transports.base import Outcome, Transport, Verdict

# Slots this far ahead are not worth holding claims for: the chunk ends and is woken again.
LONGEST_WAIT = 8.0
# Mails whose slots lie within this many seconds are started in one statement.
_GROUP_SECONDS = 0.1
_LARGEST_GROUP = 50
_LARGEST_GROUP_TOGETHER = 500
# Mails of one call leave at one moment; so many seconds' worth squeeze no more into a sliding second
# than `pacing.tolerance` does. Fewer than ten are not worth a call that may leave all of them unknown.
_TOGETHER_SECONDS = 0.025
_FEWEST_TOGETHER = 10
# The starting statement runs this long before its first slot, so that the call itself is on time.
_LEAD = 0.05
_RECORD_EVERY = 0.05  # seconds
_GLANCE = 0.02
# Two calls are never closer than such a share of the interval, however late the first was: so that a sliding second
# holds about one mail more than it should, and what a hiccup delayed is caught up with all the same.
_SMALLEST_GAP, _LARGEST_GAP = 0.9, 0.98
# A call that a stalled machine, or a process that was stopped and woken, would begin so many seconds after it was
# checked is not made: somebody may have said no meanwhile, or the row may be another's.
_TOO_LATE = 0.9
_NOT_CALLED = Outcome(Verdict.WAIT, error="The machine stalled before the call.")
_NOT_STARTED = Outcome(Verdict.WAIT, error="PostgreSQL was away before the call.")
# Enough hands that an SES answering in two seconds does not lower the pace.
_SLOWEST_USUAL_CALL = 2.0
_MOST_HANDS = 64
# Each holds fifty mails and their JSON: more would cost memory, and a lane more costs less.
_MOST_HANDS_TOGETHER = 24


@dataclass(frozen=True, slots=True)
class Mail:
    """One claimed row and how to make its message; making it may raise UnsendableMessage."""

    id: int
    make: Callable[[], OutgoingMessage]


@dataclass(frozen=True)
class Report:
    """How a delivery ended: `halted` is why a person must act; `held` that slots were out of reach."""

    halted: str = ""
    held: bool = False


def _nothing_more() -> Sequence[Mail]:
    return ()


def deliver(
    mails: Sequence[Mail],
    *,
    ledger: Ledger,
    transport: Transport,
    rate: float,
    more: Callable[[], Sequence[Mail]] = _nothing_more,
    urgent: bool = False,
) -> Report:
    """Send mails at `rate` per second, shared with every other worker, and record each outcome.

    `more` is asked for further mails when these are on their way, until it has none: at high rates calls
    are in flight while the next chunk is claimed. `urgent` mails go ahead of everybody's reserved slots.

    Stops early when the transport says that a person must act or asks for a pause, when the ledger
    refuses a whole group (a paused campaign), or when free slots lie too far ahead. Mails that were
    not started stay claimed: the caller releases them.
    """
    return _Delivery(mails, ledger=ledger, transport=transport, rate=rate, more=more, urgent=urgent).run()


def mails_together(transport: Transport, rate: float) -> int:
    """How many mails one call takes at this rate: 1, or from ten up to what the transport can take."""
    together = min(transport.most_together, int(rate * _TOGETHER_SECONDS))
    return together if together >= _FEWEST_TOGETHER else 1


class _Delivery:
    def __init__(
        self,
        mails: Sequence[Mail],
        *,
        ledger: Ledger,
        transport: Transport,
        rate: float,
        more: Callable[[], Sequence[Mail]] = _nothing_more,
        urgent: bool = False,
    ) -> None:
        self.mails, self.ledger, self.transport, self.rate, self.more = mails, ledger, transport, rate, more
        self.together = mails_together(transport, rate)
        largest = _LARGEST_GROUP if self.together == 1 else _LARGEST_GROUP_TOGETHER
        self.group_size = max(self.together, min(largest, int(rate * _GROUP_SECONDS)), 1)
        self.urgent = urgent
        # Two groups at least: one that calls, and one that waits for its moments.
        calls = math.ceil(self.group_size / self.together)
        most = _MOST_HANDS if self.together == 1 else _MOST_HANDS_TOGETHER
        self.hands = max(2 * calls, min(most, math.ceil(rate / self.together * _SLOWEST_USUAL_CALL)))
        self.calls_a_group = calls
        self.flying: set[Future[list[Settled]]] = set()
        self.ended: list[Settled] = []
        self.record_at = 0.0
        self.stop = ""
        self.halted = ""
        self.held = False
        self.gap = min(_LARGEST_GAP, max(_SMALLEST_GAP, rate / (rate + 1)))
        self.next_call = 0.0
        self.one_by_one = threading.Lock()

    def run(self) -> Report:
        with ThreadPoolExecutor(self.hands, thread_name_prefix="send") as pool:
            try:
                mails = self.mails
                while mails:
                    self._send(mails, pool)
                    mails = () if self.stop else self.more()
            finally:
                # Also when the database failed a moment ago: what left must be written down.
                self._record_until_none_flies()
        return Report(halted=self.halted, held=self.held)

    def _send(self, mails: Sequence[Mail], pool: ThreadPoolExecutor) -> None:
        reserve = pacing.reserve_urgent if self.urgent else pacing.reserve
        slots, used = reserve(len(mails), rate=self.rate), 0
        try:
            for begin in range(0, len(mails), self.group_size):
                group = mails[begin : begin + self.group_size]
                slots, used = self._on_time(slots, used, len(mails) - begin)
                if self.stop or not self._send_group(group, slots, used, pool):
                    self.stop = self.stop or "nothing of a group may be sent"
                    break
                used += len(group)
        finally:
            if not self.urgent:
                pacing.give_back(slots, used=used)

    def _on_time(self, slots: pacing.Slots, used: int, left: int) -> tuple[pacing.Slots, int]:
        """Wait for the next slot; when it has passed, or hands were busy for too long, take new ones."""
        self._wait_for_hands()
        if not self.urgent:
            slots = pacing.yield_to_urgent(slots)
            if time.monotonic() > slots.at(used) + pacing.tolerance(slots.interval):
                pacing.give_back(slots, used=used)
                slots, used = pacing.reserve(left, rate=self.rate, late=True), 0
        if slots.at(used) - time.monotonic() > LONGEST_WAIT:
            self.stop, self.held = "the next free slot is far ahead", True
            return slots, used
        self._record_until(slots.at(used) - _LEAD)
        return slots, used

    def _send_group(self, group: Sequence[Mail], slots: pacing.Slots, used: int, pool: ThreadPoolExecutor) -> bool:
        """Start and hand over one group; False when nothing of it may be sent."""
        messages = self._made(group)
        started = self._started([mail.id for mail in group if mail.id in messages]) if messages else set()
        checked_at = time.monotonic()
        going = [(used + index, mail.id) for index, mail in enumerate(group) if mail.id in started]
        for begin in range(0, len(going), self.together):
            parcel = going[begin : begin + self.together]
            mine = [(mail_id, messages[mail_id]) for _, mail_id in parcel]
            # A copy of the context, so that the log line in the thread carries the task's id.
            moment = slots.at(parcel[0][0])
            latest = max(moment, checked_at) + _TOO_LATE
            call = partial(copy_context().run, self._call, mine, moment, slots.interval, latest)
            self.flying.add(pool.submit(call))
        return bool(started) or not messages

    def _started(self, ids: list[int]) -> set[int]:
        """Mark calls started. A mark of which nobody can say whether it was committed is taken back: no call is made."""
        try:
            return self.ledger.start(ids)
        except DatabaseError:
            now = time.monotonic()
            self.ledger.record([Settled(mail_id, _NOT_STARTED, now) for mail_id in ids])
            raise

    def _call(self, parcel: list[tuple[int, OutgoingMessage]], moment: float, interval: float, latest: float) -> list[Settled]:
        """One call at its slot, timed and logged; none after `latest`. Runs in a thread of its own; never raises.

        The thread does the waiting, so that the next group can be started meanwhile.
        """
        self._wait_for_slot(moment, interval, mails=len(parcel))
        began = time.monotonic()
        if began > latest:
            return [Settled(mail_id, _NOT_CALLED, began) for mail_id, _ in parcel]
        messages = [message for _, message in parcel]
        outcomes = self._outcomes(messages)
        ended = time.monotonic()
        log_outcomes(messages, outcomes, duration_ms=round((ended - began) * 1000))
        return [Settled(mail_id, outcome, ended) for (mail_id, _), outcome in zip(parcel, outcomes, strict=True)]

    def _outcomes(self, messages: list[OutgoingMessage]) -> list[Outcome]:
        if len(messages) == 1:
            return [self.transport.send(messages[0])]
        return self.transport.send_many(messages)

    def _wait_for_slot(self, moment: float, interval: float, *, mails: int = 1) -> None:
        """Sleep until the slot; then one by one, so that a hiccup of the machine squeezes no calls together."""
        time.sleep(max(0.0, moment - time.monotonic()))
        with self.one_by_one:
            due = max(moment, self.next_call)
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            # A sleep that took a little too long is not added up, call after call; a hiccup is no reason to hurry.
            began = due if now - due < interval / 2 else now
            self.next_call = began + self.gap * interval * mails

    def _made(self, group: Sequence[Mail]) -> dict[int, OutgoingMessage]:
        """The group's messages; those that cannot be made have failed, without a call."""
        made, failed = {}, []
        for mail in group:
            try:
                made[mail.id] = mail.make()
            except UnsendableMessage as error:
                failed.append(Settled(mail.id, Outcome(Verdict.REFUSED, error=str(error)), time.monotonic()))
        if failed:
            self.ledger.record(failed)
        return made

    def _wait_for_hands(self) -> None:
        while len(self.flying) > self.hands - self.calls_a_group:
            self._take_in(timeout=_GLANCE)

    def _record_until(self, moment: float) -> None:
        """Record outcomes until `moment`, those of a twentieth of a second together."""
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, _RECORD_EVERY))
            self._take_in(timeout=0)
        self._take_in(timeout=0)

    def _record_until_none_flies(self) -> None:
        while self.flying or self.ended:
            self._take_in(timeout=_RECORD_EVERY)

    def _take_in(self, *, timeout: float) -> None:
        """Heed the answers that came, and record them together with others: each alone would cost as much as its call."""
        done, self.flying = wait(self.flying, timeout=timeout)
        came = [one for future in done for one in future.result()]
        self._heed(came)
        self.ended += came
        if self.ended and (time.monotonic() > self.record_at or not self.flying):
            self.ledger.record(self.ended)
            self.ended, self.record_at = [], time.monotonic() + _RECORD_EVERY

    def _heed(self, settled: Iterable[Settled]) -> None:
        """Stop when an answer says that the next mail would fare no better."""
        waits: list[Outcome] = []
        for one in settled:
            if one.outcome.verdict is Verdict.HALT:
                self.stop = self.halted = one.outcome.error
            elif one.outcome.verdict is Verdict.WAIT:
                waits.append(one.outcome)
        if waits:
            self.stop = self.stop or waits[0].error
            if any(outcome.throttled for outcome in waits):
                pacing.slow_down()
            pacing.hold(max(outcome.retry_after for outcome in waits))
