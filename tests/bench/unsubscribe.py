"""Ten thousand people who leave at once, through few addresses, beside a forger: what each of them is answered, and how fast."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from tests.bench.goals import goal

ROOT = Path(__file__).resolve().parents[2]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
# The mailbox providers' few addresses, and the forger's one.
PROVIDERS = [f"192.0.2.{n}" for n in range(1, 6)]
FORGER = "203.0.113.9"


@dataclass
class Answers:
    """Statuses, and how long each answer took in seconds."""

    statuses: Counter = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share):
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


@dataclass
class Result:
    """`unsubscribed` people in the database afterwards; `keys` and `bytes` that Redis holds more than before."""

    valid: Answers
    forged: Answers
    unsubscribed: int
    seconds: float
    keys: int
    bytes: int


def bench_unsubscribe(valid=10_000, forged=10_000):
    """Prints the answers to both; used by `make bench`, where Django is set up."""
    from django.conf import settings

    result = flood(settings.DATABASE_URL, settings.REDIS_URL, valid=valid, forged=forged)
    slow = f"p50 {result.valid.percentile(0.5) * 1000:.0f} ms, p99 {result.valid.percentile(0.99) * 1000:.0f} ms"
    print(f"{f'one-click posts of {valid} people beside {forged} forged':58} {result.seconds:7.2f} s   {slow}")
    print(f"{'answers to the valid / to the forger':58} {dict(result.valid.statuses)} / {dict(result.forged.statuses)}")
    print(f"{'unsubscribed; Redis keys and kilobytes added':58} {result.unsubscribed}; {result.keys}, {result.bytes // 1024}")
    goal("seconds of the 99th percentile", result.valid.percentile(0.99), at_most=0.5)
    assert result.unsubscribed == result.valid.statuses[200] + result.valid.statuses[202] == valid


def flood(database_url, redis_url, *, valid, forged, hands=5, settings="outreach.settings"):
    """Posts both at once to a web server of its own, with these settings. Returns the Result."""
    from django.db import connection
    from redis import Redis

    from prospects.models import Prospect

    run = uuid.uuid4().hex[:8]
    people = [Prospect(email=f"{run}-{n}@example.com") for n in range(valid)]
    Prospect.objects.bulk_create(people, batch_size=5_000)
    with Redis.from_url(redis_url) as redis, serving(database_url, redis_url, settings) as url:
        before, began = (redis.dbsize(), redis.info("memory")["used_memory"]), time.perf_counter()
        tokens = [one.unsubscribe_token for one in people]
        answers = asyncio.run(_post_all(url, tokens, [uuid.uuid4() for _ in range(forged)], hands))
        seconds = time.perf_counter() - began
        after = (redis.dbsize(), redis.info("memory")["used_memory"])
        leavers = Prospect.objects.filter(email__startswith=run, status="unsubscribed")
        while (gone := leavers.count()) < valid and time.perf_counter() - began < seconds + 60:
            time.sleep(0.2)
    connection.close()
    return Result(*answers, gone, seconds, after[0] - before[0], after[1] - before[1])


@contextmanager
def serving(database_url, redis_url, settings):
    """The web server as it runs in production, behind one proxy; its address."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="outreach-spool-") as spool:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        ours = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "UNSUBSCRIBE_SPOOL": spool, "TRUSTED_PROXY_COUNT": "1"}
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "outreach.wsgi",
            "--config",
            "gunicorn.conf.py",
            "--bind",
            f"127.0.0.1:{port}",
        ]
        ours |= {"DJANGO_SETTINGS_MODULE": settings, "ENV_FILE": os.devnull, "PYTHONWARNINGS": "ignore"}
        env = dict(os.environ) | ours
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(url, server):
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError("the web server does not start")


async def _post_all(url, valid, forged, hands):
    import aiohttp

    async with aiohttp.ClientSession() as session:
        found = Answers(), Answers()
        groups = [(found[0], iter(list(zip(valid, cycle(PROVIDERS), strict=False))))] * hands
        groups += [(found[1], iter([(token, FORGER) for token in forged]))] * hands
        await asyncio.gather(*(_post(session, url, answers, requests) for answers, requests in groups))
        return found


async def _post(session, url, answers, requests):
    for token, address in requests:
        began = time.perf_counter()
        target = f"{url}/api/unsubscribe?token={token}&c=0123456789ab"
        async with session.post(target, data=ONE_CLICK, headers={"X-Forwarded-For": f"10.9.9.9, {address}"}) as answer:
            await answer.read()
            answers.statuses[answer.status] += 1
        answers.seconds.append(time.perf_counter() - began)
