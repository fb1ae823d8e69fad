"""Says, line by line with a remedy for each, whether sending would work."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from notifications.setup import account_checks, clients, dns_checks, doctor, webhook_checks, wishes
from notifications.setup.doctor import Line, Mark, Patient
from notifications.setup.wishes import Via, Wish
from outreach import addresses

CHECKS: list[tuple[str, doctor.Check]] = [
    ("mode", account_checks.mode),
    ("credentials", account_checks.credentials),
    ("account", account_checks.account),
    ("identity", account_checks.identity),
    ("DKIM in DNS", dns_checks.dkim),
    ("MAIL FROM in DNS", dns_checks.mail_from),
    ("SPF", dns_checks.spf),
    ("DMARC", dns_checks.dmarc),
    ("configuration set", account_checks.configuration_set),
    ("event destination", account_checks.event_destinations),
    ("EventBridge", account_checks.eventbridge),
    ("SNS subscription", account_checks.subscriptions),
    ("EventBridge webhook", webhook_checks.eventbridge),
    ("SNS webhook", webhook_checks.sns),
    ("last event", webhook_checks.last_event),
]


class Command(BaseCommand):
    """Changes nothing; sends no mail. Exit code 1 when something keeps mail from leaving, or events from coming."""

    help = "Says, line by line with a remedy for each, whether sending through SES would work. Changes nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", default="outreach-ses-events", help="the --name that was given to ses_setup")

    def handle(self, *_args: Any, **options: Any) -> None:
        if mistakes := wishes.mistakes(_wish(options["name"])):
            raise CommandError(" ".join(mistakes))
        lines = []
        for line in doctor.examine(_patient(options["name"]), CHECKS):
            lines.append(line)
            self._show(line)
        counts = {mark: sum(line.mark is mark for line in lines) for mark in Mark}
        self.stdout.write(f"{counts[Mark.OK]} ok, {counts[Mark.WARN]} to look at, {counts[Mark.FAIL]} in the way of sending")
        if counts[Mark.FAIL]:
            sys.exit(1)

    def _show(self, line: Line) -> None:
        style = {Mark.OK: self.style.SUCCESS, Mark.WARN: self.style.WARNING, Mark.FAIL: self.style.ERROR}[line.mark]
        self.stdout.write(f"{style(f'{line.mark:<5}')} {line.subject}: {line.words}")
        if line.fix:
            self.stdout.write(f"      → {line.fix}")


def _patient(name: str) -> Patient:
    try:
        return patient(name=name)
    except clients.WrongConfiguration as error:
        raise CommandError(str(error)) from error


def patient(*, name: str) -> Patient:
    """What the settings say about this site. Raises WrongConfiguration."""
    return Patient(
        wish=_wish(name),
        # Without a region boto3 makes no client at all; what is missing is said by the first check.
        aws=clients.connect(settings.SES_REGION or "us-east-1"),
        resolver=dns_checks.SystemResolver(),
        post=webhook_checks.post,
        now=timezone.now(),
        mode=settings.EMAIL_MODE,
        sender=settings.SES_FROM,
        configuration_set=settings.SES_CONFIGURATION_SET,
        account_id=settings.SES_ACCOUNT_ID,
        max_send_rate=settings.SES_MAX_SEND_RATE,
        secrets_set=bool(settings.SES_WEBHOOK_SECRETS),
        topics=tuple(settings.SES_SNS_TOPIC_ARNS),
    )


def _wish(name: str) -> Wish:
    """What ses_setup would have made, without an account: the doctor looks by name and address only."""
    domain = addresses.domain_of(settings.SES_FROM)
    return Wish(
        region=settings.SES_REGION,
        account=settings.SES_ACCOUNT_ID,
        partition="aws",
        domain=domain,
        mail_from="",
        configuration_set=settings.SES_CONFIGURATION_SET,
        base_url=settings.PUBLIC_BASE_URL,
        name=name,
        via=Via.EVENTBRIDGE,
        secret="",
        new_secret=False,
        rate=1,
        listed_topics=tuple(settings.SES_SNS_TOPIC_ARNS),
    )
