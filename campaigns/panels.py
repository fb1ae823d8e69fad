"""What the panel of a campaign shows: its account as figures, a bar, the pace, and what can be done now."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from campaigns import dispatching, overseeing, reporting
from campaigns.models import Campaign, CampaignStatus, SkipReason
from campaigns.overseeing import Progress
from notifications import pacing, quota
from prospects import catching_up

TONES = {
    CampaignStatus.DRAFT: "quiet",
    CampaignStatus.SENDING: "live",
    CampaignStatus.PAUSED: "warn",
    CampaignStatus.SENT: "good",
}
VERB = {CampaignStatus.DRAFT: "Send", CampaignStatus.PAUSED: "Resume", CampaignStatus.SENT: "Send to people added since"}
# Milliseconds; the script waits longer where answers are slow.
REFRESH_AFTER = 1500
_MOST_AT_ONCE = 8

# How many sends a status of the list holds is a link's promise: these facts are one status each.
_LISTED = ("waiting", "in_flight", "failed", "unknown", "skipped")
_STATUS = {"waiting": "queued", "in_flight": "sending"}
_FACTS = ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
_OWN = {"bounced": "own_bounces", "complained": "own_complaints"}
_ALARMING = {"failed", "unknown", "bounced", "complained"}
_WORKER_SILENT_AFTER = timedelta(seconds=30)
_JUST_STARTED = timedelta(seconds=10)
_GOES_ON = "The mails wait, and sending goes on by itself as soon as one gets through."
# A call that reached nobody is told by the name of Python's exception; the names of SES' own answers end otherwise.
_NO_ANSWER = re.compile(r"\w+Error: ")


@dataclass(frozen=True)
class Figure:
    """One number of the account; `share` in words, `url` of the sends behind it."""

    name: str
    count: int
    share: str = ""
    url: str = ""
    alarming: bool = False

    @property
    def words(self) -> str:
        """The count as people read it."""
        return f"{self.count:,}"


@dataclass(frozen=True)
class Segment:
    """A part of the bar, in per cent of its length."""

    tone: str
    x: float
    width: float


def panel(campaign: Campaign, *, user: AbstractBaseUser | AnonymousUser, now: datetime) -> dict[str, Any]:
    """Everything the panel shows, for its template."""
    counts = reporting.stats(campaign.pk)
    sending = campaign.status == CampaignStatus.SENDING
    pace = overseeing.pace(campaign.pk, now=now) if sending else 0.0
    left = counts["waiting"] + counts["in_flight"]
    return {
        "campaign": campaign,
        "tone": TONES[CampaignStatus(campaign.status)],
        "counts": counts,
        "bar": list(segments(counts)),
        "percent": (counts["planned"] - left) * 100 // counts["planned"] if counts["planned"] else 0,
        "ledger": [_figure(campaign, name, counts) for name in reporting.LEDGER],
        "headline": f"{counts['sent']:,} of {counts['planned']:,} sent" if counts["planned"] else "Nothing has been sent yet",
        "story": _story(campaign),
        "verb": VERB.get(CampaignStatus(campaign.status), ""),
        "people": [_fact(name, counts) for name in _FACTS] + _not_attempted(counts),
        "skips": _skips(campaign) if counts["skipped"] else [],
        "speed": _speed(pace, left),
        "note": _note(campaign, pace, now) if sending else "",
        "advice": overseeing.advice(campaign.pause_reason) if campaign.status == CampaignStatus.PAUSED else "",
        "may_send": isinstance(user, PermissionsMixin) and user.has_perm("campaigns.send_campaign"),
        "live": sending,
    }


def live_headers(campaign: Campaign) -> dict[str, str]:
    """Whether, and after how many milliseconds, the script should ask for the panel again."""
    return {"X-Refresh-After": str(REFRESH_AFTER)} if campaign.status == CampaignStatus.SENDING else {}


def unfinished() -> list[dict[str, Any]]:
    """The campaigns that send, or are paused half-way, with their bars."""
    campaigns = list(overseeing.unfinished()[:_MOST_AT_ONCE])
    found = overseeing.progress([campaign.pk for campaign in campaigns])
    return [
        {
            "campaign": campaign,
            "tone": TONES[CampaignStatus(campaign.status)],
            "bar": short_bar(found[campaign.pk]),
        }
        for campaign in campaigns
    ]


def segments(counts: dict[str, int]) -> Iterator[Segment]:
    """The bar: what is settled, from good to bad; the rest stays empty."""
    x = 0.0
    for tone, names in {"sent": ("sent",), "bad": ("failed", "unknown"), "skipped": ("skipped",), "now": ("in_flight",)}.items():
        width = round(sum(counts[name] for name in names) * 100 / counts["planned"], 3) if counts["planned"] else 0.0
        if width:
            yield Segment(tone, round(x, 3), width)
        x += width


def short_bar(progress: Progress) -> dict[str, Any]:
    """The same for a list, where sent and not sent are enough."""
    if not progress.planned:
        return {"words": "Nobody yet", "segments": []}
    names = {"planned": progress.planned, "sent": progress.sent, "skipped": progress.settled - progress.sent}
    counts = dict.fromkeys(("failed", "unknown", "in_flight"), 0) | names
    return {"words": f"{progress.sent:,} / {progress.planned:,}", "segments": list(segments(counts))}


def duration(seconds: float) -> str:
    """A time span in the two units that matter: `2 min 33 s`."""
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def _figure(campaign: Campaign, name: str, counts: dict[str, int]) -> Figure:
    url = ""
    if name in _LISTED:
        query = urlencode({"campaign": str(campaign.pk), "status": _STATUS.get(name, name)})
        url = f"{reverse('admin:campaigns_emailsend_changelist')}?{query}"
    alarming = name in _ALARMING and counts[name] > 0
    return Figure(name.replace("_", " "), counts[name], _share(counts[name], counts["planned"]), url, alarming)


def _fact(name: str, counts: dict[str, int]) -> Figure:
    """A fact about people; the share of bounces and complaints is that of the mails which SES tried to deliver."""
    tried = counts["sent"] - counts["not_attempted"] if name in _OWN else counts["sent"]
    own = counts[_OWN.get(name, name)]
    return Figure(name, counts[name], _share(own, tried), alarming=name in _ALARMING and counts[name] > 0)


def _not_attempted(counts: dict[str, int]) -> list[Figure]:
    return [Figure("not attempted", counts["not_attempted"], "on a list of SES")] if counts["not_attempted"] else []


def _skips(campaign: Campaign) -> list[str]:
    return [f"{n:,} {SkipReason(reason).label.lower()}" for reason, n in reporting.skips(campaign.pk).items()]


def _story(campaign: Campaign) -> str:
    """Who did what with it, and when, in one line."""
    told = [f"made by {campaign.created_by}" if campaign.created_by else "", _moment("started", campaign.started_at)]
    told += [f"by {campaign.started_by}" if campaign.started_by else "", _moment("finished", campaign.finished_at)]
    return ", ".join(filter(None, told)).replace(", by", " by")


def _moment(what: str, at: datetime | None) -> str:
    return f"{what} {timezone.localtime(at):%-d %b %Y, %H:%M}" if at else ""


def _speed(pace: float, left: int) -> str:
    if not pace:
        return ""
    speed = f"{pace:.1f} a second" if pace < 100 else f"{pace:,.0f} a second"
    return f"{speed}, about {duration(left / pace)} left" if left else speed


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}".replace(".0%", "%") if whole and part else ""


def _note(campaign: Campaign, pace: float, now: datetime) -> str:
    """Why nothing moves, when nothing does."""
    if pace:
        return ""
    held = _held_by_noes() or _held_by_limit(now) or _held_by_quota(now)
    return held or _silent(campaign, now) or _out_of_reach(campaign, now) or "Starting: a worker takes it up in a moment."


def _held_by_noes() -> str:
    if not catching_up.is_behind():
        return ""
    return (
        "Requests to unsubscribe are kept on disk that PostgreSQL has not taken yet: nobody is written to before. "
        "Sending goes on by itself as soon as they are applied."
    )


def _held_by_limit(now: datetime) -> str:
    limit = settings.CAMPAIGN_DAILY_LIMIT
    if not limit or dispatching.left_today(limit, now=now):
        return ""
    return (
        f"The limit of {limit:,} mails in 24 hours (CAMPAIGN_DAILY_LIMIT) is used up. "
        "Sending goes on by itself as soon as there is room."
    )


def _held_by_quota(now: datetime) -> str:
    called_since = reporting.called_since
    if quota.left_for_outreach(rate=pacing.allowed_rate(), now=now, sent_since=called_since) != 0:
        return ""
    used = quota.usage(now=now, sent_since=called_since)
    if used is None:
        return ""
    kept = f"{settings.TRANSACTIONAL_SHARE:.1%}".replace(".0%", "%")
    return (
        f"SES allows {used.limit:,.0f} mails in 24 hours, and {used.used:,.0f} are used; "
        f"{kept} of them are kept for transactional mail (TRANSACTIONAL_SHARE). "
        "Sending goes on by itself as soon as there is room in this quota."
    )


def _silent(campaign: Campaign, now: datetime) -> str:
    if not campaign.loop_seen_at or now - campaign.loop_seen_at <= _WORKER_SILENT_AFTER:
        return ""
    silence = duration((now - campaign.loop_seen_at).total_seconds())
    return f"No worker has reported for {silence}. Is a Celery worker running? Sending goes on as soon as one is."


def _out_of_reach(campaign: Campaign, now: datetime) -> str:
    # What came back before a pause says nothing about now.
    if campaign.sending_since and now - campaign.sending_since < _JUST_STARTED:
        return ""
    error = overseeing.trouble(campaign.pk)
    if not error:
        return ""
    if not _NO_ANSWER.match(error):
        return f"No mail leaves now: {error[:300].rstrip('. ')}. {_GOES_ON}"
    pauses = f"After {settings.CAMPAIGN_PAUSE_UNREACHED:,} tries in a row without success the campaign pauses."
    return f"SES cannot be reached: {error[:300].rstrip('. ')}. {_GOES_ON} {pauses}"
