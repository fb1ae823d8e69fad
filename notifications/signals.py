"""Facts that climb, in batches: each app that listens changes only its own tables.

The order of these signals is also the order of locks: addresses, then people, then sends.
"""

from dataclasses import dataclass
from datetime import datetime

from django.dispatch import Signal

from notifications.meaning import Effect


@dataclass(frozen=True, slots=True)
class KnownMail:
    """Whose mail an event is about, told by the app that sent it."""

    email: str
    campaign_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An address that must not be written to any more, or not with outreach, and the event that says so."""

    email: str
    effect: Effect
    occurred_at: datetime
    fingerprint: str
    campaign_key: str
    user_agent: str


# Whose mails are these? Arguments: events, a list of `ses_events.SesEvent`, verified and stored.
# Receivers return {fingerprint: KnownMail} for the mails they know, and change nothing.
email_lookup = Signal()

# These people are lost to outreach. Arguments: losses, a list of `Loss`; now.
addresses_lost = Signal()

# What happened to mails that somebody knows. Arguments: events, as above; now.
email_events = Signal()

# SES has switched our sending off. Arguments: reason, in words for people; now.
# Receivers stop what they send before they return, and return how many things they stopped.
sending_disabled = Signal()
