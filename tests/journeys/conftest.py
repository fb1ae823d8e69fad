"""The real thing: `manage.py up` with its own data, and what its log says left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s" * 40


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """A test that stops the site of its module comes last in it, however the others are shuffled."""
    modules = {}
    for item in items:
        modules.setdefault(item.path, len(modules))
    items.sort(key=lambda item: (modules[item.path], item.get_closest_marker("stops_the_site") is not None))


class Site:
    """A running `up`: its address, its log lines, its processes."""

    def __init__(self, data_dir, *options, **env):
        clean = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", "0", "--data-dir", str(data_dir), *options],
            cwd=ROOT,
            env=clean | {"PROXY_SHARED_SECRET": SECRET, "SES_FROM": "hello@example.com"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.wait_for(lambda: next((line.split()[1] for line in self.lines if line.startswith("ready:")), ""), 240)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, probe, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := probe():
                return found
            assert self.process.poll() is None, "\n".join(self.lines[-20:])
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s in vain; last lines:\n" + "\n".join(self.lines[-20:]))

    def call(self, method, path, body=None, content_type="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"X-Proxy-Secret": SECRET, "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def mailed(self):
        """The addresses of every mail that left, in order, as the log tells."""
        return [json.loads(line)["to"] for line in list(self.lines) if '"msg": "email_sent"' in line]

    def worker_processes(self):
        everyone = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in everyone if "worker" in (line := " ".join(p.cmdline())) and "celery" in line]

    def smoke_test(self, to, *options, secret=SECRET):
        """Run the command from outside; returns its exit code and its lines."""
        done = subprocess.run(
            [sys.executable, "manage.py", "smoke_test", "--to", to, "--base-url", self.url, *options],
            cwd=ROOT,
            env=os.environ | {"PROXY_SHARED_SECRET": secret},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).splitlines()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self._reader.join(60)


@pytest.fixture(scope="module")
def start_site():
    """Start `up` with variables of your own; stopped when the module is done."""
    sites, directories = [], []

    def start(*options, **env):
        # Not in pytest's directory: every pytest that starts closes that one to PostgreSQL's user again.
        directories.append(tempfile.mkdtemp(prefix="outreach-site-"))
        sites.append(Site(Path(directories[-1]) / "data", *options, **env))
        return sites[-1]

    yield start
    for one in sites:
        one.stop()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
