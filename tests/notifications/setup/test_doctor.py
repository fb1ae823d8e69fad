import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dns.exception
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from django.test import Client

from notifications.models import EmailEvent
from notifications.setup import apply, dns_checks, doctor, plan, webhook_checks
from notifications.setup.doctor import Mark, Patient
from notifications.setup.steps import Known
from notifications.setup.wishes import Via
from outreach.management.commands import ses_doctor
from tests import aws as stand_ins
from tests.aws import ACCOUNT, TOPIC, wish

pytestmark = pytest.mark.django_db

ZONE = {
    ("example.com", "TXT"): ["google-site-verification=x", "v=spf1 include:amazonses.com -all"],
    ("mail.example.com", "MX"): ["10 feedback-smtp.us-east-1.amazonses.com"],
    ("mail.example.com", "TXT"): ["v=spf1 include:amazonses.com ~all"],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com"],
} | {(f"{token}._domainkey.example.com", "CNAME"): [f"{token}.dkim.amazonses.com"] for token in ("one", "two", "three")}


class Dns:
    """A zone; names that are not in it have no records, and `broken` ones do not answer."""

    def __init__(self, zone):
        self.zone, self.broken = dict(zone), set()

    def records(self, name, kind):
        if name in self.broken:
            raise dns.exception.Timeout
        return self.zone.get((name, kind), [])


@pytest.fixture
def aws():
    with stand_ins.clients() as clients:
        for via in Via:
            apply.run(plan.steps_for(wish(via=via), clients, Known()), dry_run=False, say=lambda _line: None)
        identity = clients.sesv2.identities["example.com"]
        identity["VerifiedForSendingStatus"], identity["DkimAttributes"]["Status"] = True, "SUCCESS"
        identity["MailFromAttributes"]["MailFromDomainStatus"] = "SUCCESS"
        yield clients


@pytest.fixture
def zone():
    return Dns(ZONE)


@pytest.fixture
def examine(aws, zone, now):
    """The lines about a site where all is well, but for what a test changes."""

    def post(url, _body, _headers):
        return (403 if url.endswith("/v1/notifications/ses-events") else 401), ""

    def run(**changes):
        defaults = {
            "wish": wish(),
            "aws": aws,
            "resolver": zone,
            "post": post,
            "now": now,
            "mode": "ses",
            "sender": "hello@example.com",
            "configuration_set": "outreach",
            "account_id": ACCOUNT,
            "max_send_rate": 5.0,
            "secrets_set": True,
            "topics": (TOPIC,),
        }
        return list(doctor.examine(Patient(**defaults | changes), ses_doctor.CHECKS))

    return run


@pytest.fixture
def received(now):
    def store(route="eventbridge", at=None):
        EmailEvent.objects.create(
            fingerprint=f"{route}{at}", route=route, event_type="Send", occurred_at=now, received_at=at or now, body=b"{}"
        )

    return store


def about(lines, subject):
    found = [line for line in lines if line.subject == subject]
    assert found, f"nothing about {subject}: {[line.subject for line in lines]}"
    return found


def the(lines, subject):
    (line,) = about(lines, subject)
    return line


def test_of_a_healthy_site_all_is_well(examine, received):
    received("eventbridge"), received("sns")

    lines = examine()

    assert [line for line in lines if line.mark is not Mark.OK] == []
    assert len(lines) >= 18


def test_whatever_is_not_well_has_a_fix(examine, aws, zone):
    aws.sesv2.identities.clear(), aws.sesv2.sets.clear(), zone.zone.clear()
    aws.sesv2.account = {"SendingEnabled": False, "SendQuota": {"Max24HourSend": 1.0, "SentLast24Hours": 1.0, "MaxSendRate": 1.0}}

    lines = examine(mode="log", post=lambda *_: (0, "refused"))

    bad = [line for line in lines if line.mark is not Mark.OK]
    assert len(bad) > 9
    assert all(line.fix for line in bad)
    assert doctor.worst(lines) is Mark.FAIL


def refusing(code):
    def call(**_parameters):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")

    return call


