"""What a mail costs: the whole pipeline against the bare calls, and a long campaign's chunks against each other.

Workers are processes of their own, as in production; SES is the sink next door. Everything is a ratio within one run.
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil

_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "SES_REGION": "us-east-1"}


@contextmanager
def sink():
    """The address of a running sink, in the environment, and its process."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.sink"], stdout=subprocess.PIPE, text=True)
    os.environ |= _ENVIRONMENT | {"AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{process.stdout.readline().strip()}"}
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
    client, began, cpu = transport._client, time.perf_counter(), time.process_time()
    if together == 1:
        for message in messages:
            client.send_email(**ses.request_for(message))
    else:
        for begin in range(0, mails, together):
            client.send_bulk_email(**ses_bulk.request_for(messages[begin : begin + together]))
    return time.perf_counter() - began, time.process_time() - cpu, rendering


def pipeline(mails, *, processes, rate):
    """Let `processes` workers send `mails` of a campaign; returns seconds, and CPU seconds of the workers and the database."""
    campaign = started(mails)
    environment = os.environ | {"SES_MAX_SEND_RATE": str(rate), "EMAIL_MODE": "ses", "LOG_LEVEL": "INFO"}
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
    return sent, seconds, sum(float(report[-2]) for report in reports), _database_cpu() - database_before, memory


def _database_cpu():
    """CPU seconds of all PostgreSQL processes, also of those that ended: their parent has them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = psutil.Process(cursor.fetchone()[0]).parent()
    living = [postmaster, *postmaster.children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in living[:1]) + sum(
        sum(process.cpu_times()[:2]) for process in living[1:]
    )
