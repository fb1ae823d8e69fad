"""Too many of everything, too late, at the wrong time: beats, tasks, workers that wake up, clocks that step."""

import signal

import pytest

from tests.chaos.campaigns import Campaign, Watcher
from tests.chaos.judging import assert_good
from tests.chaos.scenarios import replay_tasks, stop_workers_warmly, tasks_published, wait_for_mail


@pytest.fixture
def started(site):
    site.be_ready()
    campaign = Campaign(site, 300)
    with Watcher(site, [campaign]) as watcher:
        assert campaign.send()[0] == 202
        wait_for_mail(site)
        yield campaign
        campaign.finish()
    assert_good(campaign, watcher)


def test_a_deployment_leaves_nothing_unknown(site):
    campaign = Campaign(site, 200)
    site.faults(delay=0.2)
    campaign.send()
    wait_for_mail(site)

    assert stop_workers_warmly(site) == [0, 0]
    assert campaign.statuses()["sending"] == 0

    campaign.finish()
    assert_good(campaign)
    assert campaign.statuses() == {"sent": 200}


def test_a_task_published_a_hundred_times_and_again_later(site, started):
    site.wish("copies", 100)
    site.pass_time(1)
    site.unwish("copies")
    # The last fifty: those of this campaign, and some of those before it.
    assert replay_tasks(site, times=3, but=max(0, len(tasks_published(site)) - 50)) > 0


def test_three_beats(site, started):
    command = site.programs["beat1"].command
    for name in ("beat2", "beat3"):
        site.add(name, command)
    started.finish()
    for name in ("beat2", "beat3"):
        site.remove(name)


def test_a_worker_that_froze_past_its_leases_wakes_up(site, started):
    worker = site.programs["worker1"]
    worker.signal_group(signal.SIGSTOP)
    site.pass_time(0.5)
    site.note_flying()
    # A call's lease is 80 s.
    site.pass_time(80 / site.haste + 1.5)
    worker.signal_group(signal.SIGCONT)


def test_the_clock_of_the_machine_steps_by_an_hour_and_back(site, started):
    for wrong_by in (3600, -3600, 0):
        site.wish("clock", wrong_by)
        site.pass_time(1.5)


def test_a_loop_that_died_while_the_clock_was_wrong_is_missed_when_it_is_right_again(site):
    campaign = Campaign(site, 100)
    site.wish("clock", 3600)
    site.pass_time(1)
    site.wish("claim.before")
    campaign.send()
    site.until(lambda: not site.is_wished("claim.before"), 60, "the loop dies")
    site.unwish("clock")

    campaign.finish()
    assert_good(campaign)
