"""What beat publishes is run, however busy the workers are."""

import re

import pytest
import yaml
from django.conf import settings

from outreach import beat_schedule, heartbeats
from outreach.management.commands import up
from tests.chaos.program import ROOT, procfile

OFTEN = {name: entry for name, entry in settings.CELERY_BEAT_SCHEDULE.items() if isinstance(entry["schedule"], float)}


@pytest.mark.parametrize("name", sorted(OFTEN))
def test_a_sweep_outlives_the_turns_of_many_campaigns_and_clocks_that_differ(name):
    entry = OFTEN[name]

    assert entry["options"]["expires"] >= max(60, 2 * entry["schedule"])


@pytest.mark.parametrize("name", sorted(OFTEN))
def test_no_more_than_twenty_copies_of_a_sweep_pile_up(name):
    entry = OFTEN[name]

    assert entry["options"]["expires"] <= 20 * entry["schedule"]


def test_everything_that_watches_and_mends_is_published():
    published = {entry["task"] for entry in OFTEN.values()}

    assert published == {
        "campaigns.tasks.wake_silent_campaigns",
        "campaigns.tasks.protect_campaigns",
        "campaigns.tasks.watch",
        "campaigns.tasks.watch_events",
        "notifications.tasks.look_at_parked_events",
        "notifications.tasks.apply_events",
        "notifications.tasks.sweep_outbox",
        "prospects.tasks.run_waiting_imports",
        "prospects.tasks.apply_kept_unsubscribes",
        "outreach.tasks.heartbeat",
    }


def test_a_heartbeat_goes_to_its_queue():
    entries = beat_schedule.schedule(queues=["campaigns"], through_ses=False)

    assert entries["heartbeat-campaigns"]["options"] == {"queue": "campaigns", "expires": 60.0}


@pytest.mark.parametrize("task", ["campaigns.tasks.wake_silent_campaigns", "notifications.tasks.sweep_outbox"])
def test_what_mends_everything_else_does_not_wait_behind_chunks(task):
    queue = settings.CELERY_TASK_ROUTES[task]["queue"]

    assert queue in queues_of(procfile("transactional"))
    assert not {"campaigns", "default", "events"} & queues_of(procfile("transactional"))


def test_a_worker_alone_does_everything_that_must_be_done():
    assert queues_of(procfile("worker")) == {*heartbeats.queues()} - heartbeats.SPARE


def test_compose_and_up_read_the_queues_of_the_procfile():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    local = {"worker": up._worker(1), "transactional": up._transactional_worker()}

    for name, command in local.items():
        assert queues_of(command) == queues_of(services[name]["command"]) == queues_of(procfile(name))


def queues_of(command):
    return set(re.search(r"(?:-Q|--queues) (\S+)", " ".join(command))[1].split(","))
