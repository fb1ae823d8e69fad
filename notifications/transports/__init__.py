"""Ways out for a mail: SES, the log, or memory for tests."""

import os
from functools import lru_cache

from django.conf import settings

from notifications.transports.base import Transport
from notifications.transports.guarded import GuardedTransport
from notifications.transports.log import LogTransport
from notifications.transports.ses import SesTransport
from notifications.transports.ses_suppressions import SesSuppressions


def configured() -> Transport:
    """The transport that EMAIL_MODE names; a rehearsal's writes only to EMAIL_ALLOWED_RECIPIENTS, when they are set."""
    if settings.EMAIL_MODE != "ses":
        return LogTransport()
    transport = _ses(settings.SES_REGION, os.getpid())
    return GuardedTransport(transport, settings.EMAIL_ALLOWED_RECIPIENTS) if settings.EMAIL_ALLOWED_RECIPIENTS else transport


def suppressions() -> SesSuppressions:
    """The account's own suppression list at SES."""
    return SesSuppressions(settings.SES_REGION)


@lru_cache(maxsize=4)
def _ses(region: str, _process: int) -> SesTransport:
    # One client a process, also after a fork: building one costs 100 ms, and its connections are kept alive.
    return SesTransport(region)
