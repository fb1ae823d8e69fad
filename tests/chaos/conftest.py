"""Sites of their own: these tests kill servers that the others need.

One for all modules that a process of the tests runs one after the other, for a start costs as much as ten tests.
"""

import atexit
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest

from tests.chaos import site as sites
from tests.chaos.forking import Child, Forkserver
from tests.chaos.program import procfile

_HERE = Path(__file__).parent
# Of the long run's 8: here most time goes by waiting for leases to end.
_HASTE = 10


class _Shared:
    """The site of this process, while there is one, and the forkserver of all its sites."""

    def __init__(self) -> None:
        self.site: sites.Site | None = None
        self._held = ExitStack()

    @cached_property
    def begin(self) -> Callable[..., Child]:
        """How the programs of a site are started."""
        server = Forkserver()
        atexit.register(server.close)
        return server.start

    def start(self) -> sites.Site:
        self.site = self.site or self._held.enter_context(sites.running(haste=_HASTE, begin=self.begin))
        return self.site

    def stop(self) -> None:
        self.site = None
        self._held.close()


_shared = _Shared()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Whoever comes after the last of these tests has both cores."""
    if nextitem is None or nextitem.path.parent != _HERE:
        _shared.stop()


@pytest.fixture
def site() -> sites.Site:
    """A site with nothing left of what the test before did to SES, to its pace or to the clocks."""
    site = _shared.start()
    site.calm_down()
    return site


@pytest.fixture(scope="module")
def lone_worker() -> Iterator[sites.Site]:
    """A site with one worker and nobody else who sweeps, whose strategy may be changed."""
    site = _shared.start()
    site.calm_down()
    for name in ("worker2", "transactional"):
        site.remove(name)
    yield site
    site.unwish("mutant")
    # Each process has read its strategy when it was forked.
    site.kill_pids(*site.pids("worker"))
    site.add_worker("worker2")
    site.add("transactional", procfile("transactional"))


@pytest.fixture
def rng(request):
    """The same dice for the same test."""
    return random.Random(request.node.name)
