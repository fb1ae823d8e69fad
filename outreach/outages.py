"""PostgreSQL is away, read-only or too busy: nobody's mistake, and over in a while."""

from django.db import InterfaceError, InternalError, OperationalError

from outreach.errors import DomainError

RETRY_SECONDS = 10
_READ_ONLY = "25006"
# A limit of PostgreSQL itself was met, or a statement came out of turn: asking again would not help.
_OUR_MISTAKES = ("54", "55000")


class DatabaseUnavailable(DomainError):
    """The database is out of reach or too busy: ask again later."""

    code = "DATABASE_UNAVAILABLE"
    status = 503


def is_outage(error: BaseException | None) -> bool:
    """Whether an error says that PostgreSQL cannot be used now: unreachable, stopping, full, locked, timed out, read-only.

    https://www.postgresql.org/docs/current/errcodes-appendix.html; psycopg makes its classes of them.
    """
    state = getattr(getattr(error, "__cause__", None), "sqlstate", None) or ""
    if isinstance(error, InternalError):
        # In the middle of a failover; any other one is a mistake of ours, such as going on after an error.
        return state == _READ_ONLY
    return isinstance(error, OperationalError | InterfaceError) and not state.startswith(_OUR_MISTAKES)
