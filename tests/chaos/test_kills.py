"""kill -9: at random moments, and at every named point of a mail's way."""

from tests.chaos.campaigns import Campaign, Watcher, finish_all, mail_will_flow
from tests.chaos.judging import assert_good
from tests.chaos.sabotage_points import POINTS
from tests.chaos.scenarios import kill_at, kill_while_mail_flows

# The others have a file of their own, test_points.py.
ON_THE_WAY = [point for point in POINTS if not point.startswith(("enrol.", "finish."))]


def test_kills_at_random_moments_mail_nobody_twice_and_lose_nobody(site, rng):
    campaigns = [Campaign(site, 300) for _ in range(3)]
    with Watcher(site, campaigns) as watcher:
        # However long a kill takes on this machine, there is mail for all of them.
        site.slow_down(0.5)
        assert [campaign.send()[0] for campaign in campaigns] == [202] * 3
        before = site.kills
        kill_while_mail_flows(site, rng, kills=7, is_over=lambda: all(campaign.is_done() for campaign in campaigns))
        finish_all(campaigns)

    for campaign in campaigns:
        assert_good(campaign, watcher)
    assert site.kills - before >= 5
    assert watcher.samples > 20


def test_a_kill_at_any_point_of_a_mails_way_is_harmless(site):
    campaigns = []
    with Watcher(site, campaigns) as watcher:
        for point in ON_THE_WAY:
            while not mail_will_flow(site, campaigns=4, mails=150):
                campaigns.append(Campaign(site, 150))
                assert campaigns[-1].send()[0] == 202
            kill_at(site, point)
        finish_all(campaigns)

    for campaign in campaigns:
        assert_good(campaign, watcher)
