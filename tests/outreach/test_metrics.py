"""`/metrics`: who may read it, and that its numbers are those of the database."""

from datetime import timedelta
from ipaddress import ip_network
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from campaigns import settling, watching
from campaigns.models import RaisedAlarm
from notifications import measuring
from notifications.models import EmailEvent, SuppressionReason
from notifications.transports.base import Verdict
from outreach import alarms, gauging, metrics
from prospects.models import ProspectImport
from tests.factories import CampaignFactory, EmailSendFactory, ProspectImportFactory, SuppressionFactory

SECRET = "made-up-proxy-secret-of-32-characters"


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.PROXY_SHARED_SECRET = SECRET


def get(**headers):
    return Client().get("/metrics", headers=headers)


def scrape():
    response = get(x_proxy_secret=SECRET)
    assert response.status_code == 200, response.content
    return read(response.content.decode())


def read(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    "headers", [{}, {"x_proxy_secret": "wrong"}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {SECRET}"}]
)
def test_a_stranger_learns_nothing(headers):
    response = get(**headers)

    assert response.status_code == 401
    assert response["WWW-Authenticate"]
    assert b"outreach_" not in response.content


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{"x_proxy_secret": SECRET}, {"authorization": f"Bearer {SECRET}"}])
def test_the_proxy_secret_opens_it_in_both_spellings(headers):
    assert get(**headers).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(("networks", "status"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8"], 401), ([], 401)])
def test_an_allowed_address_needs_no_secret(settings, networks, status):
    settings.METRICS_ALLOWED_ADDRESSES = [ip_network(one) for one in networks]

    assert get().status_code == status


def test_an_address_that_somebody_claims_is_not_believed(settings):
    settings.METRICS_ALLOWED_ADDRESSES = [ip_network("10.0.0.0/8")]

    assert get(x_forwarded_for="10.0.0.1").status_code == 401


def test_an_empty_secret_opens_nothing(settings):
    settings.PROXY_SHARED_SECRET = ""

    assert get(x_proxy_secret="").status_code == 401
    assert get(authorization="Bearer ").status_code == 401


@pytest.mark.django_db
def test_a_scraper_asks_by_address_not_by_an_allowed_host(settings):
    settings.ALLOWED_HOSTS = ["mail.example.com"]

    assert Client().get("/metrics", headers={"host": "10.1.2.3:8000", "x-proxy-secret": SECRET}).status_code == 200


@pytest.mark.django_db
def test_the_rows_are_those_of_the_ledger(now):
    campaign = CampaignFactory(sending=True, waiting=3)
    EmailSendFactory.create_batch(2, campaign=campaign, accepted=True)
    EmailSendFactory(campaign=campaign, unsettled=True)

    found = scrape()

    assert found["outreach_ledger_rows", "outreach", "queued"] == 3
    assert found["outreach_ledger_rows", "outreach", "sent"] == 2
    assert found["outreach_ledger_rows", "outreach", "unknown"] == 1
    assert found["outreach_ledger_rows", "complained", "outreach"] == 0
    assert found["outreach_queue_depth", "outreach", "waiting"] == 3
    assert found["outreach_quota_used_mails",] == 3
    assert found["outreach_pace_used_mails_per_second",] == pytest.approx(3 / 60)
    assert found["outreach_campaigns", "sending"] == 1


@pytest.mark.django_db
def test_the_call_of_an_earlier_attempt_is_counted_still(now):
    send = EmailSendFactory(campaign=CampaignFactory(sending=True), unsettled=True)
    settling.retry([send.pk], by="op", why="nothing in its log", now=now)

    assert scrape()["outreach_quota_used_mails",] == 1


@pytest.mark.django_db
def test_the_oldest_waiting_row_counts_only_while_its_campaign_sends(now):
    old = {"created_at": now - timedelta(hours=1)}
    EmailSendFactory(campaign=CampaignFactory(paused=True), created_at=now - timedelta(days=9))
    assert scrape()["outreach_oldest_waiting_seconds", "outreach"] == 0
    sending = CampaignFactory(sending=True)
    EmailSendFactory(campaign=sending, **old)
    EmailSendFactory(campaign=sending)
    gauging.cache.clear()

    assert scrape()["outreach_oldest_waiting_seconds", "outreach"] == pytest.approx(3600, abs=60)


@pytest.mark.django_db
def test_parked_events_suppressions_and_import_rows(now):
    words = {"route": "sns", "event_type": "Bounce", "occurred_at": now, "received_at": now, "body": b"{}"}
    EmailEvent.objects.create(fingerprint="a", state="parked", **words)
    EmailEvent.objects.create(fingerprint="b", state="pending", **words)
    SuppressionFactory(reason=SuppressionReason.BOUNCE)
    ProspectImportFactory(state=ProspectImport.State.DONE, rows=7, created=4, invalid=3)

    found = scrape()

    assert found["outreach_events_unmatched",] == 1
    assert found["outreach_queue_depth", "events", "waiting"] == 1
    assert found["outreach_suppressions", "bounce"] == 1
    assert found["outreach_import_rows_total", "created"] == 4
    assert found["outreach_import_rows_total", "invalid"] == 3


@pytest.mark.django_db
def test_calls_are_counted_by_what_they_meant():
    # The calls of an earlier test wait for half a second.
    measuring.count_now()
    before = scrape()
    measuring.call_ended(Verdict.ACCEPTED, 0.2)
    measuring.call_ended(Verdict.ACCEPTED, 0.3)
    measuring.call_ended(Verdict.WAIT, 0.1)
    measuring.count_now()

    after = scrape()

    def more(*key):
        return after[key] - before.get(key, 0)

    assert more("outreach_sends_total", "sent") == 2
    assert more("outreach_sends_total", "waiting") == 1
    assert more("outreach_send_call_seconds_count", "sent") == 2
    assert more("outreach_send_call_seconds_sum", "sent") == pytest.approx(0.5)


@pytest.mark.django_db
def test_refused_webhooks_are_counted_by_reason(settings):
    settings.SES_WEBHOOK_SECRETS = ["right"]
    key = ("outreach_webhook_refusals_total", *sorted(("eventbridge", "WRONG_WEBHOOK_SECRET")))
    before = scrape().get(key, 0)

    Client().post("/api/webhooks/ses-events", b"{}", content_type="application/json", headers={"x-webhook-secret": "wrong"})

    assert scrape()[key] == before + 1


def test_an_event_of_a_type_nobody_knows_makes_no_label_of_its_own():
    class Event:
        event_type = "made up by a stranger"

    measuring.counts_events(lambda event, *, route: "stored")(Event(), route="sns")

    text = metrics.choose_encoder("")[0](metrics.REGISTRY).decode()
    assert "made up" not in text
    assert 'outreach_events_total{result="stored",route="sns",type="other"}' in text


@pytest.mark.django_db
def test_a_question_that_fails_costs_its_own_numbers_only(monkeypatch):
    def fail(_now):
        raise OperationalError

    monkeypatch.setitem(gauging.QUESTIONS, "suppressions", fail)

    found = scrape()

    assert found["outreach_scrape_failed", "suppressions"] == 1
    assert found["outreach_scrape_failed", "rows"] == 0
    assert ("outreach_suppressions", "bounce") not in found
    assert ("outreach_ledger_rows", "outreach", "queued") in found


@pytest.mark.django_db
def test_an_answer_is_kept_for_a_moment(now, monkeypatch):
    monkeypatch.setattr(gauging, "_KEEP_AT_LEAST", 600.0)
    assert scrape()["outreach_suppressions", "manual"] == 0
    SuppressionFactory()

    assert scrape()["outreach_suppressions", "manual"] == 0
    gauging.cache.clear()
    assert scrape()["outreach_suppressions", "manual"] == 1


@pytest.mark.django_db
@pytest.mark.parametrize("name", watching.NAMES)
def test_each_alarm_of_sending_is_a_metric_as_long_as_it_rings(now, name):
    assert scrape()["outreach_alarm", name] == 0
    RaisedAlarm.objects.create(key=f"{name}:1", name=name, raised_at=now)
    gauging.cache.clear()

    assert scrape()["outreach_alarm", name] == 1


@pytest.mark.django_db
def test_alarms_are_0_until_they_ring(monkeypatch):
    monkeypatch.setattr(alarms, "_sources", [])
    two = [SimpleNamespace(name="no_progress")] * 2
    alarms.register(["address_twice", "no_progress"], lambda *, now: two)

    found = scrape()

    assert found["outreach_alarm", "address_twice"] == 0
    assert found["outreach_alarm", "no_progress"] == 2


@pytest.mark.django_db
def test_every_sample_has_its_help_and_a_conventional_name():
    text = get(x_proxy_secret=SECRET).content.decode()

    families = list(text_string_to_metric_families(text))
    assert {family.name for family in families} >= {*gauging.HELP, *gauging.COUNTER_HELP, *metrics.READY_HELP} - {
        "outreach_quota_limit_mails",
        "outreach_alarm",
        "outreach_seconds_since_alive",
    }
    for family in families:
        assert family.name.startswith("outreach_")
        assert family.documentation.endswith(".")


@pytest.mark.django_db
def test_a_scraper_that_prefers_openmetrics_gets_it():
    response = get(x_proxy_secret=SECRET, accept="application/openmetrics-text; version=1.0.0")

    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")
