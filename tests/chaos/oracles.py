"""What must be true after a run, whatever happened in it. Each oracle answers with what is wrong, or nothing.

The ledger of the fake SES is the truth about what left; the rows are what the product believes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos import ledger
from tests.chaos.ledger import Entry

# So long a statement that began before an answer may run on after it, on a machine whose cores are all busy.
_STALL = 0.3  # seconds
_NOT_SENT = frozenset({"queued", "sending", "failed", "skipped"})


@dataclass(frozen=True)
class Row:
    """One row of `email_sends`; `started` is when its call was marked, in seconds since 1970."""

    id: int
    send_id: str
    email: str
    status: str
    sent: bool
    message_id: str
    started: float | None
    error: str = ""


@dataclass
class Evidence:
    """Everything that is known about one campaign of a run."""

    entries: Sequence[Entry]
    everybodys: Sequence[Entry]  # of the other campaigns and of transactional mail, too: the pace is one for all
    rows: Sequence[Row]
    people: Collection[str]
    enrolled: int | None = None  # how many rows the product says it made
    flying: Collection[int] = ()
    nos: Mapping[str, float] = field(default_factory=dict)
    pauses: Sequence[tuple[float, float]] = ()
    a_pause_takes: float = 1.0
    most_a_second: float | None = None
    unbalanced: Sequence[object] = ()
    failures: Sequence[tuple[float, float, int]] = ()
    outages: Sequence[tuple[float, float]] = ()


def nobody_twice(seen: Evidence) -> list[str]:
    """O1: no address was accepted twice in one campaign."""
    return [f"{to} {n} times" for (_, to), n in ledger.duplicates(list(seen.entries)).items()]


def nobody_lost(seen: Evidence) -> list[str]:
    """O2: whoever was planned was mailed, or the row says why not."""
    taken = {entry.to for entry in seen.entries if entry.accepted}
    told = {row.email for row in seen.rows if not row.sent}
    return sorted(set(seen.people) - taken - told)


def sent_is_true(seen: Evidence) -> list[str]:
    """O3: a row that says sent is in the ledger, under the same message id."""
    taken = {(entry.send_id, entry.message_id) for entry in seen.entries if entry.accepted}
    return [f"{row.email} ({row.message_id})" for row in seen.rows if row.sent and (row.send_id, row.message_id) not in taken]


def denied_is_true(seen: Evidence) -> list[str]:
    """O3, the other way: a row that says failed, skipped or waiting is not in the ledger."""
    taken = ledger.accepted(list(seen.entries))
    return [f"{row.email} is {row.status}" for row in seen.rows if row.status in _NOT_SENT and row.send_id in taken]


def unknown_has_a_cause(seen: Evidence) -> list[str]:
    """O4: a row is unknown only if its call was under way when something died, or SES gave no usable answer."""
    ambiguous = ledger.ambiguous(list(seen.entries))
    unknown = [row for row in seen.rows if row.status == "unknown"]
    return [
        f"{row.email} (row {row.id}, {row.error})"
        for row in unknown
        if row.id not in seen.flying and row.send_id not in ambiguous
    ]


def no_means_no(seen: Evidence) -> list[str]:
    """O5: no call was marked as started for an address after its no had been answered.

    The call itself begins within 0.9 s of its mark, and so within the second that a no may take.
    """
    started = {row.email: row.started for row in seen.rows if row.started is not None}
    late = {email: started.get(email, at) - at for email, at in seen.nos.items()}
    return [f"{email}, {seconds:.3f} s later" for email, seconds in late.items() if seconds > _STALL]


def pause_is_kept(seen: Evidence) -> list[str]:
    """No call arrived later than a moment after a pause was answered, before it was asked to go on."""
    return [
        f"{entry.to}, {entry.at - paused:.3f} s later"
        for paused, resumed in seen.pauses
        for entry in seen.entries
        if paused + seen.a_pause_takes < entry.at < resumed
    ]


def pace_is_kept(seen: Evidence) -> list[str]:
    """O6: no sliding second holds more than it may."""
    busiest = ledger.busiest_second(list(seen.everybodys))
    return [f"{busiest} in one second"] if seen.most_a_second is not None and busiest > seen.most_a_second else []


def end_is_reached(seen: Evidence) -> list[str]:
    """O7: nothing waits and nothing is in flight."""
    return [f"{row.email} is {row.status}" for row in seen.rows if row.status in {"queued", "sending"}]


def account_balances(seen: Evidence) -> list[str]:
    """O8: planned = waiting + in_flight + sent + failed + unknown + skipped in every reading."""
    return [str(stats) for stats in seen.unbalanced]


def rows_are_counted(seen: Evidence) -> list[str]:
    """O8, the other way: the product's alarm compares with a count that is right."""
    return [] if seen.enrolled in {None, len(seen.rows)} else [f"{seen.enrolled} enrolled, {len(seen.rows)} rows"]


def api_answers(seen: Evidence) -> list[str]:
    """O9: no 5xx unless PostgreSQL was away while it was asked."""
    return [
        f"{status} at {began:.1f}"
        for began, ended, status in seen.failures
        if not any(ended >= away and began <= back for away, back in seen.outages)
    ]


ALL = (
    nobody_twice,
    nobody_lost,
    sent_is_true,
    denied_is_true,
    unknown_has_a_cause,
    no_means_no,
    pause_is_kept,
    pace_is_kept,
    end_is_reached,
    account_balances,
    rows_are_counted,
    api_answers,
)


def broken(seen: Evidence) -> dict[str, list[str]]:
    """What is wrong, by oracle; empty when the run was good."""
    return {oracle.__name__: wrong for oracle in ALL if (wrong := oracle(seen))}
