"""One pace for all workers: send slots, reserved in PostgreSQL, an equal interval apart.

A worker reserves as many slots as it has mails and sends each at its slot, so the rate is exact for
any number of workers. The database's clock decides; a worker turns a slot into its own monotonic
clock when it reserves, so that a stepping wall clock cannot bunch mails.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

_RESERVE = """
INSERT INTO send_pace AS pace (id, next_slot_at) VALUES (1, clock_timestamp() + %(length)s * interval '1 second')
ON CONFLICT (id) DO UPDATE
   SET next_slot_at = CASE WHEN pace.next_slot_at >= clock_timestamp() - %(grace)s * interval '1 second'
                           THEN pace.next_slot_at ELSE clock_timestamp() END
                    + %(length)s * interval '1 second'
RETURNING next_slot_at, extract(epoch FROM next_slot_at - clock_timestamp())::float8 - %(length)s
"""

_GIVE_BACK = """
UPDATE send_pace SET next_slot_at = next_slot_at - %(length)s * interval '1 second'
 WHERE id = 1 AND next_slot_at = %(end)s
"""

_HOLD = """
UPDATE send_pace SET next_slot_at = greatest(next_slot_at, clock_timestamp() + %(seconds)s * interval '1 second')
 WHERE id = 1
"""


@dataclass(frozen=True)
class Slots:
    """`count` reserved moments, `interval` seconds apart; `first` is on this process' monotonic clock."""

    first: float
    interval: float
    count: int
    end: datetime  # the database's moment after the last slot

    def at(self, index: int) -> float:
        """The moment of one slot, on the monotonic clock."""
        return self.first + index * self.interval

    @property
    def wait(self) -> float:
        """Seconds from now until the first slot; negative when it has passed."""
        return self.first - time.monotonic()


def tolerance(interval: float) -> float:
    """How late, in seconds, a mail may still use its slot: half an interval, between 0.02 and 0.1 s.

    A sliding second then holds at most one mail above a slow rate and two in a hundred above a fast
    one; a stricter bound would give up slots for every hiccup of the machine.
    """
    return min(0.1, max(0.02, interval / 2))


def reserve(count: int, *, rate: float, late: bool = False) -> Slots:
    """Reserve the next `count` slots at `rate` mails per second, for this caller alone.

    A caller that comes a moment after the last slot continues the row of slots instead of starting
    a new one: a gap of milliseconds between chunks does not lower the pace. One that is `late` for
    its slots starts anew from now: catching up would squeeze mails together.
    """
    interval = 1.0 / rate
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, {"length": count * interval, "grace": 0.0 if late else tolerance(interval)})
        end, wait = cursor.fetchone()
    return Slots(first=time.monotonic() + wait, interval=interval, count=count, end=end)


def give_back(slots: Slots, *, used: int) -> None:
    """Return the slots after the first `used`, unless somebody reserved behind them already."""
    if used < slots.count:
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, {"length": (slots.count - used) * slots.interval, "end": slots.end})


def hold(seconds: float) -> None:
    """Let nobody reserve a slot within the next `seconds`: SES asked for less."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, {"seconds": seconds})
