"""Programs as forks of `forkserver`, for the short version: a site's start costs half as much, and so does every kill."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from outreach import processes
from tests.chaos.forkserver import LARGEST_MESSAGE
from tests.chaos.program import ROOT


class Child:
    """A program that was forked: what a `subprocess.Popen` is for one that was executed."""

    def __init__(self, server: "Forkserver", pid: int) -> None:
        self.server, self.pid = server, pid

    def poll(self) -> int | None:
        """Its exit code, as Popen has it; None while it lives."""
        while self.server.hear(0):
            pass
        return self.server.codes.get(self.pid)

    def wait(self, timeout: float = 60) -> int:
        """Its exit code, once it has ended."""
        while (code := self.poll()) is None:
            if not self.server.hear(timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, number: int) -> None:
        """As `kill` does; nothing when it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Forkserver:
    """The process that forks; `codes` is how its children ended, by pid."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-u", "-W", "ignore", "-m", "tests.chaos.forkserver", str(theirs.fileno())]
        self._process = processes.start(command, death_signal=signal.SIGKILL, pass_fds=[theirs.fileno()], cwd=ROOT)
        theirs.close()

    def start(self, command: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()) -> Child:
        """Fork, and become `python -m …`; its output goes to `log`, and `pass_fds` keep their numbers."""
        _python, _m, *arguments = command
        request = {"arguments": arguments, "env": dict(env), "log": str(log), "fds": list(pass_fds)}
        socket.send_fds(self._socket, [json.dumps(request).encode()], list(pass_fds))
        while not (pid := self._next().get("started")):
            pass
        # The number may have been another's before.
        self.codes.pop(pid, None)
        return Child(self, pid)

    def hear(self, timeout: float) -> bool:
        """Note one end, waiting so many seconds at most; whether there was one."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return False
        self._next()
        return True

    def _next(self) -> dict[str, int]:
        told: dict[str, int] = json.loads(self._socket.recv(LARGEST_MESSAGE) or "{}")
        if not told:
            raise RuntimeError("The forkserver has ended.")
        if "ended" in told:
            self.codes[told["ended"]] = told["code"]
        return told

    def close(self) -> None:
        """End it, and with it whoever is left of its children."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
