"""`/healthz`, `/readyz` and `manage.py health`: what is missing is named, within seconds, whatever hangs."""

import threading
import time
from datetime import timedelta

import pytest
from celery.signals import task_postrun
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from outreach import health, heartbeats

pytestmark = pytest.mark.django_db(transaction=True)


class Workers:
    """What the workers answer when they are asked: `active` tasks and `queues` by name."""

    def __init__(self):
        self.tasks, self.queues = {}, {}

    def inspect(self, timeout):
        return self

    def active(self):
        return self.tasks or None

    def active_queues(self):
        return self.queues or None


@pytest.fixture
def workers(monkeypatch):
    workers = Workers()
    monkeypatch.setattr(health.current_app, "control", workers)
    monkeypatch.setattr(heartbeats, "_last_written", {})
    # A probe keeps its last answer's thread; every test has its own.
    probes = {name: health._Probe(probe._ask) for name, probe in health._PROBES.items()}
    monkeypatch.setattr(health, "_PROBES", probes)
    return workers


def record(now, *, but=(), ago=timedelta(0)):
    for name in {heartbeats.BEAT, *heartbeats.queues()} - {*but}:
        heartbeats.record(name, now - ago)


def readyz():
    response = Client().get("/readyz")
    return response.status_code, response.json()


def test_all_is_well(now, workers):
    record(now, ago=timedelta(seconds=12))

    status, body = readyz()

    assert (status, body["status"], body["reasons"]) == (200, "ready", {})
    assert set(body["components"]) == {"database", "redis", "worker", "beat"}
    assert body["components"]["beat"]["seconds_since"] == pytest.approx(12, abs=30)
    assert set(body["components"]["worker"]["queues"]) == set(heartbeats.queues())


def test_beat_that_is_dead_shows_although_workers_work(now, workers):
    record(now)
    heartbeats.record(heartbeats.BEAT, now - timedelta(seconds=300))

    status, body = readyz()

    assert status == 503
    assert body["reasons"].keys() == {"beat"}
    assert body["reasons"]["beat"].startswith("beat has published no task for 3")


def test_no_worker_at_all_shows(now, workers):
    record(now, but=heartbeats.queues())

    status, body = readyz()

    assert status == 503
    idle = "campaigns yet, default yet, events yet, sweeps yet"
    assert body["reasons"]["worker"] == f"no worker answers; no task was run on: {idle}"


def test_a_worker_that_is_alive_but_does_not_consume_shows(now, workers):
    record(now, ago=timedelta(seconds=120))
    heartbeats.record(heartbeats.BEAT, now)
    workers.tasks = {"celery@here": []}

    status, body = readyz()

    assert status == 503
    assert body["reasons"]["worker"].startswith("1 worker(s) alive, but no task was run on: campaigns for 12")


def test_a_queue_that_nobody_reads_shows(now, workers):
    record(now, but=["campaigns"])
    workers.tasks = {"celery@here": []}

    assert readyz()[1]["reasons"]["worker"] == "1 worker(s) alive, but no task was run on: campaigns yet"


@pytest.mark.parametrize(("minutes", "status"), [(2, 200), (30, 503)])
def test_a_worker_whose_hands_are_full_is_alive_but_not_for_ever(now, workers, minutes, status):
    record(now, ago=timedelta(minutes=2))
    heartbeats.record(heartbeats.BEAT, now)
    began = time.time() - minutes * 60
    workers.tasks = {
        "celery@here": [{"time_start": began, "delivery_info": {"routing_key": name}} for name in heartbeats.queues()]
    }

    assert readyz()[0] == status


def test_what_hangs_is_named_within_seconds_and_asked_once_at_a_time(now, workers, monkeypatch):
    record(now)
    free, asked = threading.Event(), []

    def hang():
        asked.append(1)
        free.wait(60)
        return health.Condition()

    monkeypatch.setitem(health._PROBES, "database", health._Probe(hang))
    monkeypatch.setattr(health, "_LONGEST", 0.5)
    began = time.monotonic()
    first, second = readyz(), readyz()

    free.set()
    assert time.monotonic() - began < 20
    assert first[0] == second[0] == 503
    assert first[1]["reasons"]["database"].startswith("no answer for ")
    assert asked == [1]


def test_an_error_is_told_without_its_words(now, workers, monkeypatch):
    def fail():
        raise ConnectionError("redis://:hunter2-hunter2@10.0.0.1")

    monkeypatch.setitem(health._PROBES, "redis", health._Probe(fail))

    status, body = readyz()

    assert (status, body["reasons"]["redis"]) == (503, "cannot be used: ConnectionError")
    assert "hunter2" not in str(body)


def test_healthz_asks_nobody(monkeypatch):
    monkeypatch.setattr(health, "conditions", None)

    assert Client().get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/readyz/"])
def test_probes_come_by_address_not_by_an_allowed_host(settings, now, workers, path):
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    record(now)

    assert Client().get(path, headers={"host": "10.0.0.7"}).status_code == 200


def test_a_task_that_ended_is_a_sign_of_its_queue(workers):
    from outreach.tasks import heartbeat

    task = heartbeat
    task.push_request(delivery_info={"routing_key": "campaigns"})
    try:
        task_postrun.send(sender=task, task=task)
    finally:
        task.pop_request()

    assert heartbeats.seen(["campaigns"])["campaigns"]
    assert heartbeats.seen(["campaigns"], on=heartbeats.machine())["campaigns"]


def test_a_sign_of_life_that_redis_refuses_breaks_no_task(workers, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise ConnectionError

    monkeypatch.setattr(cache, "set_many", refuse)

    heartbeats._note("default")


def test_signs_of_an_earlier_run_are_forgotten(settings, now):
    record(now)

    heartbeats.forget(settings.REDIS_URL)

    assert set(heartbeats.seen([heartbeats.BEAT, *heartbeats.queues()]).values()) == {None}


def run_health(component, capsys):
    try:
        call_command("health", component)
    except SystemExit as stop:
        return stop.code
    return "healthy"


def test_the_command_says_that_all_is_well(now, workers, capsys):
    record(now)

    assert {run_health(name, capsys) for name in ("system", "worker", "beat")} == {"healthy"}


def test_the_command_tells_this_machine_from_another(now, workers, capsys, monkeypatch):
    record(now)
    monkeypatch.setattr(heartbeats.socket, "gethostname", lambda: "elsewhere")

    assert run_health("beat", capsys) == "unhealthy: beat has published no task"
    assert run_health("worker", capsys) == "unhealthy: no worker of this machine answers"


def test_an_idle_worker_is_well_as_long_as_it_reads_a_queue(workers, capsys):
    workers.queues = {f"celery@{heartbeats.machine()}": [{"name": "default"}]}
    assert run_health("worker", capsys) == "healthy"

    workers.queues = {f"celery@{heartbeats.machine()}": []}
    assert run_health("worker", capsys) == "unhealthy: the worker of this machine reads no queue"


def test_the_command_repeats_the_reasons_of_readyz(workers, capsys):
    assert run_health("system", capsys).startswith("unhealthy: worker: no worker answers")


def test_a_web_process_that_does_not_listen_is_not_well(monkeypatch, capsys):
    monkeypatch.setenv("PORT", "1")

    assert run_health("web", capsys) == "unhealthy: cannot be told: URLError"


def test_every_queue_gets_a_heartbeat(settings):
    beats = {entry["options"]["queue"] for entry in settings.CELERY_BEAT_SCHEDULE.values() if "heartbeat" in entry["task"]}

    assert beats == set(heartbeats.queues())
