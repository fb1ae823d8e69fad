"""What somebody should be woken for. The apps know how to tell; here is the one list of those who tell.

A finder gets the time and returns what rings now: a count for each name. Names are declared, so that `/metrics` shows
0 while all is well and an alert rule can only name what exists.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

Finder = Callable[[datetime], Mapping[str, float]]


@dataclass(frozen=True)
class _Source:
    names: tuple[str, ...]
    find: Finder


_sources: list[_Source] = []


def register(names: Sequence[str], find: Finder) -> None:
    """Ask `find` at every scrape. It must be cheap (an index, a few rows) and change nothing."""
    _sources.append(_Source(tuple(names), find))


def names() -> set[str]:
    """Every alarm there is."""
    return {name for source in _sources for name in source.names}


def ringing(now: datetime) -> dict[str, float]:
    """Every alarm with how often it rings now; 0 is silence."""
    found: dict[str, float] = {}
    for source in _sources:
        counts = source.find(now)
        found |= {name: float(counts.get(name, 0)) for name in source.names}
    return found
