"""What SES answers, and what people decide, while mail flows and workers die."""

from tests.chaos import ledger
from tests.chaos.campaigns import Campaign, Watcher
from tests.chaos.judging import A_PAUSE_TAKES, assert_good
from tests.chaos.scenarios import kill_while_mail_flows, wait_for_mail

SHARES = ("delay", "hang", "close_after", "close_before", "half_answer", "429", "throttle", "rejected", "500_before", "500_after")


def test_every_fault_of_ses_is_accounted_for(site):
    campaign = Campaign(site, 200)
    site.faults(shares=dict.fromkeys(SHARES, 0.01), hang=2)
    with Watcher(site, [campaign]) as watcher:
        assert campaign.send()[0] == 202
        wait_for_mail(site)
        site.pass_time(2)
        campaign.finish_resumed()
    seen = assert_good(campaign, watcher)

    refused = {entry.to for entry in seen.entries if entry.fault == "rejected"}
    assert {row.email for row in seen.rows if row.status == "failed"} == refused
    assert ledger.ambiguous(list(seen.entries))


def test_a_used_up_quota_pauses_and_starting_again_mails_nobody_twice(site):
    campaign = Campaign(site, 100)
    site.faults(script=["quota"])
    with Watcher(site, [campaign]) as watcher:
        campaign.send()
        paused = site.until(lambda: (seen := campaign.look()[0]).get("status") == "paused" and seen, 60, "the campaign is paused")
        assert "quota" in paused["pause_reason"]
        site.faults()
        assert campaign.send()[0] == 202
        campaign.finish()
    assert_good(campaign, watcher)
    assert campaign.statuses() == {"sent": 100}


def test_pausing_and_resuming_between_kills(site, rng):
    campaign = Campaign(site, 700)
    site.faults(delay=0.05)
    with Watcher(site, [campaign]) as watcher:
        campaign.send()
        for _ in range(2):
            kill_while_mail_flows(site, rng, kills=1, is_over=campaign.is_done)
            site.until(lambda: site.call("GET", "/healthz", timeout=1)[0] == 200, 60, "web answers")
            assert campaign.pause() == 200
            site.pass_time(A_PAUSE_TAKES + 1)
            site.until(lambda: campaign.send()[0] == 202, 60, "it is sent again")
        campaign.finish()
    assert_good(campaign, watcher)


def test_nobody_who_said_no_gets_a_call_after_the_answer(site, rng):
    campaign = Campaign(site, 120)
    # So slow that people wait for seconds after they were claimed: only the look right before the call can spare them.
    site.slow_down(0.1)
    with Watcher(site, [campaign]) as watcher:
        campaign.send()
        wait_for_mail(site)
        for email in rng.sample(campaign.people, 40):
            campaign.unsubscribe(email)
            site.pass_time(0.01)
        kill_while_mail_flows(site, rng, kills=2, is_over=campaign.is_done)
        campaign.finish()
    assert_good(campaign, watcher)
    assert campaign.statuses()["skipped"] > 0
