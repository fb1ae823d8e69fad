"""`make bench`: what the machinery costs, as ratios within one run. Absolute figures are this machine's alone."""

import os
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


def main():
    from tests.bench import events, goals, sending, unsubscribe

    with prepared():
        bench_import()
        sending.bench()
        events.bench(seconds=int(os.environ.get("BENCH_SECONDS", "60")), queued=100_000)
        unsubscribe.bench_unsubscribe()
    if goals.missed():
        sys.exit(f"missed: {'; '.join(goals.missed())}")


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


if __name__ == "__main__":
    main()
