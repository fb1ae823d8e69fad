"""One pace for all workers: send slots, reserved in PostgreSQL, an equal interval apart.

A worker reserves as many slots as it has mails and sends each at its slot, so the rate is exact for
any number of workers. The database's clock decides; a worker turns a slot into its own monotonic
clock when it reserves, so that a stepping wall clock cannot bunch mails.

Urgent (transactional) mail takes the first reserved slot for which nobody has begun yet, and moves everybody's slots from
there on back by one: it waits for a call or two, for a second at most, and every second stays within the rate.
"""

import math
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

# Additive increase, multiplicative decrease, as TCP does it.
_HALVE = 0.5
_LOWEST_SHARE = 0.01
# A lowered pace is back at its full height after ten minutes at most: a tenth of the full rate a minute.
_SECONDS_TO_FULL = 600.0
_FAR_AHEAD = 120.0  # seconds
# So long before its slot a mail is started, and does not make room for urgent mail any more.
LEAD = 0.05  # seconds
# At a fast pace mails share calls, and those of one call leave at one moment: so many seconds' worth. Fewer than ten are not
# worth a call that may leave all of them unknown; SES takes fifty.
_TOGETHER_SECONDS = 0.025
_FEWEST_TOGETHER, _MOST_TOGETHER = 10, 50
# Mails whose slots lie within so many seconds are started in one statement, and yield to nobody any more.
GROUP_SECONDS = 0.1
# At a fast pace a mail is so late at most when it is looked at, and so much is spared for it: a little more, as its call begins
# a little later still.
_LATEST, _SPARED = 0.015, 0.02  # seconds
# So many urgent callers may have taken slots at the same moment.
_MOST_AT_ONCE = 64

# Nobody gets slots that begin later than `longest` from now: whoever would have to give them back again may find others
# behind them, and slots that nobody uses are lost. One beyond `believed` was left by a clock that was set back since.
_RESERVE = """
INSERT INTO send_pace AS pace (id, next_slot_at) VALUES (1, clock_timestamp() + %(length)s * interval '1 second')
ON CONFLICT (id) DO UPDATE
   SET next_slot_at = CASE WHEN pace.next_slot_at BETWEEN clock_timestamp() - %(grace)s * interval '1 second'
                            AND clock_timestamp() + %(believed)s * interval '1 second'
                           THEN pace.next_slot_at ELSE clock_timestamp() END
                    + %(length)s * interval '1 second'
 WHERE pace.next_slot_at NOT BETWEEN clock_timestamp() + %(longest)s * interval '1 second'
                             AND clock_timestamp() + %(believed)s * interval '1 second'
RETURNING next_slot_at, extract(epoch FROM next_slot_at - clock_timestamp())::float8 - %(length)s, urgent_taken, throttled_at
"""

# The first reserved slot for which nobody has begun yet what cannot be taken back: from it on everybody moves. At a pace
# so slow that it is more than a second away, urgent mail goes between two others.
_SLOT_TO_TAKE = """greatest(
    clock_timestamp(),
    least(clock_timestamp() + interval '1 second', pace.next_slot_at - %(interval)s * interval '1 second'
        * greatest(0, floor((extract(epoch FROM pace.next_slot_at - clock_timestamp()) - %(lead)s) / %(interval)s))))"""

_RESERVE_URGENT = f"""
INSERT INTO send_pace AS pace (id, next_slot_at, urgent_slot_at, urgent_taken)
SELECT 1, slot, slot, %(count)s FROM (SELECT clock_timestamp() + %(length)s * interval '1 second') AS first (slot)
ON CONFLICT (id) DO UPDATE
   SET urgent_slot_at = greatest(CASE WHEN pace.urgent_slot_at < clock_timestamp() + %(believed)s * interval '1 second'
                                      THEN pace.urgent_slot_at END,
                                 {_SLOT_TO_TAKE})
                      + %(length)s * interval '1 second',
       next_slot_at = greatest(pace.next_slot_at, clock_timestamp()) + %(length)s * interval '1 second',
       urgent_taken = pace.urgent_taken + %(count)s
RETURNING urgent_slot_at, extract(epoch FROM urgent_slot_at - clock_timestamp())::float8 - %(length)s, urgent_taken, throttled_at
"""  # noqa: S608 - written above

