"""Events under load: taken in by gunicorn as it is configured here, and applied. `python -m tests.bench.events --seconds 10`.

The client keeps its connections, and takes a good part of these cores itself; EventBridge is another machine.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta

from tests.bench.__main__ import measured, prepared
from tests.bench.goals import goal

_SECRET = "bench"
_CONNECTIONS = 32
_STORIES = ("send", "delivery", "open", "click")


def bench(*, seconds, queued):
    """Ingest at full speed, a steady rate beside a sending campaign, and a queue to drain."""
    sends = make_sends(max(2000, queued // 4))
    with Web() as port:
        bench_ingest(port, sends, count=max(2000, seconds * 100))
        apply_all()
        bench_steady(port, sends, seconds=seconds)
    bench_drain(sends, queued)


def make_sends(count):
    """People and accepted mails, without the trouble of sending them: (message id, send id, address)."""
    from django.db import connection

    from campaigns.models import Campaign, EmailSend

    campaign = Campaign.objects.create(name="Bench of events", subject="Hello")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH people AS (
                INSERT INTO prospects (email, first_name, last_name, company, tags, attributes, source, unsubscribe_token,
                                       created_at, updated_at)
                SELECT 'event' || n || '@example.org', '', '', '', '{}', '{}', '', gen_random_uuid(), now(), now()
                  FROM generate_series(1, %s) AS n RETURNING id, email)
            INSERT INTO email_sends (campaign_id, prospect_id, email, message_id, sent_at, call_started_at, error, skip_reason)
            SELECT %s, id, email, 'bench-' || id, now(), now(), '', '' FROM people
            """,
            [count, campaign.pk],
        )
        cursor.execute("ANALYZE")
    return [(send.message_id, f"{campaign.key}-{send.pk}", send.email) for send in EmailSend.objects.filter(campaign=campaign)]


