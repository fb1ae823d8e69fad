"""Reads what the fake SES wrote down, and asks it the questions of a run."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.chaos.fake_ses import AMBIGUOUS


@dataclass(frozen=True)
class Entry:
    """One recipient of one call; `at` in seconds since 1970, when the whole request had arrived."""

    at: float
    accepted: bool
    fault: str
    send_id: str
    campaign: int
    to: str
    message_id: str
    call: str


def read(path: Path) -> list[Entry]:
    """Every whole line, in the order of arrival; the last may be still in writing."""
    return _read(path, path.stat().st_size) if path.exists() else []


@lru_cache(maxsize=1)
def _read(path: Path, size: int) -> list[Entry]:
    # The size is for the cache: every campaign of a run is judged by the same ledger.
    entries = []
    for line in path.read_bytes()[:size].decode().splitlines(keepends=True):
        if line.endswith("\n"):
            at, verdict, fault, send_id, campaign, to, message_id, call = line.rstrip("\n").split("\t")
            entries.append(Entry(float(at), verdict == "accepted", fault, send_id, int(campaign or 0), to, message_id, call))
    return entries


def duplicates(entries: list[Entry]) -> dict[tuple[int, str], int]:
    """Who was accepted more than once in one campaign, and how often."""
    taken = Counter((entry.campaign, entry.to) for entry in entries if entry.accepted)
    return {who: n for who, n in taken.items() if n > 1}


def accepted(entries: list[Entry]) -> set[str]:
    """The send ids that SES took."""
    return {entry.send_id for entry in entries if entry.accepted}


def ambiguous(entries: list[Entry]) -> set[str]:
    """The send ids whose caller was left without a usable answer."""
    return {entry.send_id for entry in entries if entry.fault in AMBIGUOUS}


def busiest_second(entries: list[Entry]) -> int:
    """The most mails that reached SES within any sliding second, refused ones included."""
    times = sorted(entry.at for entry in entries)
    most = begin = 0
    for end, at in enumerate(times):
        while at - times[begin] >= 1.0:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def mean_rate(entries: list[Entry]) -> float:
    """Mails a second between the first and the last."""
    times = sorted(entry.at for entry in entries)
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0
