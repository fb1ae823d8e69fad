"""What a mail costs: the whole pipeline against the bare calls, and a long campaign's chunks against each other.

Workers are processes of their own, as in production; SES is the sink next door. Everything is a ratio within one run.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import psutil

from tests.bench.goals import goal

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "SES_REGION": "us-east-1"}


@dataclass
class Run:
    """What a run came to: mails, seconds, CPU seconds of the workers and of PostgreSQL, KB of the largest worker."""

    sent: int
    seconds: float
    cpu: float
    database_cpu: float
    memory: int

    @property
    def speed(self):
        return self.sent / self.seconds


def bench(single=4000, bulk=60_000, people=1_000_000):
    """(a) the pipeline by single and by bulk calls, (b) the bare calls with the same messages, (c) a long campaign's chunks."""
    with sink() as sink_process:
        pipeline_against_bare_calls(single, sink_process, together=1)
        pipeline_against_bare_calls(bulk, sink_process, together=50)
        for rate, seconds in ((200, 20), (1000, 10)):
            many_workers(rate, seconds)
    chunks_of_a_long_campaign(people)


def pipeline_against_bare_calls(mails, sink_process, *, together):
    name = "SendBulkEmail" if together > 1 else "SendEmail"
    seconds, cpu, rendering = bare(mails, together=together)
    print_line(f"bare {name}, one process", mails, seconds, cpu)
    print_line("   rendering the same mails", mails, rendering, rendering)
    floor_speed, floor_cpu = mails / seconds, (cpu + rendering) / mails
    runs = []
    # A worker waits for the database now and then: on two cores three keep both busy.
    for processes in (1, 2, 3) if together > 1 else (1, 2):
        before = sum(sink_process.cpu_times()[:2])
        environment = {} if together > 1 else {"BENCH_ONE_BY_ONE": "1"}
        run = pipeline(mails, processes=processes, rate=100_000.0, **environment)
        runs.append(run)
        print_line(f"pipeline by {name}, {processes} worker(s)", run.sent, run.seconds, run.cpu)
        sink_cpu = sum(sink_process.cpu_times()[:2]) - before
        database, sink_cpu = (seconds / run.sent * 1e6 for seconds in (run.database_cpu, sink_cpu))
        print(f"   a mail: database {database:.0f} µs, sink {sink_cpu:.0f} µs; a worker: {run.memory // 1024} MB")
        print(f"   speed as a share of the bare calls: {run.speed / floor_speed:.2f}")
        print(f"   workers' CPU as a multiple of bare calls and rendering: {run.cpu / run.sent / floor_cpu:.2f}")
    fastest = max(run.speed for run in runs)
    if together == 1:
        goal("speed as a share of bare boto3", fastest / floor_speed, at_least=0.7)
        return
    goal("mails/s by bulk calls", fastest, at_least=6000, digits=0)
    goal("CPU of bare calls and rendering, times", max(run.cpu / run.sent for run in runs) / floor_cpu, at_most=3)
    goal("MB of a worker", max(run.memory for run in runs) / 1024, at_most=500, digits=0)


def many_workers(rate, seconds, *, processes=10):
    """Ten workers on one campaign, a lane each, must not be faster together than the pace."""
    arrivals()
    pipeline(rate * seconds, processes=processes, rate=float(rate))
    told = arrivals()
    what = f"{processes} workers on one campaign at {rate}/s"
    print(f"{what:58} {told['seconds']:7.2f} s {told['mails'] / told['seconds']:9.1f} /s, busiest {told['busiest_second']}")
    goal(f"busiest sliding second of {processes} workers", told["busiest_second"], at_most=rate, digits=0)


def arrivals():
    """What reached the sink since it was last asked."""
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL_SESV2"] + "/arrivals") as answer:
        return json.load(answer)


