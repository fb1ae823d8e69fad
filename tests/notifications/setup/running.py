"""A run of the set-up."""

from notifications.setup import apply, plan
from notifications.setup.steps import Known
from tests.aws import wish


def run(aws, *, dry_run=False, **changes):
    """What was said, and how much was done."""
    lines, known = [], Known()
    tally = apply.run(plan.steps_for(wish(**changes), aws, known), dry_run=dry_run, say=lines.append)
    return tally, "\n".join(lines), known
