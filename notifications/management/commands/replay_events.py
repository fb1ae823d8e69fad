"""Rebuild from stored events what they did to mails, people and the suppression list."""

import time
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from notifications import forgetting, replaying
from notifications.recording import Report
from outreach.errors import DomainError


class Command(BaseCommand):
    """Says every second how far it is; broken off, it says from where to go on."""

    help = (
        "Applies stored events again, by the time they were received. Changes nothing that is right already; never takes "
        "anybody off the suppression list, nor puts back whom a person took off it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", required=True, dest="begin", metavar="TIME", help="2026-11-01, or 2026-11-01T12:30:00Z")
        parser.add_argument("--to", required=True, dest="end", metavar="TIME", help="until before this time; a day is included")
        parser.add_argument("--dry-run", action="store_true", help="say what each batch would change, and change nothing")

    def handle(self, *_args: Any, begin: str, end: str, dry_run: bool, **_options: Any) -> None:
        now = timezone.now()
        try:
            first, last = replaying.parse_moment(begin), replaying.parse_moment(end, end=True)
            batches = replaying.replay(begin=first, end=last, dry_run=dry_run, now=now)
        except DomainError as error:
            raise CommandError(error.detail) from error
        if (kept := forgetting.kept_since(now=now)) and first < kept:
            self.stdout.write(f"note: events received before {kept:%Y-%m-%d} have been deleted (EVENT_RETENTION_DAYS)")
        self._run(batches, first, dry_run)

    def _run(self, batches: Any, through: datetime, dry_run: bool) -> None:
        total, done, said = Report(), 0, time.monotonic()
        try:
            for batch in batches:
                total.add(batch.report)
                done, through = batch.done, batch.through
                if time.monotonic() - said >= 1:
                    said = time.monotonic()
                    self.stdout.write(f"{done:,} events, through {through.isoformat()}")
        except KeyboardInterrupt:
            raise CommandError(
                f"stopped after {done:,} events; go on with --from {through.isoformat()}", returncode=130
            ) from None
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"the database is in trouble ({error}); go on with --from {through.isoformat()}") from error
        self._tell(total, done, dry_run)

    def _tell(self, total: Report, done: int, dry_run: bool) -> None:
        for what, count in sorted(total.events.items()):
            self.stdout.write(f"  {count:>9,} {what}")
        verb = "would change" if dry_run else "changed"
        self.stdout.write(
            f"{done:,} events replayed; {verb}: {total.sends:,} mails, {total.people:,} people, {total.addresses:,} suppressions"
        )
