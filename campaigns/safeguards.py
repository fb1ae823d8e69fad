"""When a campaign must stop before it does harm: the same error again and again, SES out of reach, no answers, bounces.

Each question is asked about what happened since the campaign was last started: who resumes it has looked at the
rest. Each reads an index of the few rows that went wrong, and of the others no more than the answer needs.
"""

import re
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from campaigns import claiming, lifecycle
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.meaning import SIMULATOR_DOMAIN

log = structlog.get_logger("campaigns")

_WINDOW = timedelta(seconds=60)
# Everybody rests five seconds after a try that did not reach SES: those of several workers within less are one.
_ONE_TRY = timedelta(seconds=4)
# A person who gave a mail up, and SES' own news of it, have put their words in the place of what the call came to.
_STILL_SAYS_WHY = {"failed_at": None, "bounced_at": None, "rejected_at": None}
# Of fewer mails a share says nothing.
_UNANSWERED_FROM = 100
# A call ends at most this long after it was started.
_LONGEST_CALL = timedelta(minutes=2)
_FEWEST = 3
_MOST_MAILS = 40_000

_ADDRESS = re.compile(r"\S*@\S+")
_NAME_OF_ONE = re.compile(r"[\w-]*\d[\w-]*")

# What SES did not even try, because its list for the account has the address, does not count for AWS, nor does
# mail to its simulator. https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html
_HARMLESS = (
    Q(error__icontains="OnAccountSuppressionList")
    | Q(error__icontains="suppression list for your account")
    | Q(email__endswith=f"@{SIMULATOR_DOMAIN}")
)


def protect(campaign_ids: list[int] | None = None, *, now: datetime) -> int:
    """Pause each of these sending campaigns (all of them by default) that is in danger; returns how many were."""
    sending = Campaign.objects.filter(status=CampaignStatus.SENDING)
    chosen = sending if campaign_ids is None else sending.filter(pk__in=campaign_ids)
    paused = 0
    for campaign in chosen.order_by("pk"):
        if reason := find_danger(campaign.pk, now=now):
            # Somebody may have paused, finished or resumed it in the same moment.
            with suppress(lifecycle.WrongStatus):
                lifecycle.stop_campaign(campaign, by="safeguard", reason=reason)
                paused += 1
    return paused


def find_danger(campaign_id: int, *, now: datetime) -> str:
    """Why this campaign should stop, in words a person can act on; empty when it may go on."""
    campaign = Campaign.objects.get(pk=campaign_id)
    since = campaign.sending_since or campaign.started_at
    if since is None:
        return ""
    sends = EmailSend.objects.filter(campaign=campaign_id)
    return _same_error(sends, since) or _no_answers(sends, since, now) or _reputation(sends, since)


def note_reach(campaign: Campaign, *, reached: bool, unreached: str) -> None:
    """Count a campaign's tries in a row that did not reach SES, and pause it at CAMPAIGN_PAUSE_UNREACHED.

    `campaign` is as a turn found it; in the turn SES answered (`reached`), or the last call did not get there
    (`unreached`, the error), or both.
    """
    same_run = Campaign.objects.filter(pk=campaign.pk, sending_since=campaign.sending_since)
    if reached and campaign.unreached_tries:
        same_run.update(unreached_tries=0)
    if not unreached:
        return
    # Also a moment ahead: a statement that waited for this row began before the one that it waited for.
    another = same_run.exclude(unreached_at__range=(Now() - _ONE_TRY, Now() + _ONE_TRY))
    another.update(unreached_tries=F("unreached_tries") + 1, unreached_at=Now())
    tries = same_run.values_list("unreached_tries", flat=True).first() or 0
    if tries >= settings.CAMPAIGN_PAUSE_UNREACHED:
        reason = (
            f"SES could not be reached {tries} times in a row: {unreached[:300].rstrip('. ')}. No mail has left by these calls. "
            "Mend the network or the endpoint, then resume."
        )
        with suppress(lifecycle.WrongStatus):
            lifecycle.stop_campaign(campaign, by="safeguard", reason=reason)


def normalise(error: str) -> str:
    """An error without what differs from mail to mail: addresses, ids, numbers."""
    return " ".join(_NAME_OF_ONE.sub("#", _ADDRESS.sub("<address>", error)).split())


def _same_error(sends: "QuerySet[EmailSend]", since: datetime) -> str:
    """The last outcomes are one error: the fault is the campaign's, and would burn the whole list."""
    most = settings.CAMPAIGN_PAUSE_SAME_ERRORS
    # What a person gave up was unknown before, and is nobody's fault.
    refused = sends.filter(failed_at__gt=since, unknown_at=None).order_by("-failed_at")
    last = list(refused.values_list("failed_at", "error")[:most])
    if len(last) < most or len({normalise(error) for _, error in last}) > 1:
        return ""
    oldest, newest_error = last[-1][0] or since, last[0][1]
    if sends.filter(sent_at__gt=oldest, call_started_at__gt=oldest - _LONGEST_CALL).exists():
        return ""
    return f"The last {most} mails failed with the same error: {newest_error[:300]} Mend what it names, then resume."


