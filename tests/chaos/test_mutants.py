"""The oracles must catch what others do: three wrong strategies, each of which mails people twice."""

import pytest

from tests.chaos import oracles
from tests.chaos.campaigns import Campaign
from tests.chaos.judging import evidence
from tests.chaos.sabotage_points import MUTANTS


def use(site, strategy):
    """Go on with a wrong strategy, or with the product's own; nobody is in the middle of anything meanwhile."""
    site.wish("mutant", strategy)
    site.kill_pids(*site.programs["worker1"].children())


def attack(site, *, kills=3):
    """Kill the whole pool while calls are under way, until somebody got two mails or the campaign is over."""
    campaign = Campaign(site, 240)
    # Slow answers: whoever is killed right after SES took a mail has not heard of it.
    site.faults(delay=1.5)
    campaign.send()
    for _ in range(kills):
        wait_for_its_mail(site, campaign)
        if twice(campaign):
            break
        site.kill_pids(*site.programs["worker1"].children())
    site.until(lambda: campaign.is_done() or twice(campaign), 90, "the campaign is over, or somebody got two mails")
    found = oracles.broken(evidence(campaign))
    # What is left of it must not be taken for mail of the next one.
    site.call("PATCH", f"/api/campaigns/{campaign.id}", {"status": "paused"})
    return found


def wait_for_its_mail(site, campaign):
    before = len(evidence(campaign).entries)
    site.until(lambda: len(evidence(campaign).entries) > before or campaign.is_done(), 60, "mail of this campaign leaves")


def twice(campaign):
    return oracles.nobody_twice(evidence(campaign))


def test_the_attack_does_nothing_to_the_right_strategy(lone_worker):
    use(lone_worker, "")

    assert attack(lone_worker) == {}


@pytest.mark.parametrize("strategy", MUTANTS)
def test_the_oracles_catch_a_wrong_strategy(lone_worker, strategy):
    use(lone_worker, strategy)

    assert "nobody_twice" in attack(lone_worker)
