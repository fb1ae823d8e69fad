"""One program of the site under attack: started as the Procfile says, and started again when it ends."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from outreach import processes

ROOT = Path(__file__).resolve().parents[2]
_RESTART_AFTER = 0.2  # seconds


def execute(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a program as a process manager would; its output goes to `log`."""
    with log.open("ab") as output:
        return processes.start(
            command, death_signal=signal.SIGKILL, own_session=True, output=output, env=env, cwd=ROOT, pass_fds=pass_fds
        )


@dataclass
class Program:
    """One process group of the site, and what became of it. `begin` starts it: `execute`, or a fork (`forking`)."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    log: Path
    pass_fds: tuple[int, ...] = ()
    begin: Callable[..., Any] = execute
    wanted: bool = True
    process: Any = None
    ended_at: float = 0.0
    accidents: list[str] = field(default_factory=list)

    def start(self):
        self.process = self.begin(self.command, env=self.env, log=self.log, pass_fds=self.pass_fds)
        self.ended_at = 0.0

    def tend(self):
        """Start it again a moment after it ended; an end that nobody caused is noted."""
        code = self.process.poll() if self.process else 0
        if code is None or not self.wanted:
            return
        if not self.ended_at:
            self.ended_at = time.monotonic()
            if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
                self.accidents.append(f"{self.name} ended with {code}")
        elif time.monotonic() - self.ended_at > _RESTART_AFTER:
            self.start()

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def children(self):
        """The pids of its pool: what the program itself started."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self.process.pid).children()]
        return []

    def signal_group(self, number):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def signal(self, number):
        if self.alive:
            self.process.send_signal(number)

    def end(self):
        self.wanted = False
        if self.process:
            self.signal_group(signal.SIGKILL)
            self.process.wait()


def procfile(name):
    """How production starts this kind of process."""
    line = next(line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith(f"{name}:"))
    return [sys.executable, "-m", *shlex.split(line.partition(":")[2])]


def lives(pid):
    with suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def listen():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tail(path, lines):
    return path.read_text(errors="replace").splitlines()[-lines:]
