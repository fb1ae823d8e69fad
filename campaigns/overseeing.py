"""What somebody who watches campaigns asks: how far, how fast, how long still, whom would it reach, what now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet

from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.models import ACCEPTED, SETTLED, DeliveryStatus, Suppression
from prospects.models import Prospect, ProspectStatus

_WINDOW = timedelta(seconds=60)
_NEXT = 200

# What to do about a pause, by a word of its reason; the first that fits.
_ADVICE = (
    ("Paused by", "Whoever has not got the mail yet keeps waiting. Resume when you are ready: nobody gets it twice."),
    (
        "the same error",
        "Mend what the error names, then resume: those who are left get their mail.",
    ),
    ("could not be reached", "Whoever has not got the mail yet keeps waiting: nobody gets it twice, and nobody is lost."),
    ("did not answer", "Wait until SES and the network are well, then resume. The unknown mails are yours to decide about."),
    (
        "have bounced",
        "Suppress or delete old and made-up addresses, or narrow the audience, then resume: it counts anew from there.",
    ),
    ("reported the mail", "Suppress or delete whoever did not ask for it, or narrow the audience, then resume."),
    ("quota", "SES counts a rolling 24 hours. Resume when there is room again, or ask AWS for a higher quota."),
    ("Sending is paused", "Look at bounces and complaints in the SES console, switch sending on again there, then resume."),
    ("dedicated IP pool", "Correct the pool of the configuration set in SES, then resume."),
    ("configuration set", "Correct SES_CONFIGURATION_SET, restart the workers, then resume."),
    ("sandbox", "Verify the sender in SES, or ask AWS for production access; then resume."),
    ("not verified", "Verify the sender's domain in SES; then resume."),
    ("suspended", "Open the SES console: AWS tells there why, and what it wants to hear. Then resume."),
    ("clock", "Give the workers working AWS credentials, look at this machine's clock, then resume."),
    ("credentials", "Give the workers working AWS credentials and restart them; then resume."),
    ("endpoint of SES", "Correct SES_REGION (and AWS_ENDPOINT_URL), restart the workers, then resume."),
    ("secret key", "Give the workers working AWS credentials and restart them; then resume."),
)
_OTHER_ADVICE = "Run `manage.py ses_doctor`: it says what keeps mail from leaving. Then resume: nobody gets it twice."


@dataclass(frozen=True)
class Progress:
    """How many rows a campaign has, how many of them SES accepted, and how many need no more work."""

    planned: int = 0
    sent: int = 0
    settled: int = 0


@dataclass(frozen=True)
class Reach:
    """Whom starting a campaign now would add, and how many of those are suppressed and get skipped."""

    people: int
    suppressed: int


def progress(campaign_ids: Collection[int]) -> dict[int, Progress]:
    """The progress of a page's campaigns, in one query over an index that holds both columns."""
    counts: dict[int, dict[str, int]] = {pk: {} for pk in campaign_ids}
    rows = EmailSend.objects.filter(campaign__in=campaign_ids).values_list("campaign", "status").annotate(n=Count("*"))
    for campaign_id, status, n in rows.order_by():
        counts[campaign_id][status] = n
    return {pk: _progress(by_status) for pk, by_status in counts.items()}


def unfinished() -> QuerySet[Campaign]:
    """Campaigns that send, or are paused half-way; the latest first."""
    live = [CampaignStatus.SENDING, CampaignStatus.PAUSED]
    return Campaign.objects.filter(status__in=live).order_by(F("started_at").desc(nulls_last=True))


def pace(campaign_id: int, *, now: datetime) -> float:
    """Mails a second over the last minute, or since the first of them; 0 when none left in it."""
    recent = EmailSend.objects.filter(campaign=campaign_id, call_started_at__gt=now - _WINDOW, call_started_at__lte=now)
    # A call under way may reach nobody, and the next one too.
    found = recent.exclude(status=DeliveryStatus.SENDING).aggregate(n=Count("*"), first=Min("call_started_at"))
    if found["n"] < 2:
        return 0.0
    return float((found["n"] - 1) / max(1.0, (now - found["first"]).total_seconds()))


def trouble(campaign_id: int) -> str:
    """Why the mails that go next came back unsent from their last call; empty when none did.

    Waiting mails are taken in the order of their ids, so whatever came back lies among the first.
    """
    sends = EmailSend.objects.filter(campaign=campaign_id)
    under_way = sends.filter(status=DeliveryStatus.SENDING).exclude(error="").values_list("error", flat=True)[:1]
    waiting = sends.filter(status=DeliveryStatus.QUEUED).order_by("pk").values_list("error", flat=True)[:_NEXT]
    return next(filter(None, chain(under_way, waiting)), "")


def reach(campaign: Campaign) -> Reach:
    """Whom starting (or resuming, or running again) would plan in addition; the rule of `enrolling`."""
    rows = EmailSend.objects.filter(campaign=campaign)
    nobody_twice = ~Exists(rows.filter(prospect=OuterRef("pk"))), ~Exists(rows.filter(email=OuterRef("email")))
    people = _audience(campaign).filter(*nobody_twice)
    suppressed = people.filter(email__in=Suppression.objects.values("email"))
    return Reach(people=people.count(), suppressed=suppressed.count())


def advice(pause_reason: str) -> str:
    """What a person can do about a pause."""
    return next((advice for word, advice in _ADVICE if word in pause_reason), _OTHER_ADVICE)


def _audience(campaign: Campaign) -> QuerySet[Prospect]:
    include, exclude = (campaign.audience.get(name, []) for name in ("include_tags", "exclude_tags"))
    audience = Prospect.objects.filter(status=ProspectStatus.ACTIVE)
    if include:
        audience = audience.filter(tags__overlap=include)
    return audience.filter(~Q(tags__overlap=exclude)) if exclude else audience


def _progress(counts: dict[str, int]) -> Progress:
    return Progress(
        planned=sum(counts.values()),
        sent=sum(n for status, n in counts.items() if DeliveryStatus(status) in ACCEPTED),
        settled=sum(n for status, n in counts.items() if DeliveryStatus(status) in SETTLED),
    )
