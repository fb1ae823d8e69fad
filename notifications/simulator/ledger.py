"""Who was accepted: the only truth in a rehearsal. Written before the answer."""

import itertools
import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from notifications.simulator.mails import Mail
from notifications.simulator.refusing import bad_request

_BODIES_KEPT = 1_000
_FILTERS = ("message_id", "to", "subject", "operation", "tag", "since", "limit", "offset")
_MOST_LISTED = 10_000


class Ledger:
    """The last `most` mails in memory; all of them, one JSON object a line, in `file` when there is one."""

    def __init__(self, *, most: int, file: Path | None = None) -> None:
        self.mails: deque[Mail] = deque(maxlen=most)
        self.accepted = 0
        self._with_bodies: deque[Mail] = deque()
        # O_APPEND: what one write holds stays together, also beside other writers.
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if file else None

    def write(self, mails: list[Mail]) -> None:
        """Keep what is about to be answered as accepted."""
        if self._file is not None:
            os.write(self._file, "".join(json.dumps(mail.summary()) + "\n" for mail in mails).encode())
        self.accepted += len(mails)
        self.mails.extend(mails)
        self._with_bodies.extend(mails)
        while len(self._with_bodies) > _BODIES_KEPT:
            self._with_bodies.popleft().forget_bodies()

    def clear(self) -> int:
        """Forget all of it (the file stays); returns how many there were."""
        count, self.accepted = self.accepted, 0
        self.mails.clear()
        self._with_bodies.clear()
        return count

    def one(self, message_id: str) -> Mail | None:
        """The mail with this id, if it is still in memory."""
        return next((mail for mail in reversed(self.mails) if mail.message_id == message_id), None)

    def read(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What `GET /ledger` answers: totals, and the mails that the filters leave, oldest first.

        Raises Refusal for a filter that is not known or not understood.
        """
        if unknown := sorted(set(query) - set(_FILTERS)):
            raise bad_request(f"Unknown filter {unknown[0]!r}; known are: {', '.join(_FILTERS)}.")
        found = list(self._found(query))
        offset, limit = _whole(query, "offset", 0), min(_whole(query, "limit", 100), _MOST_LISTED)
        return {
            "accepted": self.accepted,
            "kept": len(self.mails),
            "count": len(found),
            "most_to_one_address": max(_addresses(found).values(), default=0),
            "addresses": len(_addresses(found)),
            "pace": pace(found),
            "mails": [mail.summary() for mail in found[offset : offset + limit]],
        }

    def _found(self, query: Mapping[str, str]) -> Iterable[Mail]:
        name, _, value = query.get("tag", "").partition(":")
        since = _number(query, "since")
        for mail in self.mails:
            wanted = (
                query.get("message_id") in (None, mail.message_id)
                and query.get("operation") in (None, mail.operation)
                and query.get("subject", "") in mail.subject
                and (not name or mail.tags.get(name) == value)
                and any(query.get("to", "").lower() in one.lower() for one in mail.recipients)
                and mail.at >= since
            )
            if wanted:
                yield mail


def pace(mails: list[Mail]) -> dict[str, Any]:
    """How fast they came, in mails a second: from first to last, and the most within any one second."""
    times = [mail.at for mail in mails]
    if not times:
        return {"first_at": None, "last_at": None, "mean": 0.0, "most_in_a_second": 0, "shortest_gap": None}
    most, begin = 0, 0
    for end, at in enumerate(times):
        while times[begin] <= at - 1:
            begin += 1
        most = max(most, end - begin + 1)
    span = times[-1] - times[0]
    return {
        "first_at": times[0],
        "last_at": times[-1],
        "mean": round((len(times) - 1) / span, 3) if span > 0 else 0.0,
        "most_in_a_second": most,
        "shortest_gap": round(min((b - a for a, b in itertools.pairwise(times)), default=0.0), 6),
    }


def _addresses(mails: list[Mail]) -> Counter[str]:
    return Counter(one.lower() for mail in mails for one in mail.recipients)


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise bad_request(f"{name} must be a whole number.")
    return int(text)


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        return float(query.get(name, "0"))
    except ValueError:
        raise bad_request(f"{name} must be a time in seconds since the epoch.") from None
