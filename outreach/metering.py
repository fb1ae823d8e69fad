"""Where several processes keep their counters, so that one scrape shows the sum.

prometheus-client's multiprocess mode: a file for each process in PROMETHEUS_MULTIPROC_DIR, which must be in
the environment before that library is imported. `manage.py up` and whoever runs several groups on one machine
name a directory that they share; otherwise each group (web with its processes, a worker with its) makes its own.
https://prometheus.github.io/client_python/multiprocess/
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# No process has this id: its files hold what the dead have counted.
_NOBODY = 0


def claim_directory(shared: str) -> None:
    """Make sure that there is a directory, and keep in it what dead processes have counted. Call it before the fork.

    `shared` is the one that several groups use (the setting); empty: this group makes its own.
    """
    if shared:
        os.environ[VARIABLE] = shared
        Path(shared).mkdir(parents=True, exist_ok=True)
        bury_the_dead(Path(shared))
        return
    own, owner = tempfile.mkdtemp(prefix="outreach-metrics-"), os.getpid()
    os.environ[VARIABLE] = own
    # Forked processes inherit the handler, not the duty.
    atexit.register(lambda: shutil.rmtree(own, ignore_errors=True) if os.getpid() == owner else None)


def clean_directory(directory: Path) -> None:
    """Start from nothing: for whoever knows that no process counts here any more."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def bury_the_dead(directory: Path) -> None:
    """Add the files of processes that are gone to one file of each kind: sums never fall, files do not pile up."""
    from prometheus_client.mmap_dict import MmapedDict

    with locked(directory, fcntl.LOCK_EX):
        for path in directory.glob("*_*.db"):
            kind, _, pid = path.stem.rpartition("_")
            if not pid.isdecimal() or int(pid) == _NOBODY or _is_alive(int(pid)):
                continue
            if kind in {"counter", "histogram"}:
                total = MmapedDict(str(directory / f"{kind}_{_NOBODY}.db"))
                for key, value, _timestamp, _position in MmapedDict.read_all_values_from_file(str(path)):
                    total.write_value(key, total.read_value(key)[0] + value, 0.0)
                total.close()
            path.unlink()


@contextmanager
def locked(directory: Path, kind: int = fcntl.LOCK_SH) -> Iterator[None]:
    """While files are read nobody adds one to another."""
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, kind)
        yield


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
