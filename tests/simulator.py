"""The simulator as a process of its own, for tests that send to it, and what they ask it."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60


class Simulator:
    """One `manage.py ses_simulator` on a free port; `options` are its flags."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "ses_simulator", "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"ENV_FILE": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("ready: "):
                break
        else:
            raise AssertionError("\n".join(self.lines))
        self.url = self.lines[-1].split()[1]
        threading.Thread(target=self._drain, daemon=True).start()

    @property
    def environment(self):
        """The variables with which boto3 finds this instead of AWS."""
        return {"AWS_ENDPOINT_URL_SESV2": self.url, "AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up"}

    def client(self, **config):
        """boto3's own, without retries."""
        return boto3.client(
            "sesv2",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="made-up",
            aws_secret_access_key="made-up",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def ask(self, method, path, body=None):
        """The status and the JSON of one of its own routes."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ledger(self, **query):
        return self.ask("GET", f"/ledger?{urllib.parse.urlencode(query)}")[1]

    def faults(self, **faults):
        return self.ask("POST", "/faults", faults)

    def reset(self):
        self.ask("DELETE", "/faults")
        self.ask("DELETE", "/ledger")

    def wait_for(self, probe):
        deadline = time.monotonic() + SECONDS
        while not (found := probe()):
            assert time.monotonic() < deadline, (self.ask("GET", "/events"), self.lines[-20:])
            time.sleep(0.05)
        return found

    def close(self):
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0

    def _drain(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


def mail(**changes):
    """The parameters of a good SendEmail."""
    return {
        "FromEmailAddress": "Harbour <hello@example.com>",
        "Destination": {"ToAddresses": ["ada@example.com"]},
        "Content": simple(),
        "EmailTags": [{"Name": "send_id", "Value": "abc-1"}, {"Name": "kind", "Value": "outreach"}],
        "ConfigurationSetName": "outreach",
    } | changes


def simple(**changes):
    """A good message: `Content` of SendEmail."""
    body = {"Text": {"Data": "Hello"}, "Html": {"Data": '<p>Hello <a href="https://example.com/a?b=1&amp;c=2">you</a></p>'}}
    return {"Simple": {"Subject": {"Data": "Hello Ada"}, "Body": body} | changes}


def bulk(*entries, **changes):
    """The parameters of a good SendBulkEmail."""
    template = {
        "TemplateContent": {"Subject": "Hello {{ name }}", "Text": "{{name}}: {{ link }}"},
        "TemplateData": '{"name": "you"}',
    }
    return {
        "FromEmailAddress": "hello@example.com",
        "DefaultContent": {"Template": template},
        "BulkEmailEntries": list(entries),
    } | changes


def entry(to, *, tags=(), headers=(), **data):
    """One entry of SendBulkEmail."""
    made = {"Destination": {"ToAddresses": [to]}}
    if tags:
        made["ReplacementTags"] = [{"Name": name, "Value": value} for name, value in tags]
    if headers:
        made["ReplacementHeaders"] = [{"Name": name, "Value": value} for name, value in headers]
    if data:
        made["ReplacementEmailContent"] = {"ReplacementTemplate": {"ReplacementTemplateData": json.dumps(data)}}
    return made
