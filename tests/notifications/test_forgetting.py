from datetime import timedelta

import pytest

from notifications import forgetting, tasks
from notifications.models import EmailEvent
from tests import events

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(now):
    """Events by age in days and state."""

    def keep(*wanted):
        for n, (days, state) in enumerate(wanted):
            came = now - timedelta(days=days)
            events.tell(events.envelope("open", message_id=f"m-{n}"), received_at=came)
            applied_at = came if state == "applied" else None
            EmailEvent.objects.filter(message_id=f"m-{n}").update(state=state, applied_at=applied_at)

    return keep


def left():
    return sorted(EmailEvent.objects.values_list("message_id", flat=True))


def test_old_events_are_deleted_and_strangers_sooner_but_nothing_that_waits(kept, settings, now):
    settings.EVENT_RETENTION_DAYS, settings.EVENT_STRANGER_RETENTION_DAYS = 90, 14
    kept((91, "applied"), (89, "applied"), (91, "ignored"), (15, "parked"), (13, "parked"), (400, "pending"))

    while forgetting.forget(now=now):
        pass

    assert left() == ["m-1", "m-4", "m-5"]


def test_nought_days_are_for_ever(kept, settings, now):
    settings.EVENT_RETENTION_DAYS, settings.EVENT_STRANGER_RETENTION_DAYS = 0, 0
    kept((5000, "applied"), (5000, "parked"))

    assert forgetting.forget(now=now) == 0
    assert forgetting.kept_since(now=now) is None


def test_events_are_deleted_in_small_batches_one_task_each(kept, settings, now, redis, monkeypatch):
    settings.EVENT_RETENTION_DAYS = 90
    monkeypatch.setattr(tasks, "_FORGOTTEN_AT_ONCE", 2)
    kept(*[(100, "applied")] * 3)

    tasks.forget_events()
    first = redis.llen("default")
    tasks.forget_events()

    assert (first, redis.llen("default"), left()) == (1, 1, [])
