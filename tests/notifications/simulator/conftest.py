import pytest

from tests.simulator import Simulator


@pytest.fixture(scope="module")
def start():
    """Start a simulator with flags of your own; stopped when the module is done."""
    started = []

    def start(*options):
        started.append(Simulator(*options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def shared(start):
    return start("--no-events")


@pytest.fixture
def simulator(shared):
    """A simulator that keeps a ledger and tells nobody; empty and well at the start of every test."""
    shared.reset()
    return shared


@pytest.fixture
def ses(simulator):
    return simulator.client()
