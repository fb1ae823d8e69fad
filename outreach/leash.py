"""Becomes another program on a leash: one that the kernel ends when the program's parent dies.

Run as `python leash.py PARENT SIGNAL OWNER COMMAND…`: PARENT is the process id to depend on, OWNER is
`UID:GID` to change to, or `-`. A program of its own and not a `preexec_fn`, which Python runs between
fork and exec, where other threads' locks are held for ever.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(parent: int, death_signal: int, owner: str, command: list[str]) -> None:
    """Never returns: this process becomes `command`."""
    if owner != "-":
        _change_to(*map(int, owner.split(":")))
    # After the change of user, which would take the leash off again (prctl(2)).
    _leash(parent, death_signal)
    # A terminal sends these to the whole foreground group; `manage.py up` decides what they mean.
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # Python ignores this one for itself; the program expects the system's default.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 (becoming another program is what this file is for)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


def _change_to(user: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def _leash(parent: int, death_signal: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died before the leash was on")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