def test_one_call_that_fails_hides_nothing_else(examine, aws, monkeypatch):
    whole = {line.subject for line in examine()}

    monkeypatch.setattr(aws.sts, "get_caller_identity", refusing("ExpiredToken"))
    aws.sesv2.get_account = refusing("InternalFailure")
    lines = examine()

    assert the(lines, "credentials").mark is the(lines, "account").mark is Mark.FAIL
    assert {line.subject for line in lines} >= whole - {"sandbox", "quota", "rate"}


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "AuthorizationError"])
def test_what_may_not_be_read_is_a_warning_that_names_the_call(examine, aws, code):
    aws.sesv2.get_account = refusing(code)

    line = the(examine(), "account")

    assert (line.mark, "Operation" in line.words) == (Mark.WARN, True)
    assert "docs/operations.md" in line.fix


def test_an_aws_that_does_not_answer_is_said_in_every_line_that_needs_it(examine, aws, monkeypatch):
    def away(*_self, **_parameters):
        raise EndpointConnectionError(endpoint_url="https://email.us-east-1.amazonaws.com")

    monkeypatch.setattr(stand_ins.Ses, "_get_email_identity", away)

    lines = examine()

    assert the(lines, "identity").mark is Mark.FAIL
    assert the(lines, "EventBridge").mark is the(lines, "SPF").mark is Mark.OK
    assert "p=quarantine; whether DKIM or SPF aligns is not known" in the(lines, "DMARC").words


def test_credentials_of_another_account_are_found(examine):
    line = the(examine(account_id="999999999999"), "credentials")

    assert line.mark is Mark.FAIL
    assert ACCOUNT in line.words


def test_in_log_mode_nothing_leaves(examine):
    assert the(examine(mode="log"), "mode").mark is Mark.WARN


@pytest.mark.parametrize(
    ("changes", "subject", "mark"),
    [
        ({"ProductionAccessEnabled": False}, "sandbox", Mark.FAIL),
        ({"SendingEnabled": False}, "account", Mark.FAIL),
        ({"EnforcementStatus": "SHUTDOWN"}, "account", Mark.FAIL),
        ({"EnforcementStatus": "PROBATION"}, "account", Mark.WARN),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 200.0, "MaxSendRate": 14.0}}, "quota", Mark.FAIL),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 160.0, "MaxSendRate": 14.0}}, "quota", Mark.WARN),
        ({"SendQuota": {"Max24HourSend": -1.0, "SentLast24Hours": 9e9, "MaxSendRate": 14.0}}, "quota", Mark.OK),
        ({"SendQuota": {"Max24HourSend": 200.0, "SentLast24Hours": 0.0, "MaxSendRate": 1.0}}, "rate", Mark.WARN),
    ],
)
def test_the_account_is_judged(examine, aws, changes, subject, mark):
    aws.sesv2.account |= changes

    assert the(examine(), subject).mark is mark


def test_an_identity_that_is_not_verified_blocks(examine, aws):
    aws.sesv2.identities["example.com"]["VerifiedForSendingStatus"] = False

    assert the(examine(), "identity").mark is Mark.FAIL


@pytest.mark.parametrize(("domain", "sender"), [("news.example.com", "a@news.example.com"), ("other.org", "me@other.org")])
def test_a_verified_domain_above_or_the_address_itself_will_do(examine, aws, domain, sender):
    aws.sesv2.identities["me@other.org"] = {"VerifiedForSendingStatus": True}

    assert the(examine(wish=wish(domain=domain), sender=sender), "identity").mark is Mark.OK


@pytest.mark.parametrize(
    ("part", "changes", "subject"),
    [
        ("DkimAttributes", {"Status": "PENDING"}, "DKIM"),
        ("DkimAttributes", {"SigningEnabled": False}, "DKIM"),
        ("MailFromAttributes", {"MailFromDomainStatus": "FAILED"}, "MAIL FROM"),
        ("MailFromAttributes", {"MailFromDomain": ""}, "MAIL FROM"),
    ],
)
def test_a_half_finished_identity_is_warned_about(examine, aws, part, changes, subject):
    aws.sesv2.identities["example.com"][part] |= changes

    assert the(examine(), subject).mark is Mark.WARN


