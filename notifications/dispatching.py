"""From the outbox to the transport: claim, send within the common pace, record."""

import math
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings

from notifications import claiming, delivering, idempotency, pacing, posting, quota, slots
from notifications.transports.base import Transport

log = structlog.get_logger("notifications")

# A task is short, so that a redelivered one is harmless.
_TASK_SECONDS = 5.0
# A claim must outlast the wait for its slot and the task; a call's lease the longest call.
_CLAIM_LEASE = _TASK_SECONDS + slots.LONGEST_WAIT + 12.0
_CALL_MARGIN = 15.0
# Several workers share what waits: none takes more than it can send in a second.
_MOST_AT_ONCE = 50
# Whoever finds mail that waits longer than this sends it, whether the outbox' own workers live or not.
_LATE = timedelta(seconds=10)
# After an answer that says "a person must act" nothing waiting is tried for so many seconds.
_REST = 60.0
_SILENT = "SES did not answer several calls, and those mails may have left."


def send_waiting(*, transport: Transport, clock: Callable[[], datetime]) -> bool:
    """Send what waits in the outbox, for about five seconds; returns whether it is worth coming back at once.

    When SES says that a person must act, or leaves too many mails without an answer, everything rests for a minute, with
    the reason in each row's error. A sender that SES does not accept holds up its own mail only.
    """
    until = time.monotonic() + _TASK_SECONDS
    while time.monotonic() < until:
        slice_id = uuid.uuid4()
        limit = max(1, min(_MOST_AT_ONCE, math.floor(pacing.allowed_rate())))
        ids, skipped = claiming.claim(slice_id=slice_id, limit=limit, lease=_CLAIM_LEASE)
        if not ids and not skipped:
            return False
        report = _deliver(ids, slice_id=slice_id, transport=transport) if ids else delivering.Report()
        if reason := report.halted or (report.unknown and claiming.is_silent(now=clock()) and _SILENT):
            log.error("transactional_mail_halted", reason=reason)
            claiming.rest_all(until=clock() + timedelta(seconds=_REST), error=reason)
        if reason or report.held or report.unreached:
            # The sweep looks again: urgent mail that tried on and on would leave campaigns no slot.
            return False
    return True


def sweep(*, transport: Transport, clock: Callable[[], datetime]) -> bool:
    """End dead leases, give up what is too old, forget what may be forgotten; returns whether mail waits.

    What has waited for ten seconds it sends itself. Asks for the account's limits too: there may be no campaign that does.
    """
    now = clock()
    if ended := claiming.reclaim_expired():
        log.warning("transactional_leases_ended", **ended)
    claiming.give_up(hours=settings.TRANSACTIONAL_GIVE_UP_HOURS, now=now)
    claiming.forget_contents(days=settings.EMAIL_CONTENT_DAYS, now=now)
    idempotency.forget_expired(now=now)
    quota.refresh(transport, now=now)
    since = claiming.waiting_since(now=now)
    if since and now - since > _LATE:
        return send_waiting(transport=transport, clock=clock)
    return since is not None


def _deliver(ids: list[int], *, slice_id: uuid.UUID, transport: Transport) -> delivering.Report:
    ledger = claiming.TransactionalLedger(slice_id=slice_id, call_lease=transport.longest_call + _CALL_MARGIN)
    mails = [delivering.Mail(id_, partial(posting.message_of, id_)) for id_ in ids]
    try:
        return delivering.deliver(
            mails,
            ledger=ledger,
            transport=transport,
            rate=pacing.allowed_rate(),
            urgent=True,
            one_sender=False,
        )
    finally:
        ledger.release(ids)