def bodies(sends, count, *, tag):
    """So many different events about these mails; one in 50 is a bounce, one in 500 a complaint."""
    from tests import events

    for n in range(count):
        message_id, send_id, email = sends[n % len(sends)]
        name = "complaint" if n % 500 == 499 else "bounce" if n % 50 == 49 else _STORIES[n // len(sends) % len(_STORIES)]
        part = {"feedbackId": f"{tag}-{n}"} if name in {"bounce", "complaint"} else {}
        if name not in {"send", *part}:
            part["timestamp"] = f"2026-11-01T12:{n // 60000 % 60:02}:{n // 1000 % 60:02}.{n % 1000:03}Z"
        about = {"message_id": f"{tag}-{n}" if name == "send" else message_id, "send_id": send_id, "to": email}
        yield json.dumps(events.envelope(name, **about, **part)).encode()


class Web:
    """gunicorn with the configuration of this repository, on a free port."""

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = os.environ | {"SES_WEBHOOK_SECRET": _SECRET}
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--log-level", "error", "outreach.wsgi"]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.1)
        raise RuntimeError("gunicorn did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


async def post(port, requests, results):
    """One connection: post whatever the iterator gives, one after the other, each not before its time."""
    reader = writer = None
    for due, body in requests:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        began = max(due, time.perf_counter()) if due else time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST /api/webhooks/ses-events HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Secret: {_SECRET}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(length)
            if b"connection: close" in answer.lower():
                writer.close()
                writer = None
            results.append((int(answer.split()[1]), time.perf_counter() - began))
        except (OSError, asyncio.IncompleteReadError):
            writer = None
            results.append((0, time.perf_counter() - began))


def run_client(port, requests):
    """Post all of them over some connections; returns (status, seconds) of each."""
    results = []

    async def run():
        shared = iter(requests)
        await asyncio.gather(*(post(port, shared, results) for _ in range(_CONNECTIONS)))

    asyncio.run(run())
    return results


def tell(results):
    """Print how the answers were; returns the seconds of the 99th percentile and how many were not 200."""
    took = sorted(seconds for _, seconds in results)
    wrong = sum(status != 200 for status, _ in results)
    times = ", ".join(f"{took[n] * 1e3:.0f}" for n in (len(took) // 2, int(len(took) * 0.99), -1))
    print(f"{'  not answered 200; median, p99 and longest answer':58} {wrong:7}   {times} ms")
    return took[int(len(took) * 0.99)], wrong


def bench_ingest(port, sends, count):
    made = [(0, body) for body in bodies(sends, count, tag="ingest")]
    with measured("events taken in by the webhook at full speed", count) as figures:
        results = run_client(port, made)
    tell(results)
    goal("events/s at full speed", figures["per_second"], at_least=1000, digits=0)


def bench_steady(port, sends, *, seconds, rate=300):
    """`rate` a second, three in ten of them twice, while a campaign sends and one process applies."""
    fresh = list(bodies(sends, int(seconds * rate * 0.7), tag="steady"))
    told = fresh + random.Random(1).choices(fresh, k=seconds * rate - len(fresh))
    random.Random(2).shuffle(told)
    ended = threading.Event()
    workers = [threading.Thread(target=work, args=[ended]) for work in (apply_on, send_on)]
    for worker in workers:
        worker.start()
    began = time.perf_counter()
    results = run_client(port, [(began + n / rate, body) for n, body in enumerate(told)])
    what = f"{rate} events/s for {seconds} s beside a sending campaign"
    print(f"{what:58} {len(results) / (time.perf_counter() - began):17.0f} /s")
    slow, wrong = tell(results)
    last = time.perf_counter()
    while waiting():
        time.sleep(0.05)
    emptied = time.perf_counter() - last
    print(f"{'  then the inbox was empty after':58} {emptied:7.2f} s")
    goal("answers that are not 200", wrong, at_most=0, digits=0)
    goal("seconds of the 99th percentile", slow, at_most=1)
    goal("seconds until the inbox is empty", emptied, at_most=60)
    ended.set()
    for worker in workers:
        worker.join()


def bench_drain(sends, count):
    from django.utils import timezone

    from notifications import eventbridge
    from notifications.models import EmailEvent

    now, rows = timezone.now() - timedelta(minutes=5), []
    for body in bodies(sends, count, tag="queued"):
        event = eventbridge.read(body, received_at=now)
        names = {"event_type": event.event_type, "message_id": event.message_id, "send_id": event.send_id}
        moments = {"occurred_at": event.occurred_at, "received_at": now}
        rows.append(EmailEvent(fingerprint=event.fingerprint, route="eventbridge", body=body, **names, **moments))
    EmailEvent.objects.bulk_create(rows, batch_size=2000, ignore_conflicts=True)
    count = waiting()
    with measured("queued events applied by one worker", count) as figures:
        apply_all()
    assert not waiting()
    goal("minutes for 100,000 queued events", 100_000 / figures["per_second"] / 60, at_most=3)


def waiting():
    from notifications.models import EmailEvent

    return EmailEvent.objects.filter(state="pending").count()


def apply_all():
    from django.utils import timezone

    from notifications import recording

    while recording.apply_events(now=timezone.now()):
        pass


def apply_on(ended):
    """The worker that a request wakes: at most once a second, and again while batches are full."""
    from django.db import connection

    while not ended.wait(1):
        apply_all()
    connection.close()


def send_on(ended, rate=50):
    from django.conf import settings
    from django.db import connection
    from django.utils import timezone

    from campaigns import dispatching
    from notifications.transports.memory import MemoryTransport
    from tests.bench.sending import started

    settings.SES_MAX_SEND_RATE = rate
    campaign = started(1)
    ticket = campaign.generation
    while ticket and not ended.is_set():
        turn = dispatching.send_chunk(campaign.pk, ticket, transport=MemoryTransport(), clock=timezone.now)
        ticket = turn.generation
    connection.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--queued", type=int, default=100_000)
    given = options.parse_args()
    with prepared():
        bench(seconds=given.seconds, queued=given.queued)
