"""Where a process can be made to die, and the wrong strategies it can follow: the names of the traps in `sabotage`."""

STATEMENTS = ("claim", "start", "record", "enrol", "sweep", "finish")
CALLS = ("call.before", "call.half_written", "call.written", "call.answered")
PUBLISHING = ("publish.before", "publish.after")
POINTS = (*(f"{name}.{when}" for name in STATEMENTS for when in ("before", "uncommitted", "committed")), *CALLS, *PUBLISHING)

MUTANTS = SEND_THEN_MARK, LOCK_OVER_THE_CALL, RETRY_WHEN_STALE = ("send_then_mark", "lock_over_the_call", "retry_when_stale")
