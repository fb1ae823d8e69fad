"""Files of people for tests: read, kept, imported."""

import tempfile
import threading
from pathlib import Path

from django.db import connections
from django.utils import timezone

from outreach import uploading
from prospects import csv_rows, importing


def read(content):
    """The rows of a file with this content, bytes or text."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "people.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with csv_rows.open_rows(path) as rows:
            return list(rows)


def keep(text):
    return uploading.keep([text.encode()])


def import_text(text):
    return importing.import_file(keep(text), by="anna", now=timezone.now())


def queue_text(text):
    return importing.queue_file(keep(text), by="anna")


def counts(record):
    """rows, created, updated, unchanged, invalid, duplicate, suppressed"""
    return record.rows, record.created, record.updated, record.unchanged, record.invalid, record.duplicate, record.suppressed


def in_threads(*works):
    """What each of these returns or raises when all run at once, each on its own connection."""
    results, start = {}, threading.Barrier(len(works))

    def run(number, work):
        start.wait()
        try:
            results[number] = work()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results[number] for number in range(len(works))]