# As `_RESERVE_URGENT` has it: a slot that lies further ahead was left by a clock that was set back since.
_URGENT_WAIT = """
SELECT CASE WHEN urgent_slot_at BETWEEN clock_timestamp()
                  AND clock_timestamp() + %(believed)s * interval '1 second'
            THEN extract(epoch FROM urgent_slot_at - clock_timestamp())::float8 ELSE 0 END
  FROM send_pace WHERE id = 1
"""

# Urgent mail moves both ends by intervals that are rounded, and grow shorter while a pace recovers: far less than a slot.
_GIVE_BACK = """
UPDATE send_pace SET next_slot_at = next_slot_at - %(length)s * interval '1 second'
 WHERE id = 1 AND abs(extract(epoch FROM next_slot_at - %(end)s::timestamptz)) < %(interval)s / 4
"""

_HOLD = """
UPDATE send_pace SET next_slot_at = greatest(next_slot_at, clock_timestamp() + %(seconds)s * interval '1 second')
 WHERE id = 1
"""

# A throttle in the future was noted by a clock that has been set back since: it was a moment ago, or nobody knows when.
_SINCE = """CASE WHEN throttled_at > clock_timestamp() + interval '1 minute' THEN %(seconds_to_full)s
                 ELSE greatest(0, coalesce(extract(epoch FROM clock_timestamp() - throttled_at), 0)) END"""
_SHARE = f"least(1, share + {_SINCE} / %(seconds_to_full)s)::float8"

_ALLOWED = f"SELECT {_SHARE}, account_rate FROM send_pace WHERE id = 1"  # noqa: S608 - written above

# Many calls in flight are throttled together: that is one sign, not many. All slots that are reserved are void then, so new
# ones need not come after them; only what has been started a moment ago still leaves.
_SLOW_DOWN = f"""
UPDATE send_pace SET share = greatest(%(lowest)s, %(factor)s * {_SHARE}), throttled_at = clock_timestamp(),
       next_slot_at = least(next_slot_at, clock_timestamp() + interval '0.2 seconds')
 WHERE id = 1
   AND (throttled_at IS NULL OR throttled_at NOT BETWEEN clock_timestamp() - interval '1 second' AND clock_timestamp())
"""  # noqa: S608 - both parts are written above


@dataclass(frozen=True)
class Slots:
    """`count` reserved moments, `interval` seconds apart; `first` is on this process' monotonic clock."""

    first: float
    interval: float
    count: int
    end: datetime  # the database's moment after the last slot
    urgent_taken: int = 0  # how many urgent slots had been taken when these were reserved
    throttled_at: datetime | None = None  # when SES had last throttled anybody
    slowed_down: bool = False  # SES has throttled somebody since: these slots are too close together

    def at(self, index: int) -> float:
        """The moment of one slot, on the monotonic clock."""
        return self.first + index * self.interval

    @property
    def wait(self) -> float:
        """Seconds from now until the first slot; negative when it has passed."""
        return self.first - time.monotonic()


class TooFarAhead(Exception):
    """The next free slot is not worth waiting for: others go first."""


def tolerance(interval: float) -> float:
    """How late, in seconds, a mail may still use its slot: half an interval, between 0.015 and 0.1 s.

    A sliding second then holds at most one mail more than slots; at a fast pace, where it would be more, slots are that much
    further apart (`slot_interval`). A stricter bound would give up slots for every hiccup of the machine.
    """
    return min(0.1, max(_LATEST, interval / 2))


def slot_interval(rate: float) -> float:
    """Seconds between two slots at `rate` mails a second.

    Below 50/s `1 / rate`: a sliding second may then hold one mail more. From 50/s on one call and two in a hundred are
    spared, and no sliding second holds more than the rate: a mail may be late, and those of one call leave together.
    """
    if rate < 1 / _SPARED:
        return 1.0 / rate
    return (1.0 + _SPARED) / (rate - most_together(rate))


def most_together(rate: float) -> int:
    """How many mails may share a call at this rate: 1, or ten to fifty."""
    together = min(_MOST_TOGETHER, int(rate * _TOGETHER_SECONDS))
    return together if together >= _FEWEST_TOGETHER else 1


