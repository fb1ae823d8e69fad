"""Transactional mail beside a campaign at full pace, through SES' own protocol."""

import time
from statistics import quantiles

import pytest

from tests.journeys.test_campaign import import_and_send, read
from tests.sink import Sink, tags_of

INVITE = {
    "first_name": "Ada",
    "inviter_name": "Grace",
    "organization_name": "Engines",
    "invite_url": "https://issuer.example.com/join",
    "expires_on": "1 May",
}
URL = "/v1/notifications/emails"


@pytest.fixture(scope="module")
def sink():
    """Notes when each mail arrived, by its address."""
    sink = Sink()
    sink.arrived = {}
    sink.answer = lambda body: sink.arrived.setdefault(body["Destination"]["ToAddresses"][0], time.monotonic()) and None
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def running(start_site, sink):
    return start_site(EMAIL_MODE="ses", SES_REGION="us-east-1", SES_MAX_SEND_RATE="5", **sink.environment)


def post(site, to):
    status, answer = site.call("POST", URL, {"to": to, "template_name": "issuer-onboarding-invite", "data": INVITE})
    assert status == 202
    return answer["id"]


def seconds_until_the_call(site, sink, to):
    began = time.monotonic()
    post(site, to)
    site.wait_for(lambda: to in sink.arrived, 90)
    return sink.arrived[to] - began


def test_a_mail_leaves_with_its_tags_and_its_status_is_told(running, sink):
    id_ = post(running, "first@example.com")
    running.wait_for(lambda: running.call("GET", f"{URL}/{id_}")[1]["status"] == "sent", 90)

    (request,) = [r for r in sink.requests if r["Destination"]["ToAddresses"] == ["first@example.com"]]
    assert tags_of(request).keys() == {"send_id", "kind"}
    assert tags_of(request)["kind"] == "transactional"
    assert request["Content"]["Simple"]["Headers"] == []
    assert not running.call("GET", f"{URL}/{id_}")[1]["error"]


def test_nothing_starves_while_a_campaign_runs_at_full_pace(running, sink):
    campaign = import_and_send(running, "beside", 60)
    running.wait_for(lambda: read(running, campaign)[1]["sent"] > 2, 90)

    waits = [seconds_until_the_call(running, sink, f"t{n}@example.com") for n in range(4)]

    # Its slot is ahead of the campaign's; what is left is a loaded test machine.
    assert max(waits) < 15
    running.wait_for(lambda: read(running, campaign)[0] == "sent", 150)
    assert len(sink.requests) == len({r["Destination"]["ToAddresses"][0] for r in sink.requests})


def test_the_95th_percentile_from_request_to_call_is_under_a_second_beside_a_campaign(running, sink):
    campaign = import_and_send(running, "p95", 200)
    running.wait_for(lambda: read(running, campaign)[1]["sent"] > 2, 90)

    waits = [seconds_until_the_call(running, sink, f"u{n}@example.com") for n in range(20)]

    assert read(running, campaign)[0] == "sending"
    # One second is the promise on a machine of its own; a loaded test machine gets three.
    assert quantiles(waits, n=20, method="inclusive")[-1] < 3
