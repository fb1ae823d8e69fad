"""Whom a batch of events costs us: addresses go on the list, people are told to the apps above.

What a person has taken off the list stays off: an event that we knew by then does not bring it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from notifications import meaning, signals, soft_bouncing, suppressing
from notifications.meaning import Effect
from notifications.models import EmailEvent, SuppressionReason
from notifications.signals import KnownMail, Loss, Revision
from notifications.soft_bouncing import Told
from outreach import addresses as spelling

_REASONS = {
    Effect.BOUNCE: SuppressionReason.BOUNCE,
    Effect.COMPLAINT: SuppressionReason.COMPLAINT,
    Effect.UNSUBSCRIBE: SuppressionReason.UNSUBSCRIBE,
}


def lose(told: list[Told], known: dict[str, KnownMail], *, limit: int, now: datetime) -> tuple[int, int]:
    """Take lost addresses and people off, and give back those that `limit` soft bounces took too early.

    Returns how many addresses and how many people changed. The caller holds the lock of `recording`.
    """
    losses = list(_losses(told, known))
    verdict = soft_bouncing.weigh(told, limit=limit)
    addresses = _suppress(losses) + _suppress_soft(verdict.lost)
    revisions = _revise(verdict.revisions)
    losses += _soft_losses(verdict.lost)
    people = _changed(signals.addresses_revised.send(sender=EmailEvent, revisions=revisions, now=now)) if revisions else 0
    people += _changed(signals.addresses_lost.send(sender=EmailEvent, losses=losses, now=now)) if losses else 0
    return addresses + len(revisions), people


def _losses(told: list[Told], known: dict[str, KnownMail]) -> Iterable[Loss]:
    """Who is lost: only a stored recipient of that very mail, whoever else the event names."""
    harmful = [one for one in told if meaning.decide(one.event) and meaning.concerns(one.event, one.email)]
    lifts = suppressing.lifted({one.email for one in harmful}) if harmful else {}
    for one in harmful:
        effect, event = meaning.decide(one.event), one.event
        yield Loss(
            email=one.email,
            effect=effect,
            occurred_at=event.occurred_at,
            fingerprint=event.fingerprint,
            campaign_key=known[event.fingerprint].campaign_key,
            user_agent=event.user_agent,
            stands=not suppressing.lifted_since(lifts, one.email, _REASONS[effect], known_at=one.received_at),
        )


def _soft_losses(lost: Mapping[str, datetime]) -> Iterable[Loss]:
    for email, moment in lost.items():
        yield Loss(email=email, effect=Effect.BOUNCE, occurred_at=moment, fingerprint="", campaign_key="", user_agent="")


def _suppress(losses: list[Loss]) -> int:
    written = 0
    for effect, reason in _REASONS.items():
        since: dict[str, datetime] = {}
        for loss in losses:
            if loss.effect is effect and loss.stands:
                since[loss.email] = min(loss.occurred_at, since.get(loss.email, loss.occurred_at))
        if since := _without_rehearsals(since):
            written += suppressing.suppress_since(since, reason=reason, source="SES")
    return written


def _suppress_soft(lost: Mapping[str, datetime]) -> int:
    since, source = _without_rehearsals(lost), suppressing.SOFT_BOUNCES
    return suppressing.suppress_since(since, reason=SuppressionReason.BOUNCE, source=source) if since else 0


def _revise(revisions: list[Revision]) -> list[Revision]:
    """Correct the list; the revisions as they then hold for people, whom a permanent bounce may have cost as well."""
    bounced = suppressing.revise_soft_bounces({one.email: one.since for one in revisions})
    return [replace(one, since=bounced.get(one.email, one.since)) for one in revisions]


def _changed(answers: Iterable[tuple[Any, Any]]) -> int:
    return sum(changed or 0 for _, changed in answers)


def _without_rehearsals(since: Mapping[str, datetime]) -> dict[str, datetime]:
    return {email: at for email, at in since.items() if spelling.domain_of(email) != meaning.SIMULATOR_DOMAIN}
