"""`make bench`: what the machinery costs, as ratios within one run. Absolute figures are this machine's alone."""

import os
import resource
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def main():
    from tests.bench import events

    with prepared():
        bench_import()
        bench_pipeline()
        bench_ses()
        events.bench(seconds=int(os.environ.get("BENCH_SECONDS", "60")), queued=100_000)


@contextmanager
def prepared():
    """A database and a Redis of our own, migrated."""
    from outreach import local

    with tempfile.TemporaryDirectory(prefix="outreach-bench-") as directory, local.services(Path(directory)) as services:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "outreach.settings",
            "ENV_FILE": os.devnull,
            "DATABASE_URL": services.database_url,
            "REDIS_URL": services.redis_url,
            "SES_FROM": "hello@example.com",
            "SES_MAX_SEND_RATE": "100000",
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


@contextmanager
def measured(what, count):
    began, cpu = time.perf_counter(), time.process_time()
    result = {}
    yield result
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    result["per_second"] = count / seconds
    print(f"{what:58} {seconds:7.2f} s {count / seconds:9.0f} /s {used / count * 1e6:8.0f} µs CPU each")


def bench_import(rows=100_000):
    """A file of people through the real importer: new, then again unchanged."""
    from django.utils import timezone

    from outreach import uploading
    from prospects import importing

    def lines():
        yield b"email,first_name,last_name,company,tags,city\n"
        for n in range(rows):
            yield f"Person{n}@Example{n % 50}.com,First {n},Last {n},Company {n % 999},vip;b{n % 9},City {n % 77}\n".encode()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for what, field in (("import of new rows", "created"), ("import of the same rows again", "unchanged")):
        kept = uploading.keep(lines())
        with measured(what, rows):
            record = importing.import_file(kept, by="bench", now=timezone.now())
        assert getattr(record, field) == rows
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{'memory that both imports added to the process':58} {added:7.0f} MB")


def bench_pipeline():
    """Chunks without a network: the first, a middle and the last of 100,000 recipients must cost the same."""
    from notifications.transports.memory import MemoryTransport

    campaign, ticket = started()
    speeds = []
    for number in range(100):
        with (
            quiet(number not in {0, 50, 99}),
            measured(f"chunk {number + 1} of 100: claim, render, start, record", 1000) as chunk,
        ):
            ticket = send_chunk(campaign, ticket, MemoryTransport())
        speeds.append(chunk["per_second"])
    early, late = sorted(speeds[:20])[10], sorted(speeds[-20:])[10]
    print(f"{'cost of the last chunks, as a multiple of the first':58} {early / late:7.2f}")


def bench_ses(mails=2000):
    """The pipeline against the bare boto3 calls, both one request a mail to a stand-in in this process."""
    from campaigns import claiming, composing
    from notifications.transports.ses import SesTransport
    from tests.sink import Sink

    sink = Sink()
    os.environ |= sink.environment
    transport = SesTransport("us-east-1")
    campaign, ticket = started()
    compose = composing.composer(campaign)
    messages = [compose(row) for row in sample(claiming, mails)]
    with measured("bare boto3 SendEmail, one after the other", mails) as bare:
        for message in messages:
            transport.send(message)
    with measured("pipeline with SendEmail", mails) as whole:
        for _ in range(mails // 1000):
            ticket = send_chunk(campaign, ticket, transport)
    print(f"{'pipeline as a share of bare boto3':58} {whole['per_second'] / bare['per_second']:7.2f}")
    sink.close()


def started(*, quietly=False):
    from django.utils import timezone

    from campaigns import enrolling, lifecycle
    from campaigns.models import Campaign

    Campaign.objects.filter(status="sending").update(status="paused")
    body = "<p>Hello {{ first_name }} of {{ company }}, {{ attributes.city }}</p>" + "<p>word </p>" * 200
    campaign = Campaign.objects.create(name="Bench", subject="Hello {{ first_name }}", body_html=body)
    count = 100_000
    with quiet(quietly), measured("start and enrolment", count):
        lifecycle.start_campaign(campaign, by="bench", now=timezone.now())
        enrolling.enrol(campaign.pk, seconds=600)
    return campaign, campaign.generation


def send_chunk(campaign, ticket, transport):
    from django.utils import timezone

    from campaigns import dispatching

    return dispatching.send_chunk(campaign.pk, ticket, transport=transport, clock=timezone.now).generation


def sample(claiming, count):
    from prospects.models import Prospect

    fields = ("pk", "email", "first_name", "last_name", "company", "attributes", "unsubscribe_token")
    return [claiming.Claimed(*row) for row in Prospect.objects.order_by("pk").values_list(*fields)[:count]]


@contextmanager
def quiet(yes):
    """Measure without printing."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) if yes else contextlib.nullcontext():
        yield


if __name__ == "__main__":
    main()
