"""The simulator for tests that send to it, in a thread or as a process, and what they ask it."""

import asyncio
import json
import os
import socket
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

from notifications.simulator import server
from outreach.management.commands.ses_simulator import Command, options_from

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60


class Simulator:
    """A simulator on a free port in a thread of its own; `options` are the flags of `manage.py ses_simulator`."""

    def __init__(self, *options):
        self.lines = []
        self._begin(options)
        self.url = self.wait_for(lambda: next((line.split()[1] for line in self.lines if line.startswith("ready: ")), ""))

    def _begin(self, options):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        flags = vars(Command().create_parser("manage.py", "ses_simulator").parse_args(list(options)))
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        serving = server.serve(options_from(flags, listener), listener, say=self.lines.append, stop=self._stop)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[serving], daemon=True)
        self._thread.start()

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
            assert time.monotonic() < deadline, self.lines[-20:]
            time.sleep(0.02)
        return found

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)
        self._loop.close()


class SimulatorProcess(Simulator):
    """The command itself, as a person runs it."""

    def _begin(self, options):
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "ses_simulator", "--port", "0", *options],
            cwd=ROOT,
            env=os.environ | {"ENV_FILE": os.devnull},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._drain, daemon=True).start()

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
