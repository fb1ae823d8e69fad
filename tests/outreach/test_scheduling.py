from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from celery import Celery

from outreach.scheduling import Scheduler

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECONDS = {"often": 5.0, "seldom": 60.0}


@pytest.fixture
def scheduler():
    """Two entries that began at noon, and the names of those that were published."""
    app = Celery("tests", set_as_current=False, broker="memory://")
    app.conf.beat_schedule = {name: {"task": name, "schedule": seconds} for name, seconds in SECONDS.items()}
    with time_machine.travel(NOON, tick=False):
        scheduler = Scheduler(app, lazy=True)
        scheduler.setup_schedule()
        scheduler.published = []
        scheduler.apply_async = lambda entry, **_: scheduler.published.append(entry.name)
        run(scheduler, NOON)
    return scheduler


def run(scheduler, moment):
    """Whatever is published within a second from `moment` on."""
    scheduler.published.clear()
    with time_machine.travel(moment, tick=False):
        for _ in range(10):
            scheduler.tick()
    return sorted(set(scheduler.published) - {"celery.backend_cleanup"})


def test_entries_come_when_they_are_due(scheduler):
    assert run(scheduler, NOON + timedelta(seconds=6)) == ["often"]
    assert run(scheduler, NOON + timedelta(seconds=62)) == ["often", "seldom"]


def test_a_clock_that_is_set_back_silences_nobody(scheduler):
    back = NOON - timedelta(hours=1)
    run(scheduler, back)

    assert run(scheduler, back + timedelta(seconds=6)) == ["often"]
    assert run(scheduler, back + timedelta(seconds=62)) == ["often", "seldom"]


def test_no_entry_is_published_by_a_connection_that_the_broker_may_have_ended(monkeypatch):
    app = Celery("tests", set_as_current=False, broker="memory://")
    app.conf.beat_schedule = {"often": {"task": "often", "schedule": 5.0}}
    scheduler, options = Scheduler(app, lazy=True), []
    scheduler.setup_schedule()
    monkeypatch.setattr(scheduler, "send_task", lambda *_args, **given: options.append(given))

    scheduler.apply_async(scheduler.schedule["often"], producer="opened when beat started")

    assert [given["producer"] for given in options] == [None]
