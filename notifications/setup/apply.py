"""Goes through the steps: says what each would do, and does it unless it is a dry run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from notifications.setup import clients
from notifications.setup.steps import Action, Finding, Step
from outreach.errors import DomainError


@dataclass
class Tally:
    """How many steps created, updated or kept something, wait for a person, or failed."""

    created: int = 0
    updated: int = 0
    kept: int = 0
    waiting: int = 0
    failed: int = 0


def run(steps: Iterable[Step], *, dry_run: bool, say: Callable[[str], None]) -> Tally:
    """Look at each step and make it so; a dry run looks only, and goes on after what cannot be read.

    Otherwise the first failure ends it: what comes later needs what came before. Running again goes on there.
    """
    tally = Tally()
    for step in steps:
        try:
            finding = step.look()
            if finding.do and not dry_run:
                finding.do()
        except (*clients.AwsError, DomainError) as error:
            tally.failed += 1
            say(f"  {'?' if dry_run else 'FAILED':<8}{step.name}: {clients.said(error)}")
            if not dry_run:
                break
            continue
        _count(tally, finding)
        say(_line(step, finding, dry_run=dry_run))
    return tally


def list_unseen(steps: Iterable[Step], *, say: Callable[[str], None]) -> None:
    """Name the steps without asking AWS about any: what exists is not known."""
    for step in steps:
        say(f"  {'?':<8}{step.name} ({step.wanted})")


def _line(step: Step, finding: Finding, *, dry_run: bool) -> str:
    done = {Action.CREATE: "created", Action.UPDATE: "updated"}
    word = str(finding.action) if dry_run else done.get(finding.action, str(finding.action))
    told = (step.wanted,) if finding.action is Action.CREATE else finding.details
    return f"  {word:<8}{step.name}" + (f" ({'; '.join(told)})" if told else "")


def _count(tally: Tally, finding: Finding) -> None:
    match finding.action:
        case Action.CREATE:
            tally.created += 1
        case Action.UPDATE:
            tally.updated += 1
        case Action.WAIT:
            tally.waiting += 1
        case Action.KEEP:
            tally.kept += 1
