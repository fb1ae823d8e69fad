"""A data directory: who may enter it, and that one command at a time uses it."""

import fcntl
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path

from outreach import connections
from outreach.processes import LocalError, Owner, Register, installed

_SERVICE_USER = "pgserver"


class Place:
    """The directories of one data directory and the user that the servers in it run as."""

    def __init__(self, data_dir: Path, *, say: Callable[[str], None], pause: Callable[[float], None]) -> None:
        self.data_dir = data_dir
        self.say = say
        self.pause = pause
        self.register = Register(data_dir / "processes.json")

    @cached_property
    def owner(self) -> Owner | None:
        """Whom the servers run as: ourselves, unless we are root, which PostgreSQL refuses."""
        if os.geteuid() != 0:
            return None
        database = self.data_dir / "postgres"
        if database.exists() and database.stat().st_uid != 0:
            # An ordinary user's data stays theirs.
            return Owner(database.stat().st_uid, database.stat().st_gid)
        return _service_user()

    @cached_property
    def sockets(self) -> Path:
        """The directory of both sockets."""
        return self.private(connections.socket_directory(self.data_dir))

    def private(self, directory: Path) -> Path:
        """The directory, made if needed, that only the servers' user (and root) may enter."""
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), self.owner.user if self.owner else os.geteuid()}:
            # In a shared temporary directory somebody else may have taken the name first.
            raise LocalError(f"{directory} belongs to another user: remove it, or choose another --data-dir")
        if self.owner:
            os.chown(directory, self.owner.user, self.owner.group)
            self.open_way_to(directory)
        directory.chmod(0o700)
        return directory

    def open_way_to(self, path: Path) -> None:
        """Let the servers' user pass through the directories above `path`."""
        if self.owner is None:
            return
        for parent in path.resolve().parents:
            mode = parent.stat().st_mode
            if not mode & stat.S_IXOTH and parent.stat().st_uid != self.owner.user:
                parent.chmod(mode | stat.S_IXOTH)
                if parent != self.data_dir:
                    self.say(
                        f"made {parent} passable (o+x): PostgreSQL refuses to run as root, and its own user must reach {path}"
                    )

    def open_programs(self, installation: Path) -> None:
        """Let the servers' user run and read what root installed with a strict umask."""
        self.open_way_to(installation)
        if self.owner is None or installation.stat().st_mode & 0o005 == 0o005:
            return
        for path in [installation, *installation.rglob("*")]:
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


@contextmanager
def claim(data_dir: Path, *, say: Callable[[str], None] = print, pause: Callable[[float], None] = time.sleep) -> Iterator[Place]:
    """Have the data directory to ourselves; whatever an earlier, killed run left running is stopped first.

    `pause` is called while waiting and may raise, to be interrupted. Raises LocalError in one line.
    """
    installed("psutil")
    data_dir = data_dir.resolve()
    if "," in str(data_dir):
        raise LocalError(f"{data_dir} has a comma, which PostgreSQL's addresses cannot hold: choose another --data-dir")
    with ExitStack() as held:
        with explained(data_dir):
            # Root's servers run as another user, who must pass through; everything inside is private.
            data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            held.enter_context(_lock(data_dir))
        place = Place(data_dir, say=say, pause=pause)
        if count := place.register.end_leftovers():
            say(f"stopped {count} processes that an earlier run left behind")
        try:
            yield place
        finally:
            place.register.close()


@contextmanager
def explained(data_dir: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise LocalError(f"cannot use {data_dir}: {error.strerror or error} ({error.filename})") from error


@contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock; the kernel gives it back however we end."""
    with (data_dir / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "(unknown)"
            raise LocalError(f"process {holder} already uses {data_dir}: stop it, or choose another --data-dir") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _service_user() -> Owner:
    """A user for root's servers: a dedicated one, made when this machine has none that fits."""
    for name in (_SERVICE_USER, "postgres"):
        with suppress(KeyError):
            return _named(name)
    if program := shutil.which("useradd"):
        options = ["--system", "--no-create-home", "--shell", "/bin/false"]
        subprocess.run([program, *options, _SERVICE_USER], capture_output=True, check=False)  # noqa: S603 (nothing of it is input)
    for name in (_SERVICE_USER, "nobody"):
        with suppress(KeyError):
            return _named(name)
    raise LocalError("PostgreSQL refuses to run as root and there is no other user: run this as an ordinary user")


def _named(name: str) -> Owner:
    entry = pwd.getpwnam(name)
    return Owner(entry.pw_uid, entry.pw_gid)
