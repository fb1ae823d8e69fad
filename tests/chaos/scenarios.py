"""What is done to a running site. Everything is drawn from the `random.Random` that is handed in."""

import json
import os
import signal
import time
from contextlib import contextmanager, suppress

from celery import Celery

from tests.chaos.sabotage_points import POINTS

_WEIGHTS = {"child": 60, "worker": 20, "parent": 8, "web": 6, "beat": 6}


def kill_somebody(site, rng):
    """kill -9 of a pool child, a whole worker, only its parent (the pool follows: Celery sees to it), web or beat."""
    who = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    worker = rng.choice([program for name, program in site.programs.items() if name.startswith("worker")])
    if who == "child" and (children := worker.children()):
        site.kill_pids(rng.choice(children))
    elif who == "parent" and worker.alive:
        site.kill_pids(worker.process.pid)
    elif who in {"web", "beat"}:
        site.kill_group(rng.choice([name for name in site.programs if name.startswith(who)]))
    else:
        site.kill_group(worker.name)


def kill_while_mail_flows(site, rng, *, kills, is_over, longest_pause=0.8):
    """Kill at random moments, each after mail has left since the last; stops when there is nothing left to disturb."""
    for _ in range(kills):
        wait_for_mail(site, is_over)
        if is_over():
            return
        site.pass_time(rng.uniform(0.0, longest_pause))
        kill_somebody(site, rng)


def wait_for_mail(site, is_over=lambda: False, *, seconds=60):
    """Return when something has left, or is_over."""
    before = size(site.ledger)
    site.until(lambda: size(site.ledger) > before or is_over(), seconds, "mail leaves")


def size(path):
    return path.stat().st_size if path.exists() else 0


def kill_at(site, point, *, scope="process", seconds=60, meanwhile=lambda: None):
    """Have the next process that comes to a named point die there; `meanwhile` has somebody come."""
    assert point in POINTS
    site.wish(point, scope)
    meanwhile()
    site.until(lambda: not site.is_wished(point), seconds, f"somebody comes to {point}")
    site.pass_time(0.3)
    site.killed()


@contextmanager
def redis_away(site):
    """kill -9 of Redis, and a start with what its log kept."""
    os.kill(site.redis.pid, signal.SIGKILL)
    site.redis._process.wait(30)
    try:
        yield
    finally:
        site.redis.start()


@contextmanager
def ses_away(site):
    """kill -9 of SES; until the end nobody accepts a connection."""
    program = site.programs.pop("ses")
    program.end()
    site.note_flying()
    site.pass_time(1)
    # What it had read and not answered is unknown for good, and may have been settled so before it was noted.
    site.flying.update(id_ for (id_,) in site.rows("SELECT id FROM email_sends WHERE status = 'unknown'"))
    try:
        yield
    finally:
        site.programs["ses"], program.wanted = program, True
        program.start()


@contextmanager
def frozen(*pids):
    """SIGSTOP, and SIGCONT at the end; some may end meanwhile."""
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids, number):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def flush_redis(site, *, times, every):
    for _ in range(times):
        with site.broker() as redis:
            redis.flushall()
        site.pass_time(every)


def tasks_published(site):
    """Every task of campaigns that any process ever published, in order."""
    path = site.wishes / "published"
    return path.read_text().splitlines() if path.exists() else []


def replay_tasks(site, *, times=1, but=0):
    """Publish every task of campaigns again that was ever published, but the first so many: late and doubled."""
    lines = tasks_published(site)[but:]
    with Celery(broker=site.env_broker(), set_as_current=False) as app:
        app.conf.task_default_queue = "default"
        for line in sorted(set(lines)):
            task = json.loads(line)
            for _ in range(times):
                app.send_task(task["name"], task["args"], task["kwargs"], queue=queue_of(task["name"]), ignore_result=True)
    return len(lines)


def queue_of(name):
    from outreach.settings import CELERY_TASK_DEFAULT_QUEUE, CELERY_TASK_ROUTES

    return CELERY_TASK_ROUTES.get(name, {}).get("queue", CELERY_TASK_DEFAULT_QUEUE)


def stop_workers_warmly(site, *, seconds=60):
    """SIGTERM to every worker, as a deployment does; returns their exit codes."""
    workers = [program for name, program in site.programs.items() if name.startswith("worker")]
    for worker in workers:
        worker.wanted = False
        worker.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    site.until(lambda: not any(w.alive for w in workers) or time.monotonic() > deadline, seconds + 5, "workers end")
    codes = [worker.process.poll() for worker in workers]
    for worker in workers:
        worker.wanted = True
    return codes
