"""Alarms: what must not be, watched all the same, and what somebody should look at.

`find_alarms` only reads, and is bounded: recent rows, few campaigns, partial indexes, counts that stop where the
answer is known. `watch` logs each alarm once when it begins and once when it ends; the row of an alarm that goes on
is unique in the database, so any number of processes may watch.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from campaigns import lifecycle, reporting, tracking
from campaigns.models import Campaign, CampaignStatus, EmailSend, RaisedAlarm, SendAttempt
from notifications import quota as ses_quota
from notifications.models import ACCEPTED, DeliveryStatus, EmailEvent

log = structlog.get_logger("campaigns")

NAMES = ("address_twice", "ledger_out_of_balance", "no_progress", "paused_by_itself", "unknown_share", "quota_nearly_used")

STANDSTILL = timedelta(minutes=2)
UNKNOWN_SHARE = 0.001
QUOTA_SHARE = 0.9

_RECENT = timedelta(minutes=2)
_RECENT_EVENTS = timedelta(minutes=10)
_A_DAY = timedelta(hours=24)
_A_WEEK = timedelta(days=7)
_MOST_CAMPAIGNS = 500
_MOST_BALANCED = 20
_MOST_EVENTS = 1_000
_NAMED = 10
_CALLED = ACCEPTED | {DeliveryStatus.FAILED, DeliveryStatus.UNKNOWN}

# Exactly the same address twice is refused by the database: what is left is another spelling of it.
_TWICE = """
WITH recent AS (
    SELECT id, campaign_id, email FROM email_sends
     WHERE call_started_at > %(since)s AND call_started_at IS NOT NULL ORDER BY call_started_at DESC LIMIT 50000
)
SELECT r.campaign_id, r.id
  FROM recent r JOIN email_sends o
    ON o.campaign_id = r.campaign_id AND o.email = lower(r.email) AND o.id <> r.id AND o.call_started_at IS NOT NULL
 WHERE r.email <> lower(r.email)
UNION
SELECT campaign_id, max(id) FROM recent GROUP BY campaign_id, lower(email) HAVING count(*) > 1
"""


class Quota(Protocol):
    """What SES allows in a rolling 24 hours, and how much of it is used; a negative limit is none."""

    @property
    def used(self) -> float: ...
    @property
    def limit(self) -> float: ...


@dataclass(frozen=True)
class Alarm:
    """Something to look at: its name, the campaign if it is about one, and the facts (ids and figures, no addresses)."""

    name: str
    campaign_id: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What makes it the same alarm at the next look."""
        return self.name if self.campaign_id is None else f"{self.name}:{self.campaign_id}"


def find_alarms(*, now: datetime, quota: Quota | None = None) -> list[Alarm]:
    """Everything that is wrong now. Changes nothing."""
    return [
        *_address_twice(now),
        *_out_of_balance(now),
        *_no_progress(now, quota),
        *_paused_by_itself(now),
        *_unknown_share(now),
        *_quota_nearly_used(quota),
    ]


def watch(*, now: datetime, quota: Quota | None = None) -> list[Alarm]:
    """Log the alarms that began (`alarm`) and those that ended (`alarm_cleared`) since the last look; returns all."""
    alarms = find_alarms(now=now, quota=quota)
    for alarm in alarms:
        row = {"name": alarm.name, "campaign_id": alarm.campaign_id, "facts": alarm.facts, "raised_at": now}
        if RaisedAlarm.objects.get_or_create(key=alarm.key, defaults=row)[1]:
            log.error("alarm", alarm=alarm.name, campaign_id=alarm.campaign_id, **alarm.facts)
    for raised in RaisedAlarm.objects.exclude(key__in=[alarm.key for alarm in alarms]):
        # Whoever removes the row says so.
        if RaisedAlarm.objects.filter(pk=raised.pk).delete()[0]:
            lasted = round((now - raised.raised_at).total_seconds())
            log.info("alarm_cleared", alarm=raised.name, campaign_id=raised.campaign_id, seconds=lasted)
    return alarms


def raised(*, now: datetime) -> "QuerySet[RaisedAlarm]":
    """The alarms that go on, as `watch` last saw them half a minute ago at most: rows with a `name`."""
    return RaisedAlarm.objects.all()