@pytest.mark.parametrize(
    ("name", "kind", "records", "subject", "mark"),
    [
        ("one._domainkey.example.com", "CNAME", [], "DKIM in DNS", Mark.FAIL),
        ("two._domainkey.example.com", "CNAME", ["two.example.net"], "DKIM in DNS", Mark.FAIL),
        ("mail.example.com", "MX", [], "MAIL FROM in DNS", Mark.WARN),
        ("mail.example.com", "MX", ["10 mx.example.net"], "MAIL FROM in DNS", Mark.WARN),
        ("mail.example.com", "TXT", [], "SPF", Mark.WARN),
        ("mail.example.com", "TXT", ["v=spf1 include:_spf.google.com -all"], "SPF", Mark.WARN),
        ("mail.example.com", "TXT", ["v=spf1 include:amazonses.com -all", "v=spf1 -all"], "SPF", Mark.FAIL),
        ("_dmarc.example.com", "TXT", [], "DMARC", Mark.WARN),
        ("_dmarc.example.com", "TXT", ["something else"], "DMARC", Mark.WARN),
        ("_dmarc.example.com", "TXT", ["v=DMARC1; p=none", "v=DMARC1; p=reject"], "DMARC", Mark.FAIL),
        ("_dmarc.example.com", "TXT", ["v=DMARC1; rua=mailto:a@example.com"], "DMARC", Mark.FAIL),
        ("_dmarc.example.com", "TXT", ["V=dmarc1;P=REJECT"], "DMARC", Mark.OK),
    ],
)
def test_dns_is_judged(examine, zone, name, kind, records, subject, mark):
    zone.zone[name, kind] = records

    assert the(examine(), subject).mark is mark


@pytest.mark.parametrize(
    ("policy", "dkim", "mail_from", "mark"),
    [
        ("p=reject", True, "mail.example.com", Mark.OK),
        ("p=reject; aspf=s", True, "mail.example.com", Mark.OK),
        ("p=reject", True, "", Mark.OK),
        ("p=reject", False, "mail.example.com", Mark.WARN),
        ("p=reject; aspf=s", False, "mail.example.com", Mark.FAIL),
        ("p=reject", False, "mail.example.net", Mark.FAIL),
        ("p=quarantine", False, "", Mark.FAIL),
        ("p=none", False, "", Mark.WARN),
    ],
)
def test_dmarc_wants_dkim_or_spf_in_the_senders_own_name(examine, aws, zone, policy, dkim, mail_from, mark):
    zone.zone["_dmarc.example.com", "TXT"] = [f"v=DMARC1; {policy}"]
    identity = aws.sesv2.identities["example.com"]
    identity["DkimAttributes"]["Status"] = "SUCCESS" if dkim else "PENDING"
    identity["MailFromAttributes"]["MailFromDomain"] = mail_from

    assert the(examine(), "DMARC").mark is mark


def test_a_subdomain_has_the_policy_of_the_domain_above(examine):
    line = the(examine(wish=wish(domain="news.example.com")), "DMARC")

    assert "_dmarc.example.com" in line.words


@pytest.mark.parametrize(("policy", "mark"), [("p=reject", Mark.OK), ("p=reject; adkim=s", Mark.FAIL)])
def test_a_signature_of_the_domain_above_aligns_unless_the_policy_is_strict(examine, zone, policy, mark):
    zone.zone["_dmarc.example.com", "TXT"] = [f"v=DMARC1; {policy}"]

    assert the(examine(wish=wish(domain="news.example.com")), "DMARC").mark is mark


def test_a_name_server_that_is_silent_hides_nothing_else(examine, zone):
    zone.broken = {"mail.example.com"}

    lines = examine()

    assert the(lines, "SPF").mark is Mark.FAIL
    assert "cannot be checked" in the(lines, "SPF").words
    assert the(lines, "DMARC").mark is Mark.OK


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


def test_records_are_texts_without_quotes_and_final_dots():
    from dns.rdata import from_text
    from dns.rdataclass import IN
    from dns.rdatatype import CNAME, MX, TXT

    assert dns_checks._text(from_text(IN, TXT, '"v=spf1 include:" "amazonses.com -all"')) == "v=spf1 include:amazonses.com -all"
    assert dns_checks._text(from_text(IN, CNAME, "a.dkim.amazonses.com.")) == "a.dkim.amazonses.com"
    assert dns_checks._text(from_text(IN, MX, "10 feedback-smtp.us-east-1.amazonses.com.")).endswith("amazonses.com")