def allowed_rate() -> float:
    """Mails per second for everybody now: SES_MAX_SEND_RATE or the account's own, whichever is less, lowered by throttles.

    A throttle halves it; then it grows again by a tenth of the full rate a minute.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ALLOWED, {"seconds_to_full": _SECONDS_TO_FULL})
        share, account_rate = cursor.fetchone() or (1.0, None)
    rate: float = settings.SES_MAX_SEND_RATE
    if settings.EMAIL_MODE == "ses" and account_rate:
        rate = min(rate, account_rate)
    return rate * float(share)


def slow_down() -> None:
    """SES said that we send too fast: halve everybody's pace, once a second at most."""
    values = {"lowest": _LOWEST_SHARE, "factor": _HALVE, "seconds_to_full": _SECONDS_TO_FULL}
    with connection.cursor() as cursor:
        cursor.execute(_SLOW_DOWN, values)


def reserve(count: int, *, rate: float, late: bool = False, longest: float = math.inf) -> Slots:
    """Reserve the next `count` slots at `rate` mails per second, for this caller alone.

    Raises TooFarAhead, and reserves nothing, when the first of them begins later than `longest` seconds from now.

    A caller that comes a moment after the last slot continues the row of slots instead of starting
    a new one: a gap of milliseconds between chunks does not lower the pace. One that is `late` for
    its slots starts anew from now: catching up would squeeze mails together.
    """
    interval = slot_interval(rate)
    values = {"grace": 0.0 if late else tolerance(interval), "longest": min(longest, _believed(count, interval))}
    return _reserved(_RESERVE, count, interval, values)


def reserve_urgent(count: int, *, rate: float) -> Slots:
    """Reserve `count` slots from now on, an interval apart, ahead of everybody who is not urgent.

    Where others have slots reserved, theirs are taken from those on that are not started yet, and they move back by as many.
    """
    interval = slot_interval(rate)
    # Of a group that is started the last may have its slot so much later than the first.
    lead = LEAD + (GROUP_SECONDS if rate * GROUP_SECONDS >= 2 else 0.0)
    return _reserved(_RESERVE_URGENT, count, interval, {"count": count, "lead": lead, "interval": interval})


def urgent_wait(*, rate: float) -> float:
    """Seconds until the next slot that `reserve_urgent` would give at this rate; nothing is reserved."""
    with connection.cursor() as cursor:
        cursor.execute(_URGENT_WAIT, {"believed": _believed(1, slot_interval(rate))})
        (seconds,) = cursor.fetchone() or (0.0,)
    return float(seconds)


def yield_to_urgent(slots: Slots) -> Slots:
    """The same slots, moved back by as many as urgent mail has taken since, and whether the pace was lowered since."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT urgent_taken, throttled_at FROM send_pace WHERE id = 1")
        urgent_taken, throttled_at = cursor.fetchone() or (slots.urgent_taken, slots.throttled_at)
    if (urgent_taken, throttled_at) == (slots.urgent_taken, slots.throttled_at):
        return slots
    seconds = (urgent_taken - slots.urgent_taken) * slots.interval
    end, slowed_down = slots.end + timedelta(seconds=seconds), throttled_at != slots.throttled_at
    return replace(slots, first=slots.first + seconds, end=end, urgent_taken=urgent_taken, slowed_down=slowed_down)


def give_back(slots: Slots, *, used: int) -> None:
    """Return the slots after the first `used`, unless somebody reserved behind them already or a throttle made them void."""
    if used < slots.count and not slots.slowed_down:
        length = (slots.count - used) * slots.interval
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, {"length": length, "end": slots.end, "interval": slots.interval})


def hold(seconds: float) -> None:
    """Let nobody reserve a slot within the next `seconds`: SES asked for less."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, {"seconds": seconds})


def _believed(count: int, interval: float) -> float:
    """How many seconds ahead somebody may honestly have reserved."""
    return _FAR_AHEAD + (2 * count + _MOST_AT_ONCE) * interval


def _reserved(statement: str, count: int, interval: float, values: dict[str, float]) -> Slots:
    with connection.cursor() as cursor:
        cursor.execute(statement, values | {"length": count * interval, "believed": _believed(count, interval)})
        reserved = cursor.fetchone()
    if reserved is None:
        raise TooFarAhead
    end, wait, *known = reserved
    return Slots(time.monotonic() + wait, interval, count, end, *known)