def _address_twice(now: datetime) -> Iterator[Alarm]:
    """The same person mailed twice by one campaign, by our rows or by what SES tells of."""
    found: dict[int, set[int]] = {}
    for campaign_id, send_id in [*_spelt_twice(now), *_accepted_twice(now), *_left_twice(now)]:
        found.setdefault(campaign_id, set()).add(send_id)
    for campaign_id, sends in sorted(found.items()):
        yield Alarm("address_twice", campaign_id, {"count": len(sends), "sends": sorted(sends)[:_NAMED]})


def _spelt_twice(now: datetime) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(_TWICE, {"since": now - _RECENT})
        return [(campaign_id, send_id) for campaign_id, send_id in cursor.fetchall()]


def _accepted_twice(now: datetime) -> Iterator[tuple[int, int]]:
    """Parked events that carry the tag of a send and the id of a mail that the send does not know: a second mail."""
    recent = EmailEvent.objects.filter(received_at__gt=now - _RECENT_EVENTS, state=EmailEvent.State.PARKED)
    parked = recent.exclude(send_id="").order_by("-received_at").values_list("send_id", "message_id")[:_MOST_EVENTS]
    tags = [(tag, message_id) for send_id, message_id in parked if (tag := tracking.parse_tag(send_id))]
    sends = EmailSend.objects.filter(pk__in={tag[1] for tag, _ in tags}).select_related("campaign") if tags else ()
    known = {(send.campaign.key, send.pk): send for send in sends}
    for (key, pk, attempt), message_id in tags:
        send = known.get((key, pk))
        if send and attempt <= send.attempt and send.message_id not in {"", message_id}:
            yield send.campaign_id, send.pk


def _left_twice(now: datetime) -> "QuerySet[Any]":
    """Sends that a person had sent again, and both mails left: a person's decision, and still two mails."""
    left = SendAttempt.objects.filter(sent_at__gt=now - _A_DAY, send__sent_at__isnull=False)
    twice = left.exclude(send__message_id="").exclude(send__message_id=F("message_id"))
    return twice.values_list("send__campaign_id", "send_id")[:_MOST_EVENTS]


def _out_of_balance(now: datetime) -> Iterator[Alarm]:
    lately = Q(status=CampaignStatus.SENDING) | Q(status=CampaignStatus.SENT, finished_at__gt=now - timedelta(hours=1))
    for campaign in Campaign.objects.filter(lately).order_by("-pk")[:_MOST_BALANCED]:
        account = reporting.ledger(campaign.pk)
        if account["planned"] != sum(account[name] for name in reporting.LEDGER) or _left_behind(campaign, account):
            yield Alarm("ledger_out_of_balance", campaign.pk, account)
        elif campaign.enrolled not in {None, account["planned"]} and (counted := _counted_otherwise(campaign)):
            yield Alarm("ledger_out_of_balance", campaign.pk, account | counted)


def _counted_otherwise(campaign: Campaign) -> dict[str, int]:
    """How many rows enrolment made, and how many there are, if that differs: somebody was lost, or nobody planned them."""
    rows = EmailSend.objects.filter(campaign=OuterRef("pk")).order_by().values("campaign").annotate(n=Count("*")).values("n")
    # In one statement, for it may be enrolling at this moment.
    both = Campaign.objects.filter(pk=campaign.pk).annotate(rows=Coalesce(Subquery(rows), 0)).values_list("enrolled", "rows")
    return next(({"enrolled": made, "planned": there} for made, there in both if made not in {None, there}), {})


def _left_behind(campaign: Campaign, account: dict[str, int]) -> bool:
    """Whether people still wait in a campaign that was finished, and that nobody has taken up again meanwhile."""
    waits = campaign.status == CampaignStatus.SENT and account["waiting"] + account["in_flight"] > 0
    return waits and Campaign.objects.filter(pk=campaign.pk, status=CampaignStatus.SENT).exists()


