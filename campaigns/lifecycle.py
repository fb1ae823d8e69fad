"""The life of a campaign. Every change of its status happens in this module."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from campaigns import claiming, enrolling, rendering
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.models import UNSETTLED
from outreach.errors import DomainError
from outreach.publishing import publish

log = structlog.get_logger("campaigns")

# A loop gives a sign of life every second while it sends; enrolling a batch or a slow call takes longer.
SILENT_AFTER = timedelta(seconds=15)
# A campaign's next task stands in line behind those of the others: every chunk before it takes a second or more.
_TURN_OF_ANOTHER = timedelta(seconds=2)
# Two starts within this time share one task: Celery's rate limit would hold up a storm of void ones.
_JUST_WOKEN = timedelta(seconds=2)

# How the reason of a pause begins that a person wanted; every other one is a machine's.
PAUSED_BY = "Paused by "

_MAY_BECOME = {
    CampaignStatus.DRAFT: {CampaignStatus.PAUSED},
    CampaignStatus.SENDING: set(CampaignStatus),
    CampaignStatus.PAUSED: {CampaignStatus.SENDING, CampaignStatus.PAUSED},
    CampaignStatus.SENT: {CampaignStatus.SENDING},
}


class CampaignNotSendable(DomainError):
    """The campaign cannot start until its problems are fixed."""

    code = "CAMPAIGN_NOT_SENDABLE"
    status = 400


class WrongStatus(DomainError):
    """The campaign's status does not allow this."""

    code = "CAMPAIGN_STATUS"


def find_problems(campaign: Campaign) -> list[str]:
    """What keeps a campaign from being sent, in words for people."""
    found = rendering.find_problems(subject=campaign.subject, body_html=campaign.body_html, body_text=campaign.body_text)
    problems = [f"{field}: {problem.detail}" for field, listed in found.items() for problem in listed]
    if settings.PRODUCTION and not settings.POSTAL_ADDRESS:
        problems.append("POSTAL_ADDRESS is not set: outreach mail must carry the sender's postal address (15 USC 7704).")
    if not (campaign.from_email or settings.SES_FROM):
        problems.append("from_email: neither the campaign nor SES_FROM names a sender.")
    return problems


@transaction.atomic
def start_campaign(campaign: Campaign, *, by: str, now: datetime) -> None:
    """Let sending begin, resume it, or re-run it for people added since. Safe to repeat.

    Raises CampaignNotSendable, and `enrolling.RowsHeld` while a call to somebody lasts who may not be meant any more.
    """
    if problems := find_problems(campaign):
        raise CampaignNotSendable(" ".join(problems))

    before = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    stamps: dict[str, Any] = {"pause_reason": "", "finished_at": None, "started_by": by, "enrolled_through": 0}
    if before.let_go_before_start:
        enrolling.let_go_late(before)
        stamps["let_go_before_start"] = False
    if before.started_at is None:
        stamps["started_at"] = now
    if before.status != CampaignStatus.SENDING:
        stamps |= _new_run()
    # A second loop beside a living one would only take its ticket away.
    wakes = not _loop_lives(before, now) and not _just_woken(before, now)
    if wakes:
        stamps |= {"loop_seen_at": now, "woken_at": now}
    elif before.status != CampaignStatus.SENDING:
        # The sweep wakes it in a few seconds, once, however often it is paused and resumed meanwhile.
        stamps["loop_seen_at"] = None
    _move(campaign, CampaignStatus.SENDING, **stamps)
    # The first people at once, so that the answer can already say how many are planned.
    enrolling.enrol_batch(campaign.pk)
    _tell("campaign_started", campaign_id=campaign.pk, by=by)
    if wakes:
        transaction.on_commit(partial(wake, campaign.pk, campaign.generation))


