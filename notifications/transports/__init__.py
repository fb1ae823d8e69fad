"""Ways out for a mail: SES, the log, or memory for tests."""

from functools import lru_cache

from django.conf import settings

from notifications.transports.base import Transport
from notifications.transports.log import LogTransport
from notifications.transports.ses import SesTransport
from notifications.transports.ses_suppressions import SesSuppressions


def configured() -> Transport:
    """The transport that EMAIL_MODE names."""
    return _ses(settings.SES_REGION) if settings.EMAIL_MODE == "ses" else LogTransport()


def suppressions() -> SesSuppressions:
    """The account's own suppression list at SES."""
    return SesSuppressions(settings.SES_REGION)


@lru_cache(maxsize=4)
def _ses(region: str) -> SesTransport:
    # One client a process: building one costs 100 ms, and its connections are kept alive.
    return SesTransport(region)
