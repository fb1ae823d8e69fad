"""When a campaign must stop before it does harm: the same error again and again, no answers, too many bounces.

Each question is asked about what happened since the campaign was last started: who resumes it has looked at the
rest. Each reads an index of the few rows that went wrong, and of the others no more than the answer needs.
"""

import re
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet

from campaigns import claiming, lifecycle
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications import calling
from notifications.meaning import SIMULATOR_DOMAIN

log = structlog.get_logger("campaigns")

_WINDOW = timedelta(seconds=60)
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
    begin = max(since, now - _WINDOW)
    # Rows of a worker that was lost say nothing about SES.
    unknown = sends.filter(unknown_at__gt=begin).exclude(error=claiming.LOST_DURING_CALL)
    count = unknown.order_by()[:10_000].count()
    if count <= calling.TOLERATED_UNKNOWN:
        return ""
    enough = round(count / calling.UNKNOWN_SHARE)
    if sends.filter(call_started_at__gt=begin)[:enough].count() >= enough:
        return ""
    error = unknown.order_by("-unknown_at").values_list("error", flat=True)[0]
    return (
        f"SES did not answer {count} calls within a minute, and those mails may have left. "
        f"See whether SES and the network are well, then resume. (Last: {error[:200]})"
    )


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
