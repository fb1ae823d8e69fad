from collections import Counter
from contextlib import suppress

import psutil

LEDGER = ("waiting", "in_flight", "sent", "failed", "unknown", "skipped")
WORDS = {
    "name": "Spring",
    "subject": "Hello {{ first_name }}",
    "body_html": "<p>Hello {{ first_name }}</p>",
    "from_email": "hello@example.com",
}


def people(count):
    rows = "".join(f"person{n}@example.com,Person {n}\n" for n in range(count))
    return f"email,first_name\n{rows}".encode()


def import_and_send(site, count):
    assert site.call("POST", "/api/prospects/import", people(count), "text/csv")[1]["created"] == count
    campaign = site.call("POST", "/api/campaigns", WORDS)[1]["id"]
    assert site.call("POST", "/api/campaigns/send", {"campaignId": campaign})[0] == 202
    return campaign


def read(site, campaign):
    """The campaign's status and stats; the account must balance whenever it is read."""
    body = site.call("GET", f"/api/campaigns/{campaign}")[1]
    assert body["stats"]["planned"] == sum(body["stats"][name] for name in LEDGER)
    return body["campaign"]["status"], body["stats"]


def test_a_campaign_goes_out_to_everybody_once(site):
    running = site(SES_MAX_SEND_RATE="200")
    campaign = import_and_send(running, 1000)

    running.wait_for(lambda: read(running, campaign)[0] == "sent", 60)

    assert read(running, campaign)[1]["sent"] == 1000
    assert Counter(running.mailed()) == Counter(f"person{n}@example.com" for n in range(1000))


def test_a_killed_worker_costs_nobody_a_second_mail(site):
    running = site(SES_MAX_SEND_RATE="100")
    campaign = import_and_send(running, 600)
    running.wait_for(lambda: read(running, campaign)[1]["sent"] > 100, 60)

    for process in running.worker_processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    in_flight = read(running, campaign)[1]["in_flight"]

    running.wait_for(lambda: read(running, campaign)[0] == "sent", 120)
    stats = read(running, campaign)[1]
    mailed = Counter(running.mailed())
    assert max(mailed.values()) == 1
    assert stats["sent"] + stats["unknown"] == 600
    # Only calls that were under way when the worker died may be unknown.
    assert stats["unknown"] <= in_flight

