"""Print everything held about a person, as JSON."""

import getpass
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from outreach.errors import DomainError
from prospects import erasing


class Command(BaseCommand):
    """One JSON object on standard output."""

    help = "Prints everything held about an address as JSON. Kept in the audit, by a hash of the address."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        parser.add_argument("--reason", default="", help="why; it is kept, without addresses in it")

    def handle(self, *_args: Any, address: str, reason: str, **_options: Any) -> None:
        try:
            by = f"{getpass.getuser()} (command)"
            held = erasing.export_person(address, by=by, why=reason, now=timezone.now())
        except DomainError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(json.dumps(held, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))
