"""kill -9 where few things happen: while people are enrolled, while a campaign finishes, in the call of a transactional mail."""

from collections import Counter

from tests.chaos import ledger
from tests.chaos.campaigns import Campaign, finish_all
from tests.chaos.judging import assert_good
from tests.chaos.sabotage_points import CALLS, POINTS
from tests.chaos.scenarios import frozen, kill_at

WHILE_ENROLLING = [point for point in POINTS if point.startswith("enrol.")]
WHILE_FINISHING = [point for point in POINTS if point.startswith("finish.")]


def test_a_kill_while_people_are_enrolled_forgets_nobody(site):
    campaigns = []
    for point in WHILE_ENROLLING:
        campaigns.append(Campaign(site, 250))
        with frozen(*site.pids("worker")):
            # The first batch is enrolled by the request itself: this kills the web process.
            site.wish(point)
            assert campaigns[-1].send()[0] == 0
            # The next ones by a worker; all stand still until the trap is set.
            site.until(lambda: campaigns[-1].send()[0] == 202, 60, "the campaign is taken")
            site.wish(point)
        site.until(lambda point=point: not site.is_wished(point), 60, f"a worker comes to {point}")
        site.killed()
    finish_all(campaigns)

    for campaign in campaigns:
        assert_good(campaign)


def test_a_kill_while_a_campaign_finishes_leaves_it_finished(site):
    campaigns = []
    for point in WHILE_FINISHING:
        campaigns.append(Campaign(site, 20))
        # So few are mailed before a slow machine has set a trap that comes later.
        kill_at(site, point, meanwhile=campaigns[-1].send)
    finish_all(campaigns)

    for campaign in campaigns:
        assert_good(campaign)


def post_transactional(site, to):
    words = ("first_name", "inviter_name", "organization_name", "invite_url", "expires_on")
    body = {"to": to, "template_name": "issuer-onboarding-invite", "data": dict.fromkeys(words, "https://example.com/")}
    assert site.call("POST", "/v1/notifications/emails", body)[0] == 202


def outbox(site):
    return dict(site.rows("SELECT email, status FROM transactional_emails"))


def test_a_kill_at_any_point_of_a_call_sends_no_transactional_mail_twice_and_loses_none(site):
    for point in CALLS:
        site.wish(point, "group")
        for number in range(5):
            post_transactional(site, f"{point}.{number}@example.com")
        site.until(lambda point=point: not site.is_wished(point), 60, f"a worker dies at {point}")
    site.until(lambda: not {"queued", "sending"} & set(outbox(site).values()), 120, "the outbox is empty")
    post_transactional(site, "afterwards@example.com")
    site.until(lambda: outbox(site)["afterwards@example.com"] == "sent", 60, "what is posted afterwards is sent")

    taken, told = Counter(entry.to for entry in ledger.read(site.ledger) if not entry.campaign and entry.accepted), outbox(site)
    assert (len(told), set(told.values()), set(taken.values())) == (21, {"sent", "unknown"}, {1})
    assert {email for email, status in told.items() if status == "sent"} <= set(taken)
    # Killed right before the call: it waits for a person, for no machine can know.
    assert "unknown" in {told[email] for email in told.keys() - taken.keys()}
