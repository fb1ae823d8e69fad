"""Erase everything held about a person."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from outreach.errors import DomainError
from prospects import erasing


class Command(BaseCommand):
    """Asks before it does anything, unless told `--yes`."""

    help = (
        "Erases a person: prospect, contents of sends, rows of imports, events. The suppression of the address stays "
        "(SUPPRESSION_KEEP), and so do anonymous rows of the ledger. Kept in the audit, by a hash of the address."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        parser.add_argument("--reason", required=True, help="why; it is kept, without addresses in it")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, address: str, reason: str, yes: bool, **_options: Any) -> None:
        if not yes and not self._confirmed(address):
            raise CommandError("Nothing was erased.")
        try:
            by = f"{getpass.getuser()} (command)"
            counts = erasing.erase_person(address, by=by, why=reason, now=timezone.now())
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write("Erased:")
        for name, count in sorted(counts.items()):
            self.stdout.write(f"  {count:>7,} {name}")

    def _confirmed(self, address: str) -> bool:
        self.stdout.write(f"Everything about {address} will be erased, for good. Type the address to go on: ", ending="")
        self.stdout.flush()
        try:
            return input().strip() == address
        except EOFError:
            return False
