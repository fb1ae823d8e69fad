"""What the harness wishes to happen, as files in a directory that all processes share.

A file named after a point, `claim.committed` say, kills the next process that comes there: whoever takes
the file away dies, so it is one process for each wish. Its text says who dies with it.
"""

import os
import signal
import time
from pathlib import Path
from typing import NoReturn

DIRECTORY = Path(os.environ["CHAOS_DIR"])


def taken(point: str) -> str:
    """The wish for this point, taken away from everybody else; empty when there is none."""
    mine = DIRECTORY / f".{point}.{os.getpid()}"
    try:
        (DIRECTORY / point).rename(mine)
    except OSError:
        return ""
    return mine.read_text() or "process"


def die(wish: str) -> NoReturn:
    """kill -9 of this process, or of the whole group when the wish says so; nothing runs after it."""
    if wish == "group":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(1)


def die_at(point: str) -> None:
    """Die here if somebody wishes so."""
    if wish := taken(point):
        die(wish)


def text(name: str) -> str:
    """A word that the harness sets and takes back while we run; empty when there is none."""
    try:
        return (DIRECTORY / name).read_text()
    except OSError:
        return ""


def number(name: str, default: float = 0.0) -> float:
    """A figure, likewise."""
    try:
        return float(text(name) or default)
    except ValueError:
        return default
