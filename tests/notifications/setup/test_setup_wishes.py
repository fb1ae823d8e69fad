"""What is known before any call: the wishes, the DNS records and AWS' limits."""

import pytest

from notifications.setup import documents, records, ses_steps, wishes
from notifications.setup.wishes import Via
from tests.aws import wish


def test_the_delivery_policy_stays_within_an_hour():
    """numRetries: immediate ones, then backoff from least to most delay, then those at most delay (AWS: 3,600 s at most)."""
    policy = documents.DELIVERY_POLICY["healthyRetryPolicy"]
    backoff = policy["numRetries"] - policy["numMaxDelayRetries"]

    assert policy["maxDelayTarget"] * (policy["numMaxDelayRetries"] + backoff) <= 3600


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"region": ""}, "SES_REGION"),
        ({"domain": ""}, "SES_FROM"),
        ({"configuration_set": ""}, "SES_CONFIGURATION_SET"),
        ({"secret": ""}, "SES_WEBHOOK_SECRET"),
        ({"base_url": "http://mail.example.com"}, "https"),
        ({"base_url": "https://127.0.0.1:8000"}, "this machine"),
        ({"base_url": "https://localhost"}, "this machine"),
        ({"name": "with space"}, "--name"),
        ({"rate": 0}, "--rate"),
        ({"rate": 301}, "--rate"),
    ],
)
def test_what_is_missing_is_named(changes, word):
    (problem,) = wishes.problems(wish(**changes))

    assert word in problem


def test_sns_needs_no_secret():
    assert wishes.problems(wish(via=Via.SNS, secret="")) == []


def test_the_dns_records_are_the_missions():
    found = records.dkim("example.com", ["a", "b", "c"]) + records.spf("example.com")
    found += records.mail_from("mail.example.com", "us-east-1") + records.dmarc("example.com")

    assert [(record.kind, record.name) for record in found] == [
        ("CNAME", "a._domainkey.example.com"),
        ("CNAME", "b._domainkey.example.com"),
        ("CNAME", "c._domainkey.example.com"),
        ("TXT", "example.com"),
        ("MX", "mail.example.com"),
        ("TXT", "mail.example.com"),
        ("TXT", "_dmarc.example.com"),
    ]
    assert found[0].value == "a.dkim.amazonses.com"
    assert found[4].value == "10 feedback-smtp.us-east-1.amazonses.com"


def test_a_region_with_a_zone_of_its_own_has_its_keys_there():
    (record,) = records.dkim("example.com", ["a"], "dkim.eu-central-2.amazonses.com")

    assert record.value == "a.dkim.eu-central-2.amazonses.com"


def test_every_event_type_is_one_of_ses():
    assert len(set(ses_steps.EVENT_TYPES)) == 10
