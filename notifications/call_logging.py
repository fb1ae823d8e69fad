"""What the log says of every call: one line a mail, also when fifty share the call."""

from collections.abc import Sequence
from typing import Any

import structlog

from notifications import measuring
from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Verdict
from outreach import logging

log = structlog.get_logger("notifications")


def log_outcomes(messages: Sequence[OutgoingMessage], outcomes: Sequence[Outcome], *, duration_ms: int) -> None:
    """The mission's log lines for the mails of one call: `email_sent` or `email_send_failed`, one each."""
    lines: dict[Verdict, list[dict[str, Any]]] = {}
    for message, outcome in zip(messages, outcomes, strict=True):
        measuring.call_ended(outcome.verdict, duration_ms / 1000)
        lines.setdefault(outcome.verdict, []).append(_words(message, outcome, duration_ms))
    for verdict, each in lines.items():
        # One record for all of them: fifty would cost more than their rendering.
        words = each[0] if len(each) == 1 else {logging.EACH: each}
        if verdict is Verdict.ACCEPTED:
            log.info("email_sent", **words)
        else:
            log.error("email_send_failed", **words)


def log_unmade(row_id: int, outcome: Outcome) -> None:
    """`email_send_failed` for a mail of which no message could be made, so that nothing but its row is known."""
    log.error("email_send_failed", row_id=row_id, error=outcome.error, verdict=str(outcome.verdict))


def _words(message: OutgoingMessage, outcome: Outcome, duration_ms: int) -> dict[str, Any]:
    words: dict[str, Any] = {
        "message_id": outcome.message_id,
        "to": message.to,
        "subject": message.subject,
        "template_name": message.template_name,
        "duration_ms": duration_ms,
    }
    if outcome.verdict is not Verdict.ACCEPTED:
        words |= {"error": outcome.error, "verdict": str(outcome.verdict)}
    return words
