"""The goals of `make bench`: each is printed below its figure; a run that misses one ends with 1."""

_missed: list[str] = []


def goal(what, figure, *, at_least=None, at_most=None, digits=2):
    """Print whether a figure reaches its goal, and remember when it does not."""
    reached = figure >= at_least if at_most is None else figure <= at_most
    wanted = f"at least {at_least:,}" if at_most is None else f"at most {at_most:,}"
    print(f"{f'   goal: {what} {wanted}':58} {'reached' if reached else 'MISSED'}: {figure:,.{digits}f}", flush=True)
    if not reached:
        _missed.append(what)


def missed():
    """What was missed, in order."""
    return tuple(_missed)
