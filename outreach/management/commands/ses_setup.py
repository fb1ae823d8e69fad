"""Creates in AWS what sending and its events need; safe to run again, which only mends what differs."""

import sys
from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from notifications.setup import apply, clients, plan, records, wishes
from notifications.setup.steps import Known, Step
from notifications.setup.wishes import Via, Wish
from outreach import addresses

_NOBODY = "000000000000"


class Command(BaseCommand):
    """Says what it finds, creates and changes, line by line, and which DNS records to publish."""

    help = (
        "Creates, or mends, in AWS: sending domain with DKIM and MAIL FROM, configuration set, and the way of events to this "
        "site, through EventBridge or SNS. Prints the DNS records. --dry-run changes nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
        parser.add_argument("--via", choices=[str(via) for via in Via], default="eventbridge", help="the way of events")
        parser.add_argument("--domain", default="", help="sending domain (default: the domain of SES_FROM)")
        parser.add_argument("--mail-from", default=None, help="custom MAIL FROM domain (default: mail.DOMAIN; '' for none)")
        parser.add_argument("--configuration-set", default="", help="default: SES_CONFIGURATION_SET, or outreach")
        parser.add_argument("--name", default="outreach-ses-events", help="name of what is created for events")
        parser.add_argument("--rate", type=int, default=50, help="most events a second from EventBridge (1 to 300, default: 50)")
        parser.add_argument("--new-secret", action="store_true", help="write the first SES_WEBHOOK_SECRET into the connection")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not settings.SES_REGION:
            raise CommandError("SES_REGION is not set: set it to the AWS region of SES, e.g. us-east-1.")
        dry_run, wish = options["dry_run"], _wish(options)
        if mistakes := wishes.mistakes(wish):
            raise CommandError(" ".join(mistakes))
        try:
            aws = clients.connect(settings.SES_REGION)
        except clients.WrongConfiguration as error:
            raise CommandError(str(error)) from error
        partition, account = self._caller(aws, dry_run=dry_run)
        wish = replace(wish, partition=partition, account=account)
        problems = wishes.problems(wish)
        for problem in problems:
            self.stdout.write(f"  !       {problem}")
        if problems and not dry_run:
            raise CommandError("Nothing was changed.")
        known = Known()
        self.stdout.write(f"{'Would do' if dry_run else 'Doing'} in account {wish.account}, region {wish.region}:")
        done = self._run(plan.steps_for(wish, aws, known), blind=wish.account == _NOBODY, dry_run=dry_run)
        self._show_records(wish, known)
        self._show_environment(wish)
        if not done:
            sys.exit(1)

    def _run(self, steps: list[Step], *, blind: bool, dry_run: bool) -> bool:
        """Whether everything is as it shall be, or would be."""
        if blind:
            apply.list_unseen(steps, say=self.stdout.write)
            return True
        tally = apply.run(steps, dry_run=dry_run, say=self.stdout.write)
        made, mended = ("to create", "to update") if dry_run else ("created", "updated")
        rest = f"{tally.kept} as they should be, {tally.waiting} waiting for you, {tally.failed} failed"
        self.stdout.write(f"{tally.created} {made}, {tally.updated} {mended}, {rest}.")
        return dry_run or not tally.failed

    def _caller(self, aws: clients.Aws, *, dry_run: bool) -> tuple[str, str]:
        """Partition and account of the credentials; a dry run also works without any."""
        try:
            arn = aws.sts.get_caller_identity()["Arn"].split(":")
            return arn[1], arn[4]
        # Without the name among the words of its answer it was not AWS that answered.
        except (*clients.AwsError, LookupError) as error:
            if not dry_run:
                raise CommandError(
                    f"AWS does not know who asks: {clients.said(error)}. Give this command credentials."
                ) from error
            self.stdout.write(f"  !       AWS does not know who asks ({clients.said(error)}): what exists cannot be told.")
            return "aws", _NOBODY

    def _show_records(self, wish: Wish, known: Known) -> None:
        self.stdout.write("DNS records to publish:")
        if not known.dkim_tokens:
            self.stdout.write(f"  CNAME   three under _domainkey.{wish.domain}: known once the identity exists; run this again")
        found = records.dkim(wish.domain, known.dkim_tokens, known.dkim_zone)
        found += records.spf(wish.domain) + records.mail_from(wish.mail_from, wish.region) + records.dmarc(wish.domain)
        for record in found:
            self.stdout.write(f"  {record.kind:<8}{record.name}  {record.value}\n          ({record.why})")

    def _show_environment(self, wish: Wish) -> None:
        self.stdout.write("Environment of the site:")
        values = {"SES_REGION": wish.region, "SES_CONFIGURATION_SET": wish.configuration_set}
        values |= {"SES_ACCOUNT_ID": wish.account} if wish.account != _NOBODY else {}
        if wish.via is Via.SNS:
            values |= {"SES_SNS_TOPIC_ARNS": wish.topic_arn, "SES_SNS_LEAST_SIGNATURE_VERSION": "2"}
        for name, value in values.items():
            self.stdout.write(f"  {name}={value}")
        self.stdout.write("By hand: ask for production access (SES console, Account dashboard). Then: manage.py ses_doctor")


def _wish(options: dict[str, Any]) -> Wish:
    """What the flags and the settings ask for, of an account yet unknown."""
    domain = _domain("--domain", options["domain"]) or addresses.domain_of(settings.SES_FROM)
    return Wish(
        region=settings.SES_REGION,
        account=_NOBODY,
        partition="aws",
        domain=domain,
        mail_from=f"mail.{domain}" if options["mail_from"] is None else _domain("--mail-from", options["mail_from"]),
        configuration_set=options["configuration_set"] or settings.SES_CONFIGURATION_SET or "outreach",
        base_url=settings.PUBLIC_BASE_URL,
        name=options["name"],
        via=Via(options["via"]),
        secret=next(iter(settings.SES_WEBHOOK_SECRETS), ""),
        new_secret=options["new_secret"],
        rate=options["rate"],
        listed_topics=tuple(settings.SES_SNS_TOPIC_ARNS),
    )


def _domain(flag: str, text: str) -> str:
    """A domain as DNS knows it; none for none. Raises CommandError."""
    try:
        return addresses.domain_of(addresses.normalise(f"postmaster@{text}")) if text else ""
    except addresses.InvalidAddress as error:
        raise CommandError(f"{flag} {text!r} is no domain ({error}): say one such as example.com.") from error
