"""A wall clock that steps: `clock` in the wishes' directory holds by how many seconds it is wrong.

The monotonic clock goes on undisturbed, as it does when a real clock is set.
"""

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import time_machine

from tests.chaos.sabotage import arms

_current: list[time_machine.travel] = []


def install() -> None:
    _watch_from_a_thread()
    os.register_at_fork(after_in_child=_watch_from_a_thread)


def _watch_from_a_thread() -> None:
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    wrong_by = 0.0
    while True:
        time.sleep(0.1)
        wish = arms.number("clock")
        if wish != wrong_by:
            wrong_by = wish
            _step(wish)


def _step(seconds: float) -> None:
    while _current:
        _current.pop().stop()
    if seconds:
        travel = time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds), tick=True)
        travel.start()
        _current.append(travel)
