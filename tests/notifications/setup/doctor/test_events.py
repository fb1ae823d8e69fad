"""What the doctor says of the way of events: from the configuration set to the webhooks."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.test import Client

from notifications.setup import doctor, webhook_checks
from notifications.setup.doctor import Mark
from notifications.setup.wishes import Via
from tests.aws import TOPIC, wish
from tests.notifications.setup.doctor.lines import about, the

pytestmark = pytest.mark.django_db


def test_a_configuration_set_that_does_not_exist_blocks(examine):
    lines = examine(configuration_set="another")

    assert the(lines, "configuration set").mark is Mark.FAIL


def test_without_a_configuration_set_no_event_comes(examine):
    assert the(examine(configuration_set=""), "configuration set").mark is Mark.WARN


@pytest.mark.parametrize(
    ("option", "value", "mark"),
    [
        ("SendingOptions", {"SendingEnabled": False}, Mark.FAIL),
        ("ReputationOptions", {"ReputationMetricsEnabled": False}, Mark.WARN),
        ("SuppressionOptions", {"SuppressedReasons": ["BOUNCE"]}, Mark.WARN),
        ("SuppressionOptions", {}, Mark.WARN),
    ],
)
def test_the_options_of_the_configuration_set_are_judged(examine, aws, option, value, mark):
    aws.sesv2.sets["outreach"][option] = value

    assert doctor.worst(about(examine(), "configuration set")) is mark


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"MatchingEventTypes": ["SEND", "DELIVERY", "BOUNCE", "COMPLAINT"]}, Mark.WARN),
        ({"MatchingEventTypes": ["SEND", "DELIVERY"]}, Mark.FAIL),
        ({"Enabled": False}, Mark.FAIL),
    ],
)
def test_event_destinations_are_judged(examine, aws, changes, mark):
    del aws.sesv2.destinations["outreach"]["sns"]
    aws.sesv2.destinations["outreach"]["eventbridge"] |= changes

    assert doctor.worst(about(examine(), "event destination")) is mark


def test_a_topic_that_the_site_does_not_list_counts_for_nothing(examine, aws):
    del aws.sesv2.destinations["outreach"]["eventbridge"]

    assert the(examine(topics=()), "event destination").mark is Mark.FAIL


def test_events_for_a_site_without_the_secret_are_refused(examine):
    assert doctor.worst(about(examine(secrets_set=False), "event destination")) is Mark.FAIL


def switch_the_rule_off(aws):
    aws.events.disable_rule(Name="outreach-ses-events")


def take_the_target_away(aws):
    aws.events.remove_targets(Rule="outreach-ses-events", Ids=["1"])


def post_elsewhere(aws):
    aws.events.update_api_destination(Name="outreach-ses-events", InvocationEndpoint="https://old.example.com")


def withdraw_the_connection(aws):
    describe = aws.events.describe_connection
    aws.events.describe_connection = lambda **names: describe(**names) | {"ConnectionState": "DEAUTHORIZED"}


@pytest.mark.parametrize(
    "spoil",
    [switch_the_rule_off, take_the_target_away, post_elsewhere, withdraw_the_connection],
    ids=lambda spoil: spoil.__name__,
)
def test_what_breaks_the_way_of_events_blocks(examine, aws, spoil):
    spoil(aws)

    assert doctor.worst(about(examine(), "EventBridge")) is Mark.FAIL


def test_a_rule_by_another_name_is_asked_for(examine):
    line = the(examine(wish=wish(name="by-hand"), topics=()), "EventBridge")

    assert (line.mark, "--name" in line.fix) == (Mark.WARN, True)


def test_a_subscription_that_is_missing_or_unconfirmed_blocks(examine, aws, monkeypatch):
    assert the(examine(wish=wish(base_url="https://new.example.com")), "SNS subscription").mark is Mark.FAIL

    pending = {"Subscriptions": [{"Endpoint": wish(via=Via.SNS).endpoint, "SubscriptionArn": "PendingConfirmation"}]}

    class Pages:
        def paginate(self, **_parameters):
            return [pending]

    monkeypatch.setattr(aws.sns, "get_paginator", lambda _name: Pages())

    assert "waits for its confirmation" in the(examine(), "SNS subscription").words


@pytest.mark.parametrize("subject", ["EventBridge webhook", "SNS webhook"])
@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "connection refused"), (301, ""), (200, ""), (503, "WEBHOOK_NOT_CONFIGURED"), (404, ""), (400, "not an answer")],
)
def test_a_webhook_that_does_not_refuse_strangers_as_it_should_blocks(examine, subject, status, words):
    line = the(examine(post=lambda *_: (status, words)), subject)

    assert line.mark is Mark.FAIL
    assert line.fix


@pytest.mark.parametrize("base_url", ["http://mail.example.com", "https://127.0.0.1:8000"])
def test_an_address_that_aws_cannot_reach_blocks(examine, base_url):
    assert the(examine(wish=wish(base_url=base_url)), "public address").mark is Mark.FAIL


def test_without_any_webhook_nothing_is_ever_accepted(examine):
    assert the(examine(secrets_set=False, topics=()), "webhook").mark is Mark.FAIL


def test_the_last_event_of_each_way_is_told(examine, received, now):
    received("eventbridge", now)
    received("sns", now - 2 * webhook_checks._LATELY)

    lines = examine()

    assert the(lines, "last event by eventbridge").mark is Mark.OK
    assert the(lines, "last event by sns").mark is Mark.WARN


def test_the_real_webhooks_answer_strangers_as_the_doctor_expects(examine, settings):
    settings.SES_WEBHOOK_SECRETS, settings.SES_SNS_TOPIC_ARNS = ["secret"], [TOPIC]

    def post(url, body, headers):
        path = url.removeprefix("https://mail.example.com")
        return Client().generic("POST", path, body, headers["Content-Type"]).status_code, ""

    lines = examine(post=post)

    assert the(lines, "EventBridge webhook").mark is the(lines, "SNS webhook").mark is Mark.OK


@pytest.mark.django_db(transaction=True)
def test_a_post_tells_status_and_code(live_server, settings):
    settings.SES_WEBHOOK_SECRETS = ["secret"]

    assert webhook_checks.post(f"{live_server.url}/api/webhooks/ses-events", b"{}", {}) == (401, "WRONG_WEBHOOK_SECRET")
    assert webhook_checks.post(f"{live_server.url}/nowhere", b"{}", {})[0] == 404
    assert webhook_checks.post("http://127.0.0.1:9/", b"{}", {})[0] == 0


def test_a_redirect_is_told_and_not_followed():
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(308)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as site:
        threading.Thread(target=site.handle_request, daemon=True).start()
        status, _ = webhook_checks.post(f"http://127.0.0.1:{site.server_port}/hook", b"{}", {})

    assert (status, asked) == (308, ["/hook"])
