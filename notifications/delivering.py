"""Claimed mails → transport → outcomes, at the reserved pace. Shared by outreach and transactional mail.

The caller's ledger says which mails may still go (and commits that they start) right before their
slot, and stores what became of them. The call itself happens outside any transaction, in a thread
that touches no database.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

import structlog
from django.db import Error as DatabaseError

from notifications import calling, pacing, slots
from notifications.call_logging import log_unmade
from notifications.ledgers import Ledger, Settled
from notifications.messages import OutgoingMessage, UnsendableMessage
from notifications.transports.base import Outcome, Transport, Verdict

log = structlog.get_logger("notifications")

_LARGEST_GROUP = 50
_LARGEST_GROUP_TOGETHER = 500
_RECORD_EVERY = 0.05  # seconds
_GLANCE = 0.02
# Calls that hang longer after the last was made keep nobody waiting, when they are so few, or such a share of all.
_LINGERING = 1.0  # seconds
_FEW = 2
_FEW_OF_MANY = 0.01
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
    """How a delivery ended: `halted` is why a person must act; `held` that slots were out of reach.

    `unknown` is how many mails had no answer. `reached` says that SES answered at all, `unreached` why the last call did not
    get there.
    """

    halted: str = ""
    held: bool = False
    unknown: int = 0
    reached: bool = False
    unreached: str = ""


def _nothing_more() -> Sequence[Mail]:
    return ()


def _ignore(_word: object) -> None:
    pass


def deliver(
    mails: Sequence[Mail],
    *,
    ledger: Ledger,
    transport: Transport,
    rate: float,
    more: Callable[[], Sequence[Mail]] = _nothing_more,
    urgent: bool = False,
    most_refused: int = 1000,
    most_unanswered: int = 5,
    one_sender: bool = True,
    on_halt: Callable[[str], object] = _ignore,
    on_lingering: Callable[[Report], object] = _ignore,
) -> Report:
    """Send mails at `rate` per second, shared with every other worker, and record each outcome.

    `more` is asked for further mails when these are on their way, until it has none: at high rates calls
    are in flight while the next chunk is claimed. `urgent` mails go ahead of everybody's reserved slots.

    Stops early when the transport says that a person must act (about a sender alone: if all mails have `one_sender`) or
    asks for a pause, when it refuses `most_refused` in a row or leaves more than `most_unanswered` calls without an answer,
    when the ledger refuses a whole group (a paused campaign), or when free slots lie too far ahead. Mails that were not
    started stay claimed: the caller releases them.

    `on_halt` hears at once why a person must act, `on_lingering` how it ended when nothing is left but a call that hangs.
    """
    calls = calling.Calls(transport, rate=rate, most_refused=most_refused, most_unanswered=most_unanswered, one_sender=one_sender)
    delivery = _Delivery(calls, ledger=ledger, rate=rate, urgent=urgent)
    delivery.on_halt, delivery.on_lingering = on_halt, on_lingering
    return delivery.run(mails, more)


def mails_together(transport: Transport, rate: float) -> int:
    """How many mails one call takes at this rate: 1, or from ten up to what the transport can take."""
    return min(transport.most_together, pacing.most_together(rate))


class _Delivery:
    def __init__(self, calls: calling.Calls, *, ledger: Ledger, rate: float, urgent: bool) -> None:
        self.calls, self.ledger, self.rate, self.urgent = calls, ledger, rate, urgent
        self.transport = calls.transport
        self.slots = slots.OwnSlots(rate=rate, urgent=urgent)
        self.on_halt: Callable[[str], object] = _ignore
        self.on_lingering: Callable[[Report], object] = _ignore
        self._take_together(mails_together(calls.transport, rate))
        self.flying: set[Future[list[Settled]]] = set()
        self.ended: list[Settled] = []
        self.record_at = 0.0
        self.waits = self.throttles = self.handed_over = 0
        self.ended_by = ""
        self.halted = self.ending = False

    def _take_together(self, together: int) -> None:
        self.together = together
        largest = _LARGEST_GROUP if together == 1 else _LARGEST_GROUP_TOGETHER
        self.group_size = max(together, min(largest, int(self.rate * pacing.GROUP_SECONDS)), 1)
        # Two groups at least: one that calls, and one that waits for its moments.
        self.calls_a_group = math.ceil(self.group_size / together)
        most = _MOST_HANDS if together == 1 else _MOST_HANDS_TOGETHER
        self.hands = max(2 * self.calls_a_group, min(most, math.ceil(self.rate / together * _SLOWEST_USUAL_CALL)))

    def stopped(self) -> str:
        """Why nothing more should be started; empty while something should."""
        return self.ended_by or self.slots.over or self.calls.enough

    def report(self) -> Report:
        """How it has ended as far as is known."""
        calls = self.calls
        return Report(calls.halted, self.slots.held, calls.unknown, reached=calls.reached, unreached=calls.unreached)

    def run(self, mails: Sequence[Mail], more: Callable[[], Sequence[Mail]]) -> Report:
        # Threads are made when they are needed; so many are when every mail turns out to go alone.
        with ThreadPoolExecutor(max(self.hands, 2 * _LARGEST_GROUP), thread_name_prefix="send") as pool:
            try:
                while mails:
                    self._send(mails, pool)
                    mails = () if self.stopped() else more()
                self._wait_for_answers()
            finally:
                # Also when the database failed a moment ago: what left must be written down.
                self._record_until_none_flies()
        return self.report()

    def _send(self, mails: Sequence[Mail], pool: ThreadPoolExecutor) -> None:
        self.slots.look_ahead()
        if self.stopped():
            return
        # Urgent slots begin at once, and cannot be given back: what takes time is done before.
        made = self._next_group(mails) if self.urgent else None
        self.slots.reserve(len(mails))
        try:
            left = mails
            while left and not self.stopped():
                group, messages = made or self._next_group(left)
                made = None
                self._wait_for_slot(len(left))
                if self.stopped() or not self._send_group(group, messages, pool):
                    self.ended_by = self.stopped() or "nothing of a group may be sent"
                    break
                self.slots.use(len(group))
                left = left[len(group) :]
        finally:
            self.slots.give_back()
            if self.calls.rest:
                # Once more: the slots that were given back had been moved behind the pause.
                pacing.hold(self.calls.rest)

    def _next_group(self, left: Sequence[Mail]) -> tuple[Sequence[Mail], dict[int, OutgoingMessage]]:
        """The mails to start by the next statement, and their messages; fewer when most must go by calls of their own."""
        group = left[: self.group_size]
        messages = self._made(group)
        if self.together > 1 and self._are_mostly_alone(messages.values()):
            self._take_together(1)
            group = group[: self.group_size]
        return group, messages

    def _are_mostly_alone(self, messages: Iterable[OutgoingMessage]) -> bool:
        return sum(self.transport.call_key(message) is None for message in messages) > self.calls_a_group

    def _wait_for_slot(self, left: int) -> None:
        """Wait for the next slot; when it has passed, or hands were busy for too long, take new ones for those `left`."""
        self._wait_for_hands()
        self.slots.yield_to_urgent()
        if self.slots.have_passed() and not self.stopped():
            self.slots.renew(left)
        patient_until = time.monotonic() + slots.LONGEST_WAIT
        while not self.stopped() and (start := self.slots.at(0) - pacing.LEAD) > time.monotonic():
            # The sum counts: however often urgent mail moves the slot, the claims must outlast the wait for it.
            if start > patient_until:
                self.slots.hold()
                break
            self._record_until(start)
            # Urgent mail may have taken slots meanwhile.
            self.slots.yield_to_urgent()
        self._take_in(timeout=0)

    def _send_group(self, group: Sequence[Mail], messages: dict[int, OutgoingMessage], pool: ThreadPoolExecutor) -> bool:
        """Start and hand over one group; False when nothing of it may be sent."""
        going = [(index, mail.id) for index, mail in enumerate(group) if mail.id in messages]
        # Before the statement, not after it: it may wait for a lock, and knows what was true when it began.
        checked_at = time.monotonic()
        ids = self._started([mail_id for _, mail_id in going]) if going else set()
        started = [
            calling.Started(mail_id, messages[mail_id], self.slots.at(index)) for index, mail_id in going if mail_id in ids
        ]
        for parcel in calling.parcels(started, self.transport, together=self.together):
            # A copy of the context, so that the log line in the thread carries the task's id.
            call = partial(copy_context().run, self.calls.make, parcel, interval=self.slots.interval, checked_at=checked_at)
            self.flying.add(pool.submit(call))
            self.handed_over += 1
        return bool(started) or not going

    def _started(self, ids: list[int]) -> set[int]:
        """Mark calls started. A mark of which nobody can say whether it was committed is taken back: no call is made."""
        try:
            return self.ledger.start(ids)
        except DatabaseError:
            now = time.monotonic()
            self.ledger.record([Settled(mail_id, _NOT_STARTED, now) for mail_id in ids])
            raise

    def _made(self, group: Sequence[Mail]) -> dict[int, OutgoingMessage]:
        """The group's messages; those that cannot be made have failed, without a call."""
        made, failed = {}, []
        for mail in group:
            try:
                made[mail.id] = mail.make()
            except UnsendableMessage as error:
                failed.append(Settled(mail.id, Outcome(Verdict.REFUSED, error=str(error)), time.monotonic()))
                self.calls.heed([failed[-1].outcome])
                if self.calls.enough:
                    break
        if failed:
            self.ledger.record(failed)
            for one in failed:
                log_unmade(one.id, one.outcome)
        return made

    def _wait_for_hands(self) -> None:
        while len(self.flying) > self.hands - self.calls_a_group:
            self._give_sign_of_life()
            self._take_in(timeout=_GLANCE)

    def _give_sign_of_life(self) -> None:
        # Answers come also while PostgreSQL is away; what they say is stored with patience.
        with suppress(DatabaseError):
            self.ledger.give_sign_of_life()

    def _record_until(self, moment: float) -> None:
        """Record outcomes until `moment`, those of a twentieth of a second together."""
        while (left := moment - time.monotonic()) > 0:
            self._give_sign_of_life()
            time.sleep(min(left, _RECORD_EVERY))
            self._take_in(timeout=0)
        self._take_in(timeout=0)

    def _wait_for_answers(self) -> None:
        """Those of usual calls; when a few others hang, the caller hears of it and may go on."""
        until, few = time.monotonic() + _LINGERING, max(_FEW, int(_FEW_OF_MANY * self.handed_over))
        while self.flying and (time.monotonic() < until or len(self.flying) > few):
            self._give_sign_of_life()
            self._take_in(timeout=_RECORD_EVERY)
        if self.flying:
            self.on_lingering(self.report())

    def _record_until_none_flies(self) -> None:
        self.ending = True
        while self.flying or self.ended:
            self._take_in(timeout=_RECORD_EVERY)

    def _take_in(self, *, timeout: float) -> None:
        """Record the answers that came, together with others (each alone would cost as much as its call), and heed them."""
        done, self.flying = wait(self.flying, timeout=timeout)
        came = [one for future in done for one in future.result()]
        self.ended += came
        if self.ended and (time.monotonic() > self.record_at or not self.flying):
            self.ledger.record(self.ended)
            self.ended, self.record_at = [], time.monotonic() + _RECORD_EVERY
        # Last: should the database fail now, the answers are recorded, or will be at the end.
        try:
            self._heed()
        except DatabaseError:
            # At the end the answers that still come must be recorded all the same.
            if not self.ending:
                raise
            log.exception("answer_not_heeded")

    def _heed(self) -> None:
        """What the answers mean for everybody's pace, and whether a person must act."""
        if self.calls.halted and not self.halted:
            self.halted = True
            self.on_halt(self.calls.halted)
        if (throttles := self.calls.throttles) > self.throttles:
            self.throttles = throttles
            pacing.slow_down()
        if (waits := self.calls.waits) > self.waits:
            self.waits = waits
            pacing.hold(self.calls.rest)
