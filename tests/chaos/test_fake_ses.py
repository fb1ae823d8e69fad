"""The fake SES speaks to boto3 as SES does, and its ledger tells what it took."""

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from tests.chaos import ledger
from tests.chaos import site as sites


class Fake:
    def __init__(self, path):
        self.path, self.before = path, 0
        command = [sys.executable, str(Path(sites.__file__).with_name("fake_ses.py")), str(path), "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.client = self.connect(patience=60)

    def connect(self, *, patience):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=patience)
        return boto3.session.Session(aws_access_key_id="made-up", aws_secret_access_key="made-up").client(
            "sesv2", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{self.port}", config=config
        )

    def faults(self, **wish):
        assert sites.request(self.port, "PUT", "/faults", json.dumps(wish).encode())[0] == 200

    def entries(self):
        return ledger.read(self.path)[self.before :]

    def send(self, to="a@example.com"):
        content = {"Simple": {"Subject": {"Data": "Hello"}, "Body": {"Text": {"Data": "Hello"}}}}
        return self.client.send_email(
            FromEmailAddress="hello@example.com",
            Destination={"ToAddresses": [to]},
            Content=content,
            EmailTags=[{"Name": "send_id", "Value": f"id-{to[0]}"}, {"Name": "campaign_id", "Value": "7"}],
        )

    def send_bulk(self, *people):
        content = {"Template": {"TemplateContent": {"Subject": "{{s}}", "Text": "{{t}}"}, "TemplateData": "{}"}}
        entries = [
            {"Destination": {"ToAddresses": [to]}, "ReplacementTags": [{"Name": "send_id", "Value": f"id-{to[0]}"}]}
            for to in people
        ]
        tags = [{"Name": "campaign_id", "Value": "7"}]
        return self.client.send_bulk_email(
            FromEmailAddress="hello@example.com", DefaultContent=content, DefaultEmailTags=tags, BulkEmailEntries=entries
        )["BulkEmailEntryResults"]


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    fake = Fake(tmp_path_factory.mktemp("fake_ses") / "ledger.tsv")
    yield fake
    fake.process.kill()
    fake.process.wait()
    fake.process.stdout.close()


@pytest.fixture
def fake(process):
    """The fake SES without faults; its entries are those of this test."""
    process.faults()
    process.before = len(ledger.read(process.path))
    return process


def test_one_mail_is_written_down_before_it_is_answered(fake):
    message_id = fake.send()["MessageId"]

    (entry,) = fake.entries()
    assert (entry.accepted, entry.send_id, entry.campaign, entry.to) == (True, "id-a", 7, "a@example.com")
    assert entry.message_id == message_id


def test_bulk_entries_are_judged_one_by_one(fake):
    fake.faults(to={"b@example.com": "rejected"})

    results = fake.send_bulk("a@example.com", "b@example.com", "c@example.com")

    assert [result["Status"] for result in results] == ["SUCCESS", "MESSAGE_REJECTED", "SUCCESS"]
    assert [entry.message_id for entry in fake.entries()] == [result.get("MessageId", "") for result in results]
    assert ledger.accepted(fake.entries()) == {"id-a", "id-c"}


def test_more_than_fifty_entries_are_refused_as_a_whole(fake):
    with pytest.raises(ClientError, match="1 to 50"):
        fake.send_bulk(*(f"{n}@example.com" for n in range(51)))
    assert fake.entries() == []


@pytest.mark.parametrize("fault", ["429", "throttle", "quota", "limit", "paused", "rejected", "500_before", "503_before"])
def test_a_refusal_takes_nothing(fake, fault):
    fake.faults(script=[fault])

    with pytest.raises(ClientError):
        fake.send()
    assert [(entry.accepted, entry.fault) for entry in fake.entries()] == [(False, fault)]


@pytest.mark.parametrize("fault", ["close_after", "half_answer", "hang", "500_after"])
def test_an_answer_that_gets_lost_has_taken_the_mail(fake, monkeypatch, fault):
    fake.faults(script=[fault], hang=30)
    monkeypatch.setattr(fake, "client", fake.connect(patience=2))

    # boto3 takes half an answer for one without content.
    with pytest.raises((ClientError, HTTPClientError, KeyError)):
        fake.send()["MessageId"]
    assert [entry.accepted for entry in fake.entries()] == [True]
    assert ledger.ambiguous(fake.entries()) == {"id-a"}


def test_a_connection_that_breaks_before_has_taken_nothing(fake):
    fake.faults(script=["close_before"])

    with pytest.raises(ConnectionClosedError):
        fake.send()
    assert [entry.accepted for entry in fake.entries()] == [False]


def test_the_account_says_its_limits(fake):
    fake.faults(rate=14, quota=50_000)
    before = fake.client.get_account()["SendQuota"]["SentLast24Hours"]
    fake.send()

    quota = fake.client.get_account()["SendQuota"]

    assert (quota["MaxSendRate"], quota["Max24HourSend"], quota["SentLast24Hours"]) == (14, 50_000, before + 1)
