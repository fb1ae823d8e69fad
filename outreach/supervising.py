"""Keeps programs running and stops them in order: the heart of `manage.py up`."""

import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Protocol

from outreach import processes
from outreach.processes import LocalError, Register

_FIRST_PAUSE = 0.5  # seconds until a program that ended is started again; doubled every time
_LONGEST_PAUSE = 10.0
_FAILURES_COUNT_FOR = 60.0
_FAILURES_TO_GIVE_UP = 5
# A chunk of a campaign ends within ten seconds, and nothing else takes longer.
_GRACE = 30.0
_ONE_KEY_PRESS = 1.0


class Stopped(BaseException):
    """Somebody asked us to stop; not an Exception, so that no handler on the way takes it for an error."""


class StopSignals:
    """Notes SIGINT, SIGTERM and SIGHUP; Stopped is raised only where the code waits, so nothing is left half done."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._first_at = 0.0
        self._again = False

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def pause(self, seconds: float) -> None:
        """Sleep. Raises Stopped as soon as somebody asks."""
        if self._asked.wait(seconds):
            raise Stopped

    def hurried(self) -> bool:
        """Whether somebody asked a second time."""
        return self._again

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self._asked.is_set():
            self._first_at = time.monotonic()
        # The same Ctrl-C may come twice: from the terminal and from the program that started us.
        self._again = time.monotonic() - self._first_at > _ONE_KEY_PRESS
        self._asked.set()


class Keepable(Protocol):
    """What can be kept running: a program of ours or an embedded server."""

    @property
    def name(self) -> str: ...
    def start(self) -> None: ...
    def is_alive(self) -> bool: ...
    def ending(self) -> str: ...


class Program:
    """A program in our own process group, which a terminal's Ctrl-C reaches as a whole."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        register: Register,
        pass_fds: Sequence[int] = (),
        output: IO[bytes] | None = None,
        stop_last: bool = False,
    ) -> None:
        """One that is to `stop_last` outlives the others: a Ctrl-C in the terminal does not reach it either."""
        self.name = name
        self.stop_last = stop_last
        self._command = command
        self._env = env
        self._cwd = cwd
        self._register = register
        self._pass_fds = pass_fds
        self._output = output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = processes.start(
            self._command,
            death_signal=signal.SIGTERM,
            env=self._env,
            cwd=self._cwd,
            pass_fds=self._pass_fds,
            output=self._output,
            own_session=self.stop_last,
        )
        self._register.note(self.process.pid, stop_with=signal.SIGTERM, stop_last=self.stop_last)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Stop it soon, if it still runs."""
        if self.process:
            processes.end({self.process.pid: signal.SIGTERM}, grace=5)
            self.process.wait()

    def ending(self) -> str:
        """How it ended, for a person."""
        return processes.ending(self.process)


@dataclass
class _Care:
    """What is known about one thing that is to run."""

    thing: Keepable
    start_at: float | None = None
    failures: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts again whatever ends, later and later."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self._say = say
        self._cares: list[_Care] = []

    def keep(self, thing: Keepable) -> None:
        """Look after something that runs, or that is to be started now."""
        if not thing.is_alive():
            thing.start()
        self._cares.append(_Care(thing))

    def tend(self, now: float, *, patient: bool) -> None:
        """Have one look at everything. `now` is monotonic, in seconds.

        Raises LocalError when something ended five times within a minute, unless `patient`.
        """
        for care in self._cares:
            if care.start_at is not None and now >= care.start_at:
                care.start_at = None
                care.thing.start()
            elif care.start_at is None and not care.thing.is_alive():
                self._mourn(care, now, patient)

    def stop(self, *, hurried: Callable[[], bool]) -> None:
        """Ask every program to finish what it is at; kill what has not ended after half a minute."""
        programs = [care.thing for care in self._cares if isinstance(care.thing, Program) and care.thing.process]
        for last in (False, True):
            self._stop([program for program in programs if program.stop_last == last], hurried)

    def _stop(self, running: Sequence[Program], hurried: Callable[[], bool]) -> None:
        living = {program.process.pid: signal.SIGTERM for program in running if program.process and program.is_alive()}
        # SIGQUIT is gunicorn's and Celery's word for: now, not when you are done.
        processes.end(living, grace=_GRACE, hurried=hurried, hurried_with=signal.SIGQUIT)
        for program in running:
            if program.process:
                program.process.wait()

    def _mourn(self, care: _Care, now: float, patient: bool) -> None:
        care.failures.append(now)
        while now - care.failures[0] > _FAILURES_COUNT_FOR:
            care.failures.popleft()
        ended = f"{care.thing.name} ended ({care.thing.ending()})"
        if len(care.failures) >= _FAILURES_TO_GIVE_UP and not patient:
            raise LocalError(f"{ended} for the {_FAILURES_TO_GIVE_UP}th time within a minute; its own words are above")
        pause = min(_FIRST_PAUSE * 2 ** (len(care.failures) - 1), _LONGEST_PAUSE)
        care.start_at = now + pause
        self._say(f"{ended}; starting it again in {pause:g} s")
