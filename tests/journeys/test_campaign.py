from collections import Counter
from contextlib import suppress

import psutil
import pytest

LEDGER = ("waiting", "in_flight", "sent", "failed", "unknown", "skipped")
WORDS = {
    "name": "Spring",
    "subject": "Hello {{ first_name }}",
    "body_html": "<p>Hello {{ first_name }}</p>",
    "from_email": "hello@example.com",
}


def people(group, count):
    return [f"{group}{n}@example.com" for n in range(count)]


def import_and_send(site, group, count):
    """A campaign to `count` new people with a tag of their own, on its way."""
    rows = "".join(f"{email},Person,{group}\n" for email in people(group, count))
    imported = site.call("POST", "/api/prospects/import", f"email,first_name,tags\n{rows}".encode(), "text/csv")[1]
    assert imported["created"] == count
    campaign = site.call("POST", "/api/campaigns", WORDS | {"audience": {"include_tags": [group]}})[1]["id"]
    assert site.call("POST", "/api/campaigns/send", {"campaignId": campaign})[0] == 202
    return campaign


def read(site, campaign):
    """The campaign's status and stats; the account must balance whenever it is read."""
    body = site.call("GET", f"/api/campaigns/{campaign}")[1]
    assert body["stats"]["planned"] == sum(body["stats"][name] for name in LEDGER)
    return body["campaign"]["status"], body["stats"]


@pytest.fixture(scope="module")
def running(start_site):
    return start_site(SES_MAX_SEND_RATE="100")


def mailed(running, group):
    return Counter(to for to in running.mailed() if to.startswith(group))


def test_a_campaign_goes_out_to_everybody_once(running):
    campaign = import_and_send(running, "all", 500)

    running.wait_for(lambda: read(running, campaign)[0] == "sent", 90)

    assert read(running, campaign)[1]["sent"] == 500
    assert mailed(running, "all") == Counter(people("all", 500))


def test_a_killed_worker_costs_nobody_a_second_mail(running):
    campaign = import_and_send(running, "kill", 600)
    running.wait_for(lambda: read(running, campaign)[1]["sent"] > 100, 90)

    for process in running.worker_processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    in_flight = read(running, campaign)[1]["in_flight"]

    running.wait_for(lambda: read(running, campaign)[0] == "sent", 150)
    stats = read(running, campaign)[1]
    assert max(mailed(running, "kill").values()) == 1
    assert stats["sent"] + stats["unknown"] == 600
    # Only calls that were under way when the worker died may be unknown.
    assert stats["unknown"] <= in_flight


def test_a_smoke_test_says_that_log_mode_delivers_nothing(running):
    code, lines = running.smoke_test("smoke@example.com")

    assert code == 1
    assert lines[-1].startswith("smoke_test: EMAIL_MODE=log there"), "\n".join(lines)
    assert any("sent" in line and "log-" in line for line in lines)
