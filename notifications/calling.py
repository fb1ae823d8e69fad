"""Calls to SES at their slots, each in a thread of its own that touches no database.

A call is not made when it would begin too late after its mails were checked, or when an answer meanwhile says that the
next mail would fare no better: its mails wait.
"""

import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from notifications.call_logging import log_outcomes
from notifications.ledgers import Settled
from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Transport, Verdict

# A call that a stalled machine or database, or a process that was stopped and woken, would begin so many seconds after
# its mails were checked is not made: somebody may have said no meanwhile, or the row may be another's.
_TOO_LATE = 0.9
_STALLED = "The machine stalled before the call."
# Two calls are never closer than such a share of the interval, however late the first was: a sliding second holds one mail
# more at most, at a fast pace none (`pacing.slot_interval`), and what a hiccup delayed is caught up with all the same.
_SMALLEST_GAP, _LARGEST_GAP = 0.9, 0.99


@dataclass(frozen=True, slots=True)
class Started:
    """A mail whose call is marked as started, and the moment of its slot on the monotonic clock."""

    id: int
    message: OutgoingMessage
    moment: float


def parcels(mails: Iterable[Started], transport: Transport, *, together: int) -> Iterator[list[Started]]:
    """What goes by one call each: up to `together` mails that may share one, and those that may not, alone."""
    open_ones: dict[Hashable, list[Started]] = {}
    for mail in mails:
        key = transport.call_key(mail.message) if together > 1 else None
        if key is None:
            yield [mail]
            continue
        parcel = open_ones.setdefault(key, [])
        parcel.append(mail)
        if len(parcel) == together:
            yield open_ones.pop(key)
    yield from open_ones.values()


class Calls:
    """The calls of one delivery. `enough` says why no further one is worth making; empty while they are.

    `halted` is why a person must act, `unknown` how many mails had no answer; `rest` how many seconds nobody should call,
    as `waits` answers said, of which `throttles` that we are too fast. `reached` says that SES answered at all, `unreached`
    why the last call did not get there. `one_sender`: all mails have the same, so that an answer about one sender is one
    about all of them.
    """

    def __init__(self, transport: Transport, *, rate: float, most_refused: int, most_unanswered: int, one_sender: bool) -> None:
        self.transport, self.one_sender = transport, one_sender
        self.most_refused, self.most_unanswered = most_refused, most_unanswered
        self.enough = ""
        self.halted = ""
        self.reached = False
        self.unreached = ""
        # Half a mail for the first of them, which may be half an interval late and count as punctual.
        self._gap = min(_LARGEST_GAP, max(_SMALLEST_GAP, (rate + 0.5) / (rate + 1)))
        self._next = 0.0
        # Not exact between threads; a run that is told from another by one or two is none.
        self._refused = self._unanswered = self.unknown = self.waits = self.throttles = 0
        self.rest = 0.0
        self._one_by_one = threading.Lock()

    def make(self, parcel: Sequence[Started], *, interval: float, checked_at: float) -> list[Settled]:
        """One call at its slot, timed and logged; none much later than `checked_at`. Never raises.

        The thread does the waiting, so that the next group can be started meanwhile.
        """
        self._wait_for_slot(parcel[0].moment, interval, mails=len(parcel))
        began = time.monotonic()
        if self.enough or began > checked_at + _TOO_LATE:
            not_called = Outcome(Verdict.WAIT, error=self.enough or _STALLED)
            return [Settled(mail.id, not_called, began) for mail in parcel]
        messages = [mail.message for mail in parcel]
        outcomes = self._outcomes(messages)
        ended = time.monotonic()
        self.heed(outcomes)
        self._note_reach(outcomes[0])
        # What left is recorded, whatever becomes of its line.
        with suppress(Exception):
            log_outcomes(messages, outcomes, duration_ms=round((ended - began) * 1000))
        return [Settled(mail.id, outcome, ended) for mail, outcome in zip(parcel, outcomes, strict=True)]

    def _outcomes(self, messages: list[OutgoingMessage]) -> list[Outcome]:
        try:
            outcomes = [self.transport.send(messages[0])] if len(messages) == 1 else self.transport.send_many(messages)
        except Exception as error:
            return [Outcome(Verdict.UNKNOWN, error=f"{type(error).__name__}: {error}")] * len(messages)
        missing = Outcome(Verdict.UNKNOWN, error="The transport did not answer about this mail.")
        return [*outcomes, *[missing] * len(messages)][: len(messages)]

    def heed(self, outcomes: Sequence[Outcome]) -> None:
        """See whether the next call is worth making; at once, for the sake of the calls that wait for their slots.

        `outcomes` are those of one call: where others of it were judged, one that waits for itself holds up nobody.
        """
        all_wait = all(outcome.verdict is Verdict.WAIT for outcome in outcomes)
        for outcome in outcomes:
            verdict = outcome.verdict
            self._refused = self._refused + 1 if verdict is Verdict.REFUSED else 0
            self.unknown += verdict is Verdict.UNKNOWN
            if verdict is Verdict.HALT and (self.one_sender or not outcome.about_sender):
                self.halted = self.halted or outcome.error
            if verdict is Verdict.WAIT and (all_wait or not outcome.about_mail):
                self._rest(outcome)
            if self._refused >= self.most_refused:
                self.enough = self.enough or f"The last {self._refused} mails were refused."
        self._unanswered += any(outcome.verdict is Verdict.UNKNOWN for outcome in outcomes)
        if self._unanswered > self.most_unanswered:
            self.enough = self.enough or f"SES did not answer {self._unanswered} calls."
        self.enough = self.enough or self.halted

    def _note_reach(self, outcome: Outcome) -> None:
        """A call that does not get there fails as a whole: the outcome of one of its mails tells."""
        self.unreached = outcome.error if outcome.unreached else ""
        if not outcome.unreached:
            self.reached = True

    def _rest(self, outcome: Outcome) -> None:
        self.enough = self.enough or outcome.error
        self.rest = max(self.rest, outcome.retry_after)
        self.waits += 1
        self.throttles += outcome.throttled

    def _wait_for_slot(self, moment: float, interval: float, *, mails: int) -> None:
        """Sleep until the slot; then one by one, so that a hiccup of the machine squeezes no calls together."""
        time.sleep(max(0.0, moment - time.monotonic()))
        with self._one_by_one:
            due = max(moment, self._next)
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            # A sleep that took a little too long is not added up, call after call; a hiccup is no reason to hurry.
            began = due if now - due < interval / 2 else now
            self._next = began + self._gap * interval * mails
