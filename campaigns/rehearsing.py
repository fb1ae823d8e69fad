"""A look at a mail before many get it: a preview, and a test to one address."""

import time

from campaigns import composing
from campaigns.models import Campaign
from notifications import pacing, suppressing
from notifications.call_logging import log_outcomes
from notifications.messages import OutgoingMessage, UnsendableMessage
from notifications.slots import LONGEST_WAIT
from notifications.transports.base import Outcome, Transport
from notifications.transports.guarded import may_receive
from outreach.errors import DomainError
from prospects.models import Prospect


class EmailSuppressed(DomainError):
    """The address is on the suppression list."""

    code = "EMAIL_SUPPRESSED"
    attr = "to"


class RecipientNotAllowed(DomainError):
    """This installation is a rehearsal, and its EMAIL_ALLOWED_RECIPIENTS does not list the address."""

    code = "RECIPIENT_NOT_ALLOWED"
    attr = "to"


class Unrenderable(DomainError):
    """This mail cannot be made."""

    code = "EMAIL_UNSENDABLE"
    status = 400


class PaceTaken(DomainError):
    """Every send slot of the next seconds is taken by campaigns: try again in a moment."""

    code = "PACE_TAKEN"
    status = 503


def preview(campaign: Campaign, *, prospect: Prospect | None) -> OutgoingMessage:
    """The mail exactly as this prospect, or a made-up person, would get it. Raises Unrenderable."""
    to = prospect.email if prospect else "ada@example.com"
    try:
        return composing.compose_sample(campaign, to=to, prospect=prospect)
    except UnsendableMessage as error:
        raise Unrenderable(str(error)) from error


def send_test(campaign: Campaign, *, to: str, prospect: Prospect | None, transport: Transport) -> Outcome:
    """Send one mail of the campaign to a normalised address, within the common pace.

    Leaves no row in the ledger. Raises EmailSuppressed, RecipientNotAllowed, Unrenderable,
    PaceTaken.
    """
    if suppressing.is_suppressed(to):
        raise EmailSuppressed
    if not may_receive(to):
        raise RecipientNotAllowed
    try:
        message = composing.compose_sample(campaign, to=to, prospect=prospect)
    except UnsendableMessage as error:
        raise Unrenderable(str(error)) from error
    _wait_for_a_slot()
    began = time.monotonic()
    outcome = transport.send(message)
    log_outcomes([message], [outcome], duration_ms=round((time.monotonic() - began) * 1000))
    return outcome


def _wait_for_a_slot() -> None:
    slots = pacing.reserve(1, rate=pacing.allowed_rate())
    if slots.wait > LONGEST_WAIT:
        pacing.give_back(slots, used=0)
        raise PaceTaken
    time.sleep(max(0.0, slots.wait))
