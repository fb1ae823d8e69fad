"""Fills in what `make demo` shows; harmless to repeat."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from outreach import demonstrating


class Command(BaseCommand):
    """Makes the demo's data and prints the admin login."""

    help = "Imports made-up people, prepares two campaigns, starts one, and prints an admin login. Development only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password-file", type=Path, help="where the admin's password is kept between runs")

    def handle(self, *_args: Any, **options: Any) -> None:
        if settings.PRODUCTION or not (settings.EMAIL_MODE == "log" or settings.SES_IS_SIMULATED):
            sys.exit("demo_data: only in development, with EMAIL_MODE=log or the simulator: made-up people must not get mail")
        try:
            demo = demonstrating.prepare(password_file=options["password_file"], now=timezone.now())
        except demonstrating.ForeignAdmin as error:
            sys.exit(f"demo_data: {error}")
        if done := demo.imported:
            self.stdout.write(
                f"imported {done.rows} rows: {done.created} created, {done.duplicate} duplicate, {done.invalid} invalid"
            )
        self.stdout.write(f"{demo.people} people; campaign “{demo.under_way.name}” is on its way")
        self.stdout.write(f"admin login: {demonstrating.ADMIN} / {demo.password}   at {settings.PUBLIC_BASE_URL}/admin/")
