"""Faults on demand: what can go wrong between here and SES, switched on by flags or while it runs."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


class UnknownFault(ValueError):
    """There is no such fault, or it cannot have that value."""


def _share(what: str) -> Any:
    return field(default=0.0, metadata={"help": f"{what} (share, 0 to 1)", "most": 1.0})


def _number(default: float | None, what: str) -> Any:
    return field(default=default, metadata={"help": what, "most": 1e9})


def _switch(what: str) -> Any:
    return field(default=False, metadata={"help": what})


@dataclass(frozen=True)
class Faults:
    """Everything that can go wrong. Shares are of requests, of bulk entries, or of events."""

    max_send_rate: float | None = _number(None, "more recipients a second than this are throttled")
    daily_quota: float | None = _number(None, "more recipients in 24 h than this are refused")
    sending_paused: bool = _switch("the account's sending is paused")
    account_suspended: bool = _switch("the account is suspended")
    latency: float = _number(0.0, "seconds that every answer takes")
    stall: float = _share("accepted, then no answer for --stall-seconds")
    stall_seconds: float = _number(70.0, "how long a stalled answer takes")
    drop: float = _share("accepted, then the connection is closed without an answer")
    drop_before: float = _share("not accepted, and the connection is closed without an answer")
    error_500: float = _share("not accepted, answered 500")
    error_503: float = _share("not accepted, answered 503")
    error_500_after: float = _share("accepted, and answered 500 all the same")
    error_503_after: float = _share("accepted, and answered 503 all the same")
    entry_failure: float = _share("an entry of SendBulkEmail fails with TRANSIENT_FAILURE")
    events_duplicated: float = _share("events published twice")
    events_delayed: float = _share("events published late, by up to --events-delayed-seconds")
    events_delayed_seconds: float = _number(30.0, "how late a delayed event may be")
    events_shuffled: float = _share("mails whose events arrive in another order than they happened")
    events_dropped: float = _share("events never published")

    @property
    def spares_requests(self) -> bool:
        """Whether every request that is accepted is answered at once."""
        return not any(getattr(self, name) for name in (*_BEFORE, *_AFTER, "latency", "entry_failure"))


_BEFORE = ("drop_before", "error_500", "error_503")
_AFTER = ("stall", "drop", "error_500_after", "error_503_after")
NAMES = tuple(one.name for one in fields(Faults))
# Bad, but such that a patient sender gets everybody's mail out.
HOSTILE = Faults(
    latency=0.03,
    stall=0.002,
    drop=0.004,
    drop_before=0.004,
    error_500=0.004,
    error_503=0.008,
    error_500_after=0.004,
    entry_failure=0.01,
    events_duplicated=0.3,
    events_delayed=0.1,
    events_shuffled=0.3,
    events_dropped=0.01,
)


def changed(faults: Faults, wanted: Mapping[str, Any]) -> Faults:
    """The faults with some of them set anew. Raises UnknownFault, naming it."""
    for name, value in wanted.items():
        if name not in NAMES:
            raise UnknownFault(f"There is no fault {name!r}; there are: {', '.join(NAMES)}.")
        _check(name, value)
    return replace(faults, **wanted)


def as_json(faults: Faults) -> dict[str, Any]:
    """By name."""
    return asdict(faults)


def before(faults: Faults, dice: random.Random) -> str:
    """The fault that keeps this request from being accepted, or nothing."""
    return _drawn(faults, dice, _BEFORE)


def after(faults: Faults, dice: random.Random) -> str:
    """The fault that meets this request once it is accepted, or nothing."""
    return _drawn(faults, dice, _AFTER)


def _drawn(faults: Faults, dice: random.Random, names: tuple[str, ...]) -> str:
    draw = dice.random()
    for name in names:
        draw -= getattr(faults, name)
        if draw < 0:
            return name
    return ""


def _check(name: str, value: Any) -> None:
    by_name = {one.name: one for one in fields(Faults)}
    default, most = by_name[name].default, by_name[name].metadata.get("most", 0)
    if isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
        good, wanted = good or (value is None and default is None), f"a number from 0 to {most:g}"
    if not good:
        raise UnknownFault(f"{name} must be {wanted}.")