@transaction.atomic
def pause_campaign(campaign: Campaign, *, by: str, reason: str = "") -> None:
    """Stop sending; rows not yet started stay waiting. Raises WrongStatus unless it is sending or paused."""
    if campaign.status == CampaignStatus.PAUSED and not reason:
        return
    _pause(campaign, by=by, reason=reason or f"{PAUSED_BY}{by}.")


@transaction.atomic
def stop_campaign(campaign: Campaign, *, by: str, reason: str) -> None:
    """Pause a campaign by a machine, for a reason that a person must act upon. Raises WrongStatus if none is needed.

    That is when it does not send any more, or was resumed since `campaign` was read: who resumes it has looked at
    what had happened until then, and who paused it keeps their own reason.
    """
    same_run = Campaign.objects.filter(status=CampaignStatus.SENDING, sending_since=campaign.sending_since)
    if not same_run.select_for_update(no_key=True).filter(pk=campaign.pk).first():
        raise WrongStatus("It has been paused, finished or resumed meanwhile.")
    _pause(campaign, by=by, reason=reason)


def pause_every_campaign(*, by: str, reason: str) -> int:
    """Pause whatever is sending, each campaign on its own; returns how many. One that ends meanwhile is left alone."""
    paused = 0
    for campaign in Campaign.objects.filter(status=CampaignStatus.SENDING).order_by("pk"):
        with suppress(WrongStatus):
            stop_campaign(campaign, by=by, reason=reason)
            paused += 1
    return paused


@transaction.atomic
def take_up_again(campaign: Campaign, *, by: str, now: datetime) -> None:
    """Let rows that wait again be sent: a sent campaign sends again, a sending one goes on, a paused one stays paused.

    Unlike `start_campaign` it plans nobody new. Raises WrongStatus for a draft, CampaignNotSendable.
    """
    if campaign.status == CampaignStatus.DRAFT:
        raise WrongStatus("The campaign is a draft: send it, and whoever has not got it yet gets it.")
    if campaign.status != CampaignStatus.SENT:
        return
    if problems := find_problems(campaign):
        raise CampaignNotSendable(" ".join(problems))
    stamps = {"loop_seen_at": now, "woken_at": now, "finished_at": None, "pause_reason": ""}
    _move(campaign, CampaignStatus.SENDING, **stamps, **_new_run())
    _tell("campaign_taken_up_again", campaign_id=campaign.pk, by=by)
    transaction.on_commit(partial(wake, campaign.pk, campaign.generation))


@transaction.atomic
def return_to_draft(campaign: Campaign, *, by: str) -> None:
    """Make a paused campaign a draft again. Raises WrongStatus."""
    if campaign.status != CampaignStatus.DRAFT:
        _move(campaign, CampaignStatus.DRAFT, pause_reason="")
        _tell("campaign_returned_to_draft", campaign_id=campaign.pk, by=by)


@transaction.atomic
def finish_campaign(campaign_id: int, *, now: datetime) -> bool:
    """Mark a campaign sent when its ledger says so: everybody enrolled, no row waiting or in flight."""
    enrolled = Campaign.objects.filter(pk=campaign_id, status=CampaignStatus.SENDING, enrolled_through=None)
    # The lock in a statement of its own: only then does the next one see the rows of a re-run that was
    # enrolling people at this moment.
    if not enrolled.select_for_update(no_key=True).first():
        return False
    if EmailSend.objects.filter(campaign_id=campaign_id, status__in=UNSETTLED).exists():
        return False
    enrolled.update(status=CampaignStatus.SENT, finished_at=now, updated_at=now)
    _tell("campaign_finished", campaign_id=campaign_id)
    return True


def use_ticket(campaign_id: int, generation: int, *, now: datetime) -> int | None:
    """Use up a loop's ticket; returns the next one, or None when this one is void.

    A ticket works once, so a task that is redelivered, doubled or late finds it used, and one
    loop a campaign lives whatever the broker does.
    """
    used = Campaign.objects.filter(pk=campaign_id, status=CampaignStatus.SENDING, generation=generation).update(
        generation=F("generation") + 1, loop_seen_at=now
    )
    return generation + 1 if used else None


