"""The oracles must catch what others do: three wrong strategies, each of which mails people twice."""

import signal

import pytest

from tests.chaos import oracles
from tests.chaos.campaigns import Campaign
from tests.chaos.judging import evidence
from tests.chaos.sabotage.mutants import NAMES
from tests.chaos.scenarios import wait_for_mail


@pytest.fixture(scope="module")
def site(start_site):
    return start_site(workers=1)


def use(site, strategy):
    """Start the worker again with a wrong strategy, or with the product's own."""
    worker = site.programs["worker1"]
    worker.signal_group(signal.SIGKILL)
    worker.process.wait()
    worker.env = {**worker.env, "CHAOS_MUTANT": strategy}
    worker.start()


def attack(site, *, kills=3):
    """Kill the whole pool while calls are under way; wait until somebody got two mails or the campaign is over."""
    campaign = Campaign(site, 240)
    # Slow answers: whoever is killed right after SES took a mail has not heard of it.
    site.faults(delay=1.5)
    campaign.send()
    for _ in range(kills):
        wait_for_mail(site, campaign.is_done)
        for pid in site.programs["worker1"].children():
            site.kill_pid(pid)
    site.until(lambda: campaign.is_done() or twice(campaign), 90, "the campaign is over, or somebody got two mails")
    return oracles.broken(evidence(campaign))


def twice(campaign):
    return oracles.nobody_twice(evidence(campaign))


def test_the_attack_does_nothing_to_the_right_strategy(site):
    use(site, "")

    assert attack(site) == {}


@pytest.mark.parametrize("strategy", NAMES)
def test_the_oracles_catch_a_wrong_strategy(site, strategy):
    use(site, strategy)

    assert attack(site)["nobody_twice"]
