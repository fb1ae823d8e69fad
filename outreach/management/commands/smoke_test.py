"""The end-to-end test: one person, one campaign, and every event as it is observed."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand

from outreach import addresses, printed, smoke_testing
from outreach.smoke_testing import Api, SmokeTestFailed, Watch


class Command(BaseCommand):
    """Exit code 0 only when the mail was delivered; else 1 and one line that says why."""

    help = (
        "Sends one mail through a running installation and prints each event as it is observed. "
        "PROXY_SHARED_SECRET must be that installation's."
    )
    # It talks HTTP only: no database has to be there.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", required=True, metavar="ADDRESS", help="who gets the mail")
        parser.add_argument("--timeout", type=float, default=90.0, metavar="SECONDS", help="how long to watch (default: 90)")
        parser.add_argument("--until-delivered", action="store_true", help="stop watching as soon as it is delivered")
        parser.add_argument("--base-url", help="origin of the installation (default: the one on this machine)")
        parser.add_argument("--from", dest="sender", default="", metavar="ADDRESS", help="sender (default: the site's SES_FROM)")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            watch = Watch(_seconds(options["timeout"]), options["until_delivered"])
            api = Api(_origin(options["base_url"] or _here()), _secret())
            smoke_testing.run(api, to=_address(options["to"]), sender=options["sender"], watch=watch, say=printed.tell)
        except SmokeTestFailed as error:
            sys.exit(f"smoke_test: {error}")
        except KeyboardInterrupt:
            sys.exit("smoke_test: stopped before it was delivered")
        printed.tell("delivered")


def _here() -> str:
    """Where the site on this machine answers: what `up` wrote down, unless PUBLIC_BASE_URL says otherwise."""
    for place in (settings.BASE_DIR / ".local", settings.BASE_DIR / ".local" / "demo"):
        written = place / "site-url"
        if written.is_file() and not os.environ.get("PUBLIC_BASE_URL", "").strip():
            return Path(written).read_text().strip()
    return str(settings.PUBLIC_BASE_URL)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise SmokeTestFailed(f"--base-url is {url!r}: give an origin such as https://mail.example.com")
    return url


def _secret() -> str:
    if not settings.PROXY_SHARED_SECRET:
        raise SmokeTestFailed("PROXY_SHARED_SECRET is not set: set it to the installation's own")
    return str(settings.PROXY_SHARED_SECRET)


def _address(text: str) -> str:
    try:
        return addresses.normalise(text)
    except addresses.InvalidAddress as error:
        raise SmokeTestFailed(f"--to is {text!r}: {error}") from error


def _seconds(seconds: float) -> float:
    if not 0 < seconds <= 86_400:
        raise SmokeTestFailed(f"--timeout is {seconds:g}: give a number of seconds")
    return seconds
