import pytest
from django.utils import timezone

from campaigns import dispatching
from notifications.transports.memory import MemoryTransport


@pytest.fixture
def transport():
    return MemoryTransport()


@pytest.fixture
def fast(settings):
    """A pace at which nobody waits."""
    settings.SES_MAX_SEND_RATE = 2000.0


@pytest.fixture
def published(monkeypatch):
    """Tasks that were published instead of the broker taking them: (name, arguments)."""
    calls = []
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda name, *args: calls.append((name, args)) or True)
    return calls


@pytest.fixture
def run_chunk(fast, transport, published):
    """Run one chunk of a campaign with its current ticket."""

    def run(campaign):
        campaign.refresh_from_db()
        return dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)

    return run


@pytest.fixture
def run_all(run_chunk):
    """Run chunks as the worker would until one says that there is no more."""

    def run(campaign):
        while run_chunk(campaign).more:
            pass
        campaign.refresh_from_db()

    return run
