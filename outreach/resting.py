"""Leaving a server alone for a moment after it failed, so that requests do not queue up behind its time-outs."""

import time


class Rest:
    """On from `begin` for `seconds`, or until `end`. One for each server and process."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def begin(self) -> None:
        self._until = time.monotonic() + self._seconds

    def end(self) -> None:
        self._until = 0.0