def _no_progress(now: datetime, quota: Quota | None) -> Iterator[Alarm]:
    oldest_first = F("loop_seen_at").asc(nulls_first=True)
    sending = list(Campaign.objects.filter(status=CampaignStatus.SENDING).order_by(oldest_first)[:_MOST_CAMPAIGNS])
    # At a very slow pace even a campaign that is well may have to wait for its slot.
    patience = max(STANDSTILL, timedelta(seconds=3 * len(sending) / settings.SES_MAX_SEND_RATE))
    for campaign in sending:
        since = campaign.sending_since or campaign.started_at or now
        if now - since > patience and _stands_still(campaign, now - patience) and not _held(now, quota):
            seen = campaign.loop_seen_at.isoformat() if campaign.loop_seen_at else ""
            yield Alarm("no_progress", campaign.pk, {"seconds": round(patience.total_seconds()), "loop_seen_at": seen})


def _paused_by_itself(now: datetime) -> Iterator[Alarm]:
    """What a machine paused waits for a person; after a week nobody wants to hear of it any more."""
    by_a_person = Q(pause_reason="") | Q(pause_reason__startswith=lifecycle.PAUSED_BY)
    paused = Campaign.objects.filter(~by_a_person, status=CampaignStatus.PAUSED, updated_at__gt=now - _A_WEEK)
    for campaign_id, since in paused.order_by("-pk").values_list("pk", "updated_at")[:_MOST_CAMPAIGNS]:
        yield Alarm("paused_by_itself", campaign_id, {"since": since.isoformat()})


def _stands_still(campaign: Campaign, since: datetime) -> bool:
    """Whether nobody was skipped since, and no call that was begun since has ended with an answer, or none.

    Something is left to do: a campaign of which all is settled would have been finished long ago.
    """
    sends = EmailSend.objects.filter(campaign=campaign)
    # A call under way is no progress yet: with SES out of reach there is one most of the time.
    if sends.filter(call_started_at__gt=since).exclude(status=DeliveryStatus.SENDING).exists():
        return False
    if sends.filter(status=DeliveryStatus.SKIPPED, skipped_at__gt=since).exists():
        return False
    if campaign.enrolled_through is not None:
        return campaign.loop_seen_at is None or campaign.loop_seen_at < since
    return True


def _held(now: datetime, quota: Quota | None) -> bool:
    """Whether a limit of 24 hours, of SES or our own, holds everything back, as it should."""
    # Less than one mail: from `QUOTA_SHARE` on an alarm says so, but campaigns go on until nothing is left for them.
    if quota and quota.limit > 0 and ses_quota.for_outreach(quota.limit) - quota.used < 1:
        return True
    limit = settings.CAMPAIGN_DAILY_LIMIT
    return limit is not None and _called_today(limit, now) >= limit


def _called_today(limit: int, now: datetime) -> int:
    """How many calls, of earlier attempts too, were started in the last 24 hours; counted no further than needed."""
    return sum(table.objects.filter(call_started_at__gt=now - _A_DAY)[:limit].count() for table in (EmailSend, SendAttempt))


def _unknown_share(now: datetime) -> Iterator[Alarm]:
    live = Q(status__in=[CampaignStatus.SENDING, CampaignStatus.PAUSED]) | Q(finished_at__gt=now - _A_DAY)
    for campaign_id, unknown in sorted(_unknown(Campaign.objects.filter(live)).items()):
        enough = round(unknown / UNKNOWN_SHARE)
        called = EmailSend.objects.filter(campaign=campaign_id, status__in=_CALLED)[:enough].count()
        if unknown > UNKNOWN_SHARE * called:
            yield Alarm("unknown_share", campaign_id, {"unknown": unknown, "called": called, "share": round(unknown / called, 4)})


def _unknown(campaigns: "QuerySet[Campaign]") -> Counter[int]:
    # By the index of the few rows that ever were unknown, however many campaigns there are.
    rows = EmailSend.objects.filter(campaign__in=campaigns, status=DeliveryStatus.UNKNOWN, unknown_at__isnull=False)
    return Counter(dict(rows.values_list("campaign").annotate(n=Count("*")).order_by()))


def _quota_nearly_used(quota: Quota | None) -> Iterator[Alarm]:
    if quota and _is_nearly_used(quota):
        facts = {"used": quota.used, "limit": quota.limit, "share": round(quota.used / quota.limit, 3)}
        yield Alarm("quota_nearly_used", facts=facts)


def _is_nearly_used(quota: Quota) -> bool:
    return quota.limit > 0 and quota.used >= QUOTA_SHARE * quota.limit
