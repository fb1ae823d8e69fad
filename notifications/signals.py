"""Facts that climb, in batches: each app that listens changes only its own tables.

The order of these signals is also the order of locks: addresses, then people, then sends.
"""

from dataclasses import dataclass
from datetime import datetime

from django.dispatch import Signal

from notifications.meaning import Effect


@dataclass(frozen=True, slots=True)
class KnownMail:
    """Whose mail an event is about, told by the app that sent it; events about a `rehearsal` have no effect."""

    email: str
    campaign_key: str = ""
    rehearsal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An address that must not be written to any more, or not with outreach, and the event that says so.

    `stands` is False when a person took the address off the list knowing of it: it happened, and has no effect.
    """

    email: str
    effect: Effect
    occurred_at: datetime
    fingerprint: str
    campaign_key: str
    user_agent: str
    stands: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An address that has not bounced when it seemed to: not at `was`, but at `since`, or not at all (None)."""

    email: str
    was: datetime
    since: datetime | None


# Whose mails are these? Arguments: events, a list of `ses_events.SesEvent`, verified and stored.
# Receivers return {fingerprint: KnownMail} for the mails they know, and change nothing.
email_lookup = Signal()

# When were mails to these addresses delivered? Arguments: emails, a list of normalised addresses.
# Receivers return {email: {message id: when}} of the mails they sent, and change nothing.
delivery_history = Signal()

# These people are lost to outreach. Arguments: losses, a list of `Loss`; now.
addresses_lost = Signal()

# Soft bounces had cost these people too much. Arguments: revisions, a list of `Revision`; now.
addresses_revised = Signal()

# People have put these addresses on the suppression list. Arguments: emails, normalised; now.
addresses_listed = Signal()

# What happened to mails that somebody knows. Arguments: events, as above; now.
email_events = Signal()

# SES has switched our sending off. Arguments: reason, in words for people; now.
# Receivers stop what they send before they return, and return how many things they stopped.
sending_disabled = Signal()

# Erase what you hold about this person, in the caller's transaction. Arguments: email, normalised; prospect_ids, a list of
# ints, locked by the caller; now. Receivers leave nothing but `keyed_hashes.hash_of(address)`, and return {table: count}.
person_erased = Signal()

# Which mails did you send to this person? Arguments: email, prospect_ids. Receivers return (message ids, send ids), two sets.
person_mails = Signal()

# What do you hold about this person? Arguments: email, prospect_ids. Receivers return {section: rows}, ready for JSON.
person_exported = Signal()
