"""The slots of one delivery: reserved, moved back by urgent mail, taken anew once they have passed, given back."""

import time

from notifications import pacing

# Slots this far ahead are not worth holding claims for: the delivery ends, and its caller is woken again.
LONGEST_WAIT = 8.0  # seconds


class OwnSlots:
    """Slots at `rate` per second for the mails of one delivery, in their order; `urgent` ones go ahead of everybody's.

    `over` says why none of them should be used any more, empty while they may; `held`, that free ones lie too far ahead.
    """

    def __init__(self, *, rate: float, urgent: bool) -> None:
        self.rate, self.urgent = rate, urgent
        self.over, self.held = "", False
        self._used = 0
        self._slots: pacing.Slots | None = None

    @property
    def interval(self) -> float:
        """Seconds between two of them."""
        return self._reserved().interval

    def at(self, index: int) -> float:
        """The moment of the slot `index` places after the next one, on the monotonic clock."""
        return self._reserved().at(self._used + index)

    def look_ahead(self) -> None:
        """Hold urgent mail back whose slots would be far ahead; before it reserves any, which moves everybody's slots."""
        if self.urgent and pacing.urgent_wait(rate=self.rate) > LONGEST_WAIT:
            self.hold()

    def reserve(self, count: int, *, late: bool = False) -> None:
        """Take the next `count` slots; `held` when they begin too far ahead. `late`: from now on, to catch up with nothing."""
        try:
            self._slots = (
                pacing.reserve_urgent(count, rate=self.rate)
                if self.urgent
                else pacing.reserve(count, rate=self.rate, late=late, longest=LONGEST_WAIT)
            )
            self._used = 0
        except pacing.TooFarAhead:
            self.hold()

    def use(self, count: int) -> None:
        """The next `count` slots are used."""
        self._used += count

    def have_passed(self) -> bool:
        """Whether the next one is too long ago to be used."""
        return time.monotonic() > self.at(0) + pacing.tolerance(self.interval)

    def renew(self, count: int) -> None:
        """Slots from now on for `count` mails: to catch up would squeeze them together, here and in other threads."""
        self.give_back()
        self.reserve(count, late=True)

    def yield_to_urgent(self) -> None:
        """Move back by as many as urgent mail has taken since; `over` when SES has throttled somebody meanwhile."""
        if self.urgent:
            return
        self._slots = pacing.yield_to_urgent(self._reserved())
        if self._slots.slowed_down:
            self.over = "SES throttled somebody: the next turn has the new pace"

    def give_back(self) -> None:
        """Return those that were not used; urgent ones have moved everybody's already."""
        if self._slots and not self.urgent:
            pacing.give_back(self._slots, used=self._used)
        self._slots = None

    def hold(self) -> None:
        """Use none any more: the next one is too far ahead."""
        self.over, self.held = "the next free slot is far ahead", True

    def _reserved(self) -> pacing.Slots:
        if self._slots is None:
            raise RuntimeError("Slots are used before they are reserved.")
        return self._slots
