"""Other processes: started on a leash, written down, and ended together with whatever they started."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psutil

_LEASH = str(Path(__file__).with_name("leash.py"))
# The boot time that start times are counted from moves by a second when the clock is corrected.
_SAME_START_SECONDS = 2.0


class LocalError(Exception):
    """Something on this machine is in the way; the message is one line for a person."""


class Owner(NamedTuple):
    """Another user to run as."""

    user: int
    group: int


def installed(package: str) -> Path:
    """Where a package's files are, without importing it. Raises LocalError when it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LocalError(f"{package} is not installed: run pip install -r requirements/local.txt")
    return Path(spec.origin).parent


def start(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    owner: Owner | None = None,
    own_session: bool = False,
    output: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command`; on Linux the kernel sends it `death_signal` when the calling thread dies.

    Its output goes to `output`, or to ours. Call it from the main thread: a thread that ends takes
    what it started with it.
    """
    leash = [
        sys.executable,
        "-I",
        "-S",
        _LEASH,
        str(os.getpid()),
        str(int(death_signal)),
        f"{owner.user}:{owner.group}" if owner else "-",
    ]
    return subprocess.Popen(  # noqa: S603 (commands are ours, never a user's)
        [*leash, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        env=env,
        cwd=cwd,
        start_new_session=own_session,
        pass_fds=pass_fds,
    )


def end(
    roots: Mapping[int, signal.Signals],
    *,
    grace: float,
    hurried: Callable[[], bool] = lambda: False,
    hurried_with: signal.Signals = signal.SIGTERM,
) -> None:
    """Ask each process of `roots` to stop with its signal; after `grace` seconds kill it and its descendants.

    Once `hurried` turns true, `hurried_with` follows and at most three seconds are left.
    """
    asked = {process: stop_with for pid, stop_with in roots.items() if (process := _find(pid))}
    family = {member for process in asked for member in [process, *_descendants(process)]}
    for process, stop_with in asked.items():
        _signal([process], stop_with)
    deadline = time.monotonic() + grace
    in_hurry = False
    while _living(family) and time.monotonic() < deadline:
        time.sleep(0.05)
        if hurried() and not in_hurry:
            in_hurry, deadline = True, min(deadline, time.monotonic() + 3)
            _signal(asked, hurried_with)
    _kill({member for process in _living(family) for member in [process, *_descendants(process)]})


def ending(process: subprocess.Popen[bytes] | None) -> str:
    """How a process ended, for a person."""
    code = process.poll() if process else None
    if code is None:
        return "not at all"
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class Register:
    """Writes down who runs, so that the next start finds what a killed one left behind.

    A process is known by its id and its start time: ids are used again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: dict[int, dict[str, float]] = {}

    def note(self, pid: int, *, stop_with: signal.Signals, stop_last: bool = False) -> None:
        """Remember a process that was just started, and forget those that have ended."""
        self._forget_ended()
        if process := _find(pid):
            self._noted[pid] = {"created": process.create_time(), "stop_with": stop_with, "stop_last": stop_last}
        self._write()

    def close(self) -> None:
        """Leave behind what the next start must know: usually nothing."""
        self._forget_ended()
        self._write()
        if not self._noted:
            self._path.unlink()

    def end_leftovers(self, *, grace: float = 20) -> int:
        """Stop what an earlier, killed run left, the servers last. Returns how many there were."""
        left = self._leftovers()
        for last in (False, True):
            end(
                {pid: signal.Signals(int(entry["stop_with"])) for pid, entry in left.items() if entry["stop_last"] == last},
                grace=grace,
            )
        return len(left)

    def _leftovers(self) -> dict[int, dict[str, float]]:
        entries: dict[str, dict[str, float]] = {}
        # A file that a crash tore in half names nobody.
        with suppress(OSError, ValueError):
            entries = json.loads(self._path.read_text())
        found = {int(pid): entry for pid, entry in entries.items()}
        return {pid: entry for pid, entry in found.items() if _started_at(pid, entry["created"])}

    def _forget_ended(self) -> None:
        self._noted = {pid: entry for pid, entry in self._noted.items() if _find(pid)}

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._noted))
        draft.replace(self._path)


def is_another_program(pid: int, name: str) -> bool:
    """Whether the process id is in use by a program that is not called `name`."""
    import psutil

    process = _find(pid)
    with suppress(psutil.Error):
        return process is not None and process.name() != name
    return False


def _started_at(pid: int, created: float) -> bool:
    process = _find(pid)
    return process is not None and abs(process.create_time() - created) < _SAME_START_SECONDS


def _find(pid: int) -> "psutil.Process | None":
    import psutil

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process if _is_living(process) else None
    return None


def _descendants(process: "psutil.Process") -> list["psutil.Process"]:
    import psutil

    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _is_living(process: "psutil.Process") -> bool:
    """Whether it runs; one that has ended and that its parent has not asked after does not count."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _living(processes: Iterable["psutil.Process"]) -> list["psutil.Process"]:
    return [process for process in processes if _is_living(process)]


def _signal(processes: Iterable["psutil.Process"], number: signal.Signals) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _kill(processes: Iterable["psutil.Process"]) -> None:
    """The last resort; waits until the system has taken them away."""
    stubborn = _living(processes)
    _signal(stubborn, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while _living(stubborn) and time.monotonic() < deadline:
        time.sleep(0.05)