def give_sign_of_life(campaign_id: int) -> None:
    """Say that this campaign's loop lives."""
    Campaign.objects.filter(pk=campaign_id).update(loop_seen_at=Now())


def rest(campaign_id: int, generation: int) -> None:
    """Say that this loop ends with work left that it cannot do now: the next sweep looks again."""
    Campaign.objects.filter(pk=campaign_id, generation=generation).update(loop_seen_at=None)


def wake_silent_campaigns(*, now: datetime) -> int:
    """Give every sending campaign whose loop rests or has been silent a new ticket; returns how many.

    The broker may have lost the task, or its worker died: either way the rows are still there.
    """
    return _wake_if_quiet(Campaign.objects.all(), now=now)


def _wake_if_quiet(campaigns: QuerySet[Campaign], *, now: datetime) -> int:
    sending = Campaign.objects.filter(status=CampaignStatus.SENDING).count()
    quiet = Q(loop_seen_at=None) | Q(loop_seen_at__lt=now - SILENT_AFTER - sending * _TURN_OF_ANOTHER)
    # Seen in the future: by a clock that has been set back since.
    quiet |= Q(loop_seen_at__gt=now + SILENT_AFTER)
    silent = campaigns.filter(quiet, status=CampaignStatus.SENDING)
    woken = 0
    for campaign_id, generation in silent.values_list("pk", "generation"):
        ticket = {"generation": generation + 1, "loop_seen_at": now, "woken_at": now}
        moved = silent.filter(pk=campaign_id, generation=generation).update(**ticket)
        if moved and wake(campaign_id, generation + 1):
            woken += 1
    return woken


def wake(campaign_id: int, generation: int) -> bool:
    """Ask a worker to run the next chunk."""
    return publish("campaigns.tasks.send_chunk", campaign_id, generation)


def continue_campaign(campaign: Campaign, *, now: datetime) -> None:
    """Wake a sending campaign's loop unless it lives. Raises WrongStatus when it is not sending."""
    if campaign.status != CampaignStatus.SENDING:
        raise WrongStatus(f"The campaign is {campaign.status}, not sending.")
    _wake_if_quiet(Campaign.objects.filter(pk=campaign.pk), now=now)


def _pause(campaign: Campaign, *, by: str, reason: str) -> None:
    _move(campaign, CampaignStatus.PAUSED, pause_reason=reason[:500])
    # A chunk that is under way may not go on with old words when sending is resumed at once.
    claiming.release_all(campaign.pk)
    _tell("campaign_paused", campaign_id=campaign.pk, by=by, reason=campaign.pause_reason)


def _new_run() -> dict[str, Any]:
    """What begins anew when a campaign sends again. Compared with failures, which the database dates."""
    return {"sending_since": Now(), "unreached_tries": 0, "unreached_at": None}


def _tell(event: str, **words: Any) -> None:
    """A line about what has been committed, and none about what was not."""
    transaction.on_commit(partial(log.info, event, **words))


def _loop_lives(campaign: Campaign, now: datetime) -> bool:
    seen = campaign.loop_seen_at
    return campaign.status == CampaignStatus.SENDING and seen is not None and abs(now - seen) < SILENT_AFTER


def _just_woken(campaign: Campaign, now: datetime) -> bool:
    return campaign.woken_at is not None and abs(now - campaign.woken_at) < _JUST_WOKEN


def _move(campaign: Campaign, status: CampaignStatus, **stamps: Any) -> None:
    moved = Campaign.objects.filter(pk=campaign.pk, status__in=_MAY_BECOME[status]).update(
        status=status, updated_at=Now(), **stamps
    )
    campaign.refresh_from_db()
    if not moved:
        # Someone else moved it first, or the caller read a stale page.
        raise WrongStatus(f"A campaign that is {campaign.status} cannot become {status}.")
