"""Compare SES' own suppression list with ours, both ways; take an address off SES' list."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from notifications import suppression_syncing, transports
from notifications.suppression_syncing import Report
from notifications.transports.ses_suppressions import ListUnavailable
from outreach.errors import DomainError


class Command(BaseCommand):
    """The nightly task does the first of the two."""

    help = (
        "Takes over what SES lists, puts our bounces and complaints there, and lists conflicts: addresses that a person "
        "took off our list and SES still has. SES answers about one call a second."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
        parser.add_argument("--delete", metavar="ADDRESS", help="take this address, as SES spells it, off SES' list")
        parser.add_argument("--reason", default="", help="why, for --delete; it is kept")

    def handle(self, *_args: Any, dry_run: bool, delete: str | None, reason: str, **_options: Any) -> None:
        if settings.EMAIL_MODE != "ses":
            raise CommandError("EMAIL_MODE is log: there is no SES account to compare with.")
        try:
            if delete:
                self._delete(delete, reason, dry_run)
            else:
                report = suppression_syncing.sync(transports.suppressions(), dry_run=dry_run, now=timezone.now())
                self._tell(report, dry_run)
        except DomainError as error:
            raise CommandError(error.detail) from error
        except ListUnavailable as error:
            raise CommandError(f"SES: {error} What was done by then is kept; run it again.") from error

    def _delete(self, address: str, reason: str, dry_run: bool) -> None:
        if dry_run:
            raise CommandError("--delete and --dry-run do not go together.")
        by, there = f"{getpass.getuser()} (command)", transports.suppressions()
        found = suppression_syncing.remove_at_ses(there, address, by=by, why=reason, now=timezone.now())
        self.stdout.write(f"{address} {'is off' if found else 'was not on'} the list of SES; kept with the reason.")

    def _tell(self, report: Report, dry_run: bool) -> None:
        would = "would be " if dry_run else ""
        self.stdout.write(f"{report.theirs:,} on SES' list: {report.taken:,} {would}taken over, {report.unreadable:,} unreadable")
        self.stdout.write(f"{report.put:,} of ours {would}put there; {report.waiting:,} wait")
        self.stdout.write(f"{len(report.conflicts):,} conflicts: taken off our list by a person, and still on SES'")
        for one in report.conflicts:
            self.stdout.write(f"  {one.address}  {one.reason}  since {one.updated_at.isoformat()}")
