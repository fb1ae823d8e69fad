"""Counters of several processes: they add up, and what the dead have counted is not lost."""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from outreach import metering, metrics

ROOT = Path(__file__).resolve().parents[2]
SECRET = "made-up-proxy-secret-of-32-characters"
COUNT = """
import django, os; django.setup()
from notifications import measuring
from notifications.transports.base import Verdict
for _ in range(3): measuring.call_ended(Verdict.ACCEPTED, 0.2)
if os.fork() == 0:
    # The parent's calls are the parent's to count.
    measuring.call_ended(Verdict.REFUSED, 0.2); measuring.count_now(); os._exit(0)
os.wait(); measuring.count_now()
"""


@pytest.fixture(scope="module")
def two_counts(tmp_path_factory):
    """What each of two processes has counted and left behind."""
    directories = [tmp_path_factory.mktemp("counts") for _ in range(2)]
    started = [
        subprocess.Popen([sys.executable, "-c", COUNT], cwd=ROOT, env=os.environ | {metering.VARIABLE: str(one)})
        for one in directories
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    return directories


@pytest.fixture
def process_counts(two_counts):
    """Stands for a process that counts into this directory and ends: another at its second call."""
    left_behind = iter(two_counts)
    return lambda directory: shutil.copytree(next(left_behind), directory, dirs_exist_ok=True)


def counted(monkeypatch, directory):
    monkeypatch.setenv(metering.VARIABLE, str(directory))
    samples = [sample for metric in metrics._counters() for sample in metric.samples]
    return {
        (sample.name, sample.labels["outcome"]): sample.value
        for sample in samples
        if sample.name in {"outreach_sends_total", "outreach_send_call_seconds_count"}
    }


@pytest.fixture
def directory(tmp_path):
    metering.clean_directory(tmp_path / "metrics")
    return tmp_path / "metrics"


def test_processes_add_up(directory, monkeypatch, process_counts):
    process_counts(directory)
    process_counts(directory)

    found = counted(monkeypatch, directory)

    assert found["outreach_sends_total", "sent"] == 6
    assert found["outreach_sends_total", "failed"] == 2
    assert found["outreach_sends_total", "unknown"] == 0
    assert found["outreach_send_call_seconds_count", "sent"] == 6


def test_the_dead_are_buried_and_their_counts_kept(directory, monkeypatch, process_counts):
    process_counts(directory)
    before = counted(monkeypatch, directory)

    metering.bury_the_dead(directory)
    metering.bury_the_dead(directory)

    assert counted(monkeypatch, directory) == before
    assert {path.name for path in directory.glob("*.db")} == {"counter_0.db", "histogram_0.db"}


def test_the_living_keep_their_files(directory, monkeypatch, process_counts):
    process_counts(directory)
    (directory / "counter_1.db").write_bytes(next(directory.glob("counter_*.db")).read_bytes())

    metering.bury_the_dead(directory)

    assert (directory / "counter_1.db").exists()


def test_a_new_start_begins_at_nothing(directory, monkeypatch, process_counts):
    process_counts(directory)

    metering.clean_directory(directory)

    assert counted(monkeypatch, directory) == {}


def test_a_group_without_a_directory_makes_its_own_and_takes_it_away():
    code = f"from outreach import metering; import os; metering.claim_directory(''); print(os.environ['{metering.VARIABLE}'])"
    env = {name: value for name, value in os.environ.items() if name != metering.VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    assert "outreach-metrics-" in done.stdout
    assert not Path(done.stdout.strip()).exists()


@pytest.fixture
def ask_worker(settings, directory, monkeypatch, process_counts):
    settings.PROXY_SHARED_SECRET = SECRET
    process_counts(directory)
    monkeypatch.setenv(metering.VARIABLE, str(directory))
    server = metrics.serve_here(0)
    address = f"http://127.0.0.1:{server.server_port}/metrics"
    yield lambda **headers: urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30)
    server.shutdown()
    server.server_close()


def test_a_worker_serves_its_own_counters(ask_worker):
    with ask_worker(Authorization=f"Bearer {SECRET}") as answer:
        assert 'outreach_sends_total{outcome="sent"} 3.0' in answer.read().decode()


@pytest.mark.parametrize("headers", [{}, {"X-Proxy-Secret": "wrong"}])
def test_a_worker_tells_strangers_nothing(ask_worker, headers):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask_worker(**headers)


def test_a_taken_port_stops_no_worker(settings, monkeypatch):
    def refuse(_port):
        raise OSError("Address already in use")

    settings.METRICS_PORT = 9000
    monkeypatch.setattr(metrics, "serve_here", refuse)

    metrics.serve_in_worker()
