"""What an SES event means: for the mail, and for the person it is about. Pure: tables and rules.

https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

import re
from datetime import datetime
from enum import StrEnum

from notifications.ses_events import EventType, SesEvent


class Effect(StrEnum):
    """What an event means for the person, beyond this one mail."""

    NOTHING = ""
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"


# Mail to these is a rehearsal: its bounces must not keep the next rehearsal from leaving.
# https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
SIMULATOR_DOMAIN = "simulator.amazonses.com"

_FACT: dict[str, str] = {
    EventType.DELIVERY: "delivered_at",
    EventType.DELIVERY_DELAY: "delayed_at",
    EventType.OPEN: "opened_at",
    EventType.CLICK: "clicked_at",
    EventType.BOUNCE: "bounced_at",
    EventType.COMPLAINT: "complained_at",
    EventType.SUBSCRIPTION: "unsubscribed_at",
}
# These may turn out to mean nothing: a Transient bounce, a not-spam complaint, a topic joined.
_HARMFUL = frozenset({EventType.BOUNCE, EventType.COMPLAINT, EventType.SUBSCRIPTION})
_REFUSALS = frozenset({EventType.REJECT, EventType.RENDERING_FAILURE})


# SES kept these from leaving at all: no server has refused anything, so they say nothing about our list.
# https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
_NOT_ATTEMPTED = frozenset(
    {"onaccountsuppressionlist", "ontenantsuppressionlist", "unsubscribedrecipient", "emailvalidationsuppressed"}
)
# Transient bounces that are about the mail or about our own set-up, never about the mailbox.
_ABOUT_THE_MAIL = frozenset({"contentrejected", "messagetoolarge", "attachmentrejected", "customtimeoutexceeded"})
# X.7.x: security or policy (RFC 3463, 3.8); a whole list has bounced because of one DMARC record.
_POLICY_STATUS = re.compile(r"[245]\.7\.\d+")
_POLICY_WORDS = re.compile(r"\b[45]\.7\.\d+\b|\b(dmarc|spf|dkim|blacklist|blocklist|spamhaus|unauthenticated)", re.IGNORECASE)
_WORRYING_DELAYS = frozenset({"spamdetected", "ipfailure"})


def decide(event: SesEvent) -> Effect:
    """What the event means for the person it is about.

    Only `bounceType` counts: a Transient bounce with status 5.7.1 was our own DMARC, and whole lists
    have been suppressed for it. Permanent ones of the suppression lists are mirrored. A `not-spam`
    complaint is praise.
    https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
    """
    if event.event_type == EventType.BOUNCE and event.bounce_type.lower() == "permanent":
        opted_out = event.bounce_sub_type.lower() == "unsubscribedrecipient"
        return Effect.UNSUBSCRIBE if opted_out else Effect.BOUNCE
    if event.event_type == EventType.COMPLAINT and event.complaint_feedback_type.lower() != "not-spam":
        return Effect.COMPLAINT
    return Effect.UNSUBSCRIBE if event.leaves_list else Effect.NOTHING


def concerns(event: SesEvent, email: str) -> bool:
    """Whether the event is about this stored recipient of its mail.

    The address in a bounce was written by the remote server: it may be where the mail was forwarded
    to. Of a mail to one person it stands for that person, never for a third one. A recipient whose
    `action` is `delayed` has not bounced, also within a Permanent bounce.
    """
    final = {recipient.email for recipient in event.recipients if recipient.action != "delayed"}
    if email in final or not event.recipients:
        return True
    named = email in {recipient.email for recipient in event.recipients}
    return bool(final) and not named and len(event.destination) <= 1


def is_soft(event: SesEvent) -> bool:
    """Whether it is a bounce that counts against the mailbox, though not for good: it was full, or did not answer.

    What was refused for its content, its size or our own policy (SPF, DKIM, DMARC, a block list, a time-out
    that we chose) does not count, nor what SES cannot name (`Undetermined`).
    https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
    """
    if event.event_type != EventType.BOUNCE or event.bounce_type.lower() != "transient":
        return False
    by_policy = _POLICY_WORDS.search(event.diagnostic) or any(_POLICY_STATUS.match(one.status) for one in event.recipients)
    return event.bounce_sub_type.lower() not in _ABOUT_THE_MAIL and not by_policy


def is_worrying(event: SesEvent) -> bool:
    """Whether a delay tells of our reputation: somebody has to look (ses_facts: delay types)."""
    return event.event_type == EventType.DELIVERY_DELAY and event.delay_type.lower() in _WORRYING_DELAYS


def was_attempted(event: SesEvent) -> bool:
    """False for a bounce or complaint by which SES says that it never tried: the address is on a list of its own."""
    sub_type = event.bounce_sub_type if event.event_type == EventType.BOUNCE else event.complaint_sub_type
    return event.event_type not in {EventType.BOUNCE, EventType.COMPLAINT} or sub_type.lower() not in _NOT_ATTEMPTED


def facts(event: SesEvent, email: str) -> dict[str, datetime]:
    """The facts that the event states about the mail to `email`, by the name of their timestamp.

    Whatever SES tells of a mail, it had accepted it before; not so a mail that it rejected afterwards.
    A bounce that is not permanent ends the mail (SES gave up), but costs it no status: `soft_bounced_at`.
    """
    if event.event_type in _REFUSALS:
        return {"rejected_at": event.occurred_at}
    fact = _FACT.get(event.event_type)
    if event.event_type in _HARMFUL and decide(event) is Effect.NOTHING:
        fact = "soft_bounced_at" if event.event_type == EventType.BOUNCE else ""
    if not fact or not concerns(event, email):
        return {"sent_at": event.mailed_at}
    stated = {"sent_at": event.mailed_at, fact: event.occurred_at}
    return stated if was_attempted(event) else stated | {"not_attempted_at": event.occurred_at}


def reason(event: SesEvent) -> str:
    """Why the mail of a bounce, reject or rendering failure went wrong, as SES or the remote server puts it."""
    return event.diagnostic or f"{event.event_type} {event.bounce_type} {event.bounce_sub_type}".strip()
