"""What somebody should be woken for. The apps know how to tell; here is the one list of those who tell.

A finder is called with `now` and returns what rings now: things with a `name`, one for each time. Names are declared,
so that `/metrics` shows 0 while all is well and an alert rule can only name what exists.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Ringing(Protocol):
    """An alarm that rings."""

    @property
    def name(self) -> str: ...


class Finder(Protocol):
    """Asked at every scrape: cheap (an index, a few rows), and changes nothing."""

    def __call__(self, *, now: datetime) -> Iterable[Ringing]: ...


@dataclass(frozen=True)
class _Source:
    names: tuple[str, ...]
    find: Finder


_sources: list[_Source] = []


def register(names: Sequence[str], find: Finder) -> None:
    """Let `/metrics` show these alarms. Call it once, from an AppConfig's `ready`."""
    _sources.append(_Source(tuple(names), find))


def ringing(now: datetime) -> dict[str, int]:
    """Every declared alarm with how often it rings now; 0 is silence."""
    found: dict[str, int] = {}
    for source in _sources:
        counts = Counter(alarm.name for alarm in source.find(now=now))
        found |= {name: counts[name] for name in source.names}
    return found
