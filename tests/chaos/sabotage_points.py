"""Where a process can be made to die: the names of the traps in `sabotage`."""

STATEMENTS = ("claim", "start", "record", "enrol", "sweep", "finish")
CALLS = ("call.before", "call.half_written", "call.written", "call.answered")
PUBLISHING = ("publish.before", "publish.after")
POINTS = (*(f"{name}.{when}" for name in STATEMENTS for when in ("before", "uncommitted", "committed")), *CALLS, *PUBLISHING)
