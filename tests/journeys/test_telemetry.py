"""A real `up` run: every line of it parses, ids travel from the request to the mail, numbers equal the ledger."""

import json
import re
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.conftest import SECRET
from tests.journeys.test_campaign import import_and_send, read

# The last lines of the mission (ses-email-delivery): "All email operations are logged with structured fields".
SAMPLE = {
    "level": "info",
    "msg": "email_sent",
    "message_id": "0102...",
    "to": "user@example.com",
    "subject": "Welcome to Truthlocks",
    "template_name": "issuer-onboarding-invite",
    "duration_ms": 245,
}
# What `up` itself says to the person who started it.
_UPS_OWN = re.compile(
    r"^(preparing the database$|ready: http|made \S+ passable |stopping: |stopped; |port \d+ is busy|\S+( \d+)? ended \()"
)


ALL_SENT = [("outreach_sends_total", "sent"), ("outreach_ledger_rows", "outreach", "sent")]


@pytest.fixture(scope="module")
def running(start_site):
    return start_site(SES_MAX_SEND_RATE="50")


@pytest.fixture(scope="module")
def campaign(running):
    """One that is over, and what Prometheus would have seen on the way."""
    group = import_and_send(running, "telemetry", 150)
    seen = []

    def finished():
        seen.append((scrape(running), read(running, group)[1]))
        return read(running, group)[0] == "sent"

    running.wait_for(finished, 180)
    # The calls of the last half second, and answers that are kept for a moment.
    running.wait_for(lambda: {scrape(running).get(key) for key in ALL_SENT} == {150}, 60)
    seen.append((scrape(running), read(running, group)[1]))
    return seen


def scrape(site):
    request = urllib.request.Request(f"{site.url}/metrics", headers={"X-Proxy-Secret": SECRET})
    with urllib.request.urlopen(request, timeout=60) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def logged(site, **wanted):
    lines = [json.loads(line) for line in list(site.lines) if line.startswith("{")]
    return [line for line in lines if wanted.items() <= line.items()]


def test_the_numbers_are_those_of_the_ledger(campaign):
    numbers, stats = campaign[-1]

    assert stats["sent"] == 150
    assert numbers["outreach_sends_total", "sent"] == 150
    assert numbers["outreach_send_call_seconds_count", "sent"] == 150
    assert numbers["outreach_ledger_rows", "outreach", "sent"] == stats["sent"]
    assert numbers["outreach_queue_depth", "outreach", "waiting"] == stats["waiting"] == 0
    assert numbers["outreach_ledger_rows", "outreach", "unknown"] == stats["unknown"] == 0
    assert numbers["outreach_import_rows_total", "created"] == 150
    assert numbers["outreach_quota_used_mails",] == 150
    assert numbers["outreach_pace_allowed_mails_per_second",] == 50


def test_counters_only_grow_while_it_runs_and_never_pass_the_ledger(campaign):
    sent = [numbers["outreach_sends_total", "sent"] for numbers, _ in campaign]

    assert sent == sorted(sent)
    # A call is counted after it ended; its row is read later still.
    assert all(numbers["outreach_sends_total", "sent"] <= 150 for numbers, _ in campaign)
    assert all(sum(value for key, value in numbers.items() if key[0] == "outreach_ledger_rows") <= 150 for numbers, _ in campaign)


def test_every_component_is_ready_and_says_since_when(running, campaign):
    status, body = running.call("GET", "/readyz")

    assert (status, body["reasons"]) == (200, {})
    assert body["components"]["beat"]["seconds_since"] < 60
    assert body["components"]["worker"]["queues"].keys() >= {"campaigns", "default"}


def test_a_mails_line_is_the_missions_sample_key_by_key(running, campaign):
    lines = logged(running, msg="email_sent")

    assert len(lines) == 150
    for line in lines:
        assert list(line)[:2] == ["level", "msg"]
        assert {key: type(line[key]) for key in SAMPLE} == {key: type(value) for key, value in SAMPLE.items()}
        assert (line["level"], line["msg"]) == (SAMPLE["level"], SAMPLE["msg"])
        assert "timestamp" in line


def test_a_mail_names_its_task_and_the_request_that_started_the_campaign(running, campaign):
    (request,) = logged(running, msg="request_finished", request="POST /api/campaigns/send")
    mails = logged(running, msg="email_sent")
    tasks = {line["task_id"] for line in logged(running, msg="task_started", task="campaigns.tasks.send_chunk")}

    assert request["ip"] == "127.0.0.1"
    assert request["duration_ms"] >= 0
    # Beat may have woken a chunk while the machine was slow; that one belongs to no request.
    assert {mail.get("request_id") for mail in mails} <= {request["request_id"], None}
    assert request["request_id"] in {mail.get("request_id") for mail in mails}
    assert {mail["task_id"] for mail in mails} <= tasks


def test_beats_tasks_have_ids_too(running, campaign):
    def enqueued_sweeps():
        swept = {line["task_id"] for line in logged(running, msg="task_started", task="campaigns.tasks.wake_silent_campaigns")}
        enqueued = {line["child_task_id"] for line in logged(running, msg="task_enqueued")}
        return swept & enqueued if swept <= enqueued else set()

    # Beat's own line may be read after the worker's.
    assert running.wait_for(enqueued_sweeps, 60)


def test_no_line_holds_a_link_or_a_secret(running, campaign):
    everything = "\n".join(running.lines)

    assert SECRET not in everything
    assert not re.search(r"token=[0-9a-f]{8}-", everything)


# The last: it stops the site.
@pytest.mark.stops_the_site
def test_every_line_parses_from_the_first_to_the_last(running, campaign):
    running.stop()

    own = [line for line in running.lines if _UPS_OWN.match(line)]
    others = [line for line in running.lines if not _UPS_OWN.match(line)]
    unparsable = []
    for line in others:
        try:
            assert {"level", "msg", "timestamp", "logger"} <= json.loads(line).keys(), line
        except ValueError:
            unparsable.append(line)
    assert unparsable == []
    assert [line for line in own if line.startswith("ready: ")]
    assert logged(running, logger="celery.apps.worker", msg="worker: Warm shutdown (MainProcess)")