def chunks_of_a_long_campaign(people, sampled=20):
    """Chunks at the start, in the middle and at the end of a campaign must cost the same: every one is sent, calls left out."""
    add_people(people)
    campaign = started(people)
    chunks = people // 1000
    costs = []
    for _ in range(chunks):
        began = time.perf_counter()
        chunk(campaign)
        costs.append(time.perf_counter() - began)
    means = {}
    for part, begin in (("first", 0), ("middle", (chunks - sampled) // 2), ("last", chunks - sampled)):
        means[part] = sum(costs[begin : begin + sampled]) / sampled
        print(f"{f'chunk of 1,000, {part} of {people:,} (mean of {sampled})':58} {means[part]:7.3f} s")
    goal("cost of the last chunks, as a multiple of the first", means["last"] / means["first"], at_most=1.3)


def add_people(people):
    """Fill the table up to so many people, without the importer."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO prospects (email, first_name, last_name, company, source, tags, attributes, unsubscribe_token,
                                      created_at, updated_at)
               SELECT 'more' || n || '@example' || mod(n, 97) || '.com', 'First ' || n, 'Last', 'Company', '', '{}', '{}',
                      gen_random_uuid(), now(), now()
                 FROM generate_series(1, greatest(0, %s - (SELECT count(*) FROM prospects))) AS n""",
            [people],
        )


def chunk(campaign):
    """Claim, render, start and record a thousand mails, without a call."""
    from campaigns import claiming, composing
    from notifications import delivering
    from notifications.transports.memory import MemoryTransport

    ledger = claiming.CampaignLedger(campaign.pk, slice_id=uuid.uuid4())
    claimed, _ = ledger.claim(limit=1000, lease=60)
    assert len(claimed) == 1000
    compose = composing.composer(campaign)
    mails = [delivering.Mail(row.id, partial(compose, row)) for row in claimed]
    delivering.deliver(mails, ledger=ledger, transport=MemoryTransport(most_together=50), rate=100_000)


def print_line(what, mails, seconds, cpu):
    print(f"{what:58} {seconds:7.2f} s {mails / seconds:9.0f} /s {cpu / mails * 1e6:8.0f} µs CPU each")


@contextmanager
def sink():
    """The address of a running sink, in the environment, and its process."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.sink"], stdout=subprocess.PIPE, text=True)
    os.environ |= ENVIRONMENT | {"AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{process.stdout.readline().strip()}"}
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def started(recipients):
    """A campaign that is sending, with everybody enrolled."""
    from django.db import connection
    from django.utils import timezone

    from campaigns import enrolling, lifecycle
    from campaigns.models import Campaign

    Campaign.objects.filter(status="sending").update(status="paused")
    body = "<p>Hello {{ first_name }} of {{ company }}, {{ attributes.city }}</p>" + "<p>word </p>" * 200
    campaign = Campaign.objects.create(name="Bench", subject="Hello {{ first_name }}", body_html=body)
    lifecycle.start_campaign(campaign, by="bench", now=timezone.now())
    while not enrolling.enrol(campaign.pk, seconds=600):
        pass
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE email_sends")
    assert campaign.sends.count() >= recipients
    return campaign


def bare(mails, *, together):
    """Seconds and CPU seconds of this process for the bare calls with the messages of a campaign."""
    from campaigns import composing
    from campaigns.claiming import Claimed
    from notifications.transports import ses, ses_bulk
    from prospects.models import Prospect

    campaign = started(mails)
    fields = ("pk", "email", "first_name", "last_name", "company", "attributes", "unsubscribe_token")
    rows = [Claimed(*row) for row in Prospect.objects.order_by("pk").values_list(*fields)[:mails]]
    transport = ses.SesTransport("us-east-1")
    transport.send(composing.composer(campaign)(rows[0]))  # connected, and the model loaded
    compose = composing.composer(campaign)
    rendering = time.process_time()
    messages = [compose(row) for row in rows]
    rendering = time.process_time() - rendering
    client = ses._client("us-east-1", read_timeout=60, parameter_validation=False)
    client.get_account()  # connected
    began, cpu = time.perf_counter(), time.process_time()
    if together == 1:
        for message in messages:
            client.send_email(**ses.request_for(message))
    else:
        for begin in range(0, mails, together):
            client.send_bulk_email(**ses_bulk.request_for(messages[begin : begin + together]))
    return time.perf_counter() - began, time.process_time() - cpu, rendering


def pipeline(mails, *, processes, rate, **more):
    """Let `processes` workers send `mails` of a campaign; all are ready before the first begins."""
    campaign = started(mails)
    environment = os.environ | {"SES_MAX_SEND_RATE": str(rate), "EMAIL_MODE": "ses", "LOG_LEVEL": "INFO"} | more
    command = [sys.executable, "-m", "tests.bench.worker", str(campaign.pk), str(mails)]
    with open(os.devnull, "w") as nowhere:
        pipes = {"env": environment, "stdin": subprocess.PIPE, "stdout": nowhere, "stderr": subprocess.PIPE}
        workers = [subprocess.Popen([*command, str(lane)], **pipes) for lane in range(processes)]
    for worker in workers:
        worker.stderr.readline()  # it is ready
    database_before = _database_cpu()
    began = time.perf_counter()
    for worker in workers:
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    reports = [worker.communicate()[1].split() for worker in workers]
    seconds = max(float(report[-3]) for report in reports)
    assert time.perf_counter() - began >= seconds
    sent = campaign.sends.filter(sent_at__isnull=False).count()
    memory = max(int(report[-1]) for report in reports)
    return Run(sent, seconds, sum(float(report[-2]) for report in reports), _database_cpu() - database_before, memory)


def _database_cpu():
    """CPU seconds of all PostgreSQL processes, also of those that ended: their parent has them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = psutil.Process(cursor.fetchone()[0]).parent()
    living = 0.0
    for process in postmaster.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            living += sum(process.cpu_times()[:2])
    # Last: whoever ended meanwhile is counted twice at most, not lost.
    return living + sum(postmaster.cpu_times()[:4])