def _no_answers(sends: "QuerySet[EmailSend]", since: datetime, now: datetime) -> str:
    unanswered = sends.filter(unknown_at__gt=since, call_started_at__gte=since, **_STILL_SAYS_WHY)
    # Rows of a worker that was lost say nothing about SES; an answer that came after all leaves no error.
    unknown = unanswered.exclude(error__in=["", claiming.LOST_DURING_CALL]).order_by("-unknown_at")
    error = unknown.values_list("error", flat=True).first()
    if error is None:
        return ""
    found = _unanswered_calls(unknown, now) or _unanswered_share(unknown, sends, since)
    if not found:
        return ""
    return (
        f"SES did not answer {found}, and those mails may have left. "
        f"See whether SES and the network are well, then resume. (Last: {error[:200]})"
    )


def _unanswered_calls(unknown: "QuerySet[EmailSend]", now: datetime) -> str:
    """How many calls of the last minute got no answer when they are too many; the mails of one call have one moment."""
    calls = unknown.filter(unknown_at__gt=now - _WINDOW).values("unknown_at").distinct()[:10_000].count()
    return f"{calls:,} calls within a minute" if calls > settings.CAMPAIGN_PAUSE_UNANSWERED else ""


def _unanswered_share(unknown: "QuerySet[EmailSend]", sends: "QuerySet[EmailSend]", since: datetime) -> str:
    """The share of the latest mails that got no answer when it is too large; of one call alone it never is."""
    limit = settings.CAMPAIGN_PAUSE_UNANSWERED_RATE
    most = max(_UNANSWERED_FROM, int(_MOST_MAILS * limit))
    latest = list(unknown.values_list("unknown_at", "call_started_at")[:most])
    if len({ended for ended, _ in latest}) < 2:
        return ""
    if len(latest) == most:
        since = min(started for _, started in latest if started)
    enough = max(_UNANSWERED_FROM, int(len(latest) / limit) + 1)
    called = sends.filter(call_started_at__gte=since)[:enough].count()
    if called < _UNANSWERED_FROM or len(latest) <= limit * called:
        return ""
    return f"{len(latest):,} of the last {called:,} mails"


def _reputation(sends: "QuerySet[EmailSend]", since: datetime) -> str:
    """The rates at which AWS reviews an account: https://docs.aws.amazon.com/ses/latest/dg/reputationdashboardmessages.html"""
    mailed = sends.filter(call_started_at__gt=since)
    share, accepted = _share_above(settings.CAMPAIGN_PAUSE_BOUNCE_RATE, mailed, "bounced_at")
    if share:
        return (
            f"{share:.1%} of the last {accepted:,} mails have bounced: AWS reviews accounts at 5 %. "
            "Clean the list (old and made-up addresses), then resume."
        )
    share, accepted = _share_above(settings.CAMPAIGN_PAUSE_COMPLAINT_RATE, mailed, "complained_at")
    if share:
        return (
            f"{share:.2%} of the last {accepted:,} people reported the mail as spam: AWS reviews accounts at 0.1 %. "
            "See whether they asked for it, then resume."
        )
    return ""


def _share_above(limit: float, mailed: "QuerySet[EmailSend]", fact: str) -> tuple[float, int]:
    """The share of accepted mails with this fact when it is above the limit, else 0; and of how many mails.

    Of a large campaign the latest part is judged, in which the latest such facts lie (but for a twentieth, which
    may have come very late): so a look reads some ten thousand rows at most, and a good start excuses nothing.
    """
    most = max(50, int(_MOST_MAILS * limit))
    with_fact = mailed.filter(**{f"{fact}__isnull": False}).exclude(_HARMLESS).order_by(f"-{fact}")
    called = sorted(at for at in with_fact.values_list("call_started_at", flat=True)[:most] if at)
    if len(called) == most:
        called = called[most // 20 :]
        mailed = mailed.filter(call_started_at__gte=called[0])
    if len(called) < _FEWEST:
        return 0.0, 0
    enough = max(settings.CAMPAIGN_PAUSE_RATES_FROM, int(len(called) / limit) + 1)
    accepted = mailed.filter(sent_at__isnull=False)[:enough].count()
    if accepted < settings.CAMPAIGN_PAUSE_RATES_FROM or len(called) <= limit * accepted:
        return 0.0, accepted
    return len(called) / accepted, accepted
