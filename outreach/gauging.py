"""What the database knows, as numbers for `/metrics`: right on any machine, and cheap at any size.

Each question is one short read with a time limit. Its answer is shared by all processes through the cache and
kept for twenty times as long as it took, three seconds at least: asking costs a twentieth of one core at most.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, QuerySet, Sum

from campaigns.models import Campaign, CampaignStatus, EmailSend, SendAttempt
from notifications import pacing
from notifications.models import Delivery, DeliveryStatus, EmailEvent, SendPace, Suppression, SuppressionReason
from outreach import alarms
from prospects.models import ProspectImport

log = structlog.get_logger("outreach")

Sample = tuple[str, dict[str, str], float]

# Every gauge and its help; an answer may name no other.
HELP = {
    "outreach_ledger_rows": "Rows of the ledger by status; kind is outreach or transactional.",
    "outreach_queue_depth": "What waits or is under way, by queue and state.",
    "outreach_oldest_waiting_seconds": "Age of the oldest row that waits and may go now; 0 when none waits.",
    "outreach_pace_allowed_mails_per_second": "Mails a second that may leave, over all workers.",
    "outreach_pace_used_mails_per_second": "Mails a second that left, over the last minute and all workers.",
    "outreach_quota_used_mails": "Mails whose call to SES began within the last 24 hours.",
    "outreach_quota_limit_mails": "Mails that may leave within 24 hours: the account's quota or CAMPAIGN_DAILY_LIMIT.",
    "outreach_events_unmatched": "Events parked because they are about a mail that is not known (yet).",
    "outreach_suppressions": "Addresses on the suppression list, by reason.",
    "outreach_campaigns": "Campaigns by status.",
    "outreach_imports": "Imports by state.",
    "outreach_alarm": "How often an alarm rings now; 0 is silence.",
}
# The same for what only grows.
COUNTER_HELP = {"outreach_import_rows": "Rows of imported files, by what became of them."}

_TIME_LIMIT = "3s"
_KEEP_AT_LEAST = 3.0  # seconds
_KEEP_TIMES = 20.0  # as long as it took
_IMPORT_OUTCOMES = ("created", "updated", "unchanged", "invalid", "duplicate", "suppressed")


def answers(now: datetime) -> tuple[list[Sample], list[str]]:
    """Every sample, and the names of the questions that could not be answered. Never raises a database error."""
    samples: list[Sample] = []
    failed: list[str] = []
    for name, ask in QUESTIONS.items():
        try:
            samples += _cached(name, ask, now)
        except DatabaseError as error:
            log.warning("metrics_question_failed", question=name, error=type(error).__name__)
            failed.append(name)
    return samples, failed


def _cached(name: str, ask: Callable[[datetime], Iterator[Sample]], now: datetime) -> list[Sample]:
    key = f"metrics:{name}"
    if kept := _remembered(key):
        return [(metric, labels, value) for metric, labels, value in kept]
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_TIME_LIMIT])
        samples = list(ask(now))
    try:
        cache.set(key, samples, timeout=max(_KEEP_AT_LEAST, _KEEP_TIMES * (time.monotonic() - began)))
    except Exception as error:
        log.warning("metrics_not_cached", error=type(error).__name__)
    return samples


def _remembered(key: str) -> Any:
    try:
        return cache.get(key)
    except Exception:
        # Without Redis every scrape asks the database itself.
        return None


def _ledgers() -> dict[str, Any]:
    """The tables that keep the ledger of mails, by kind."""
    tables = [model for model in apps.get_models() if issubclass(model, Delivery)]
    return {"outreach" if model is EmailSend else "transactional": cast("Any", model).objects for model in tables}


def _count_by(rows: "QuerySet[Any]", field: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(field).annotate(n=Count("*")))


def _rows(_now: datetime) -> Iterator[Sample]:
    for kind, table in _ledgers().items():
        found = _count_by(table.all(), "status")
        for status in DeliveryStatus.values:
            yield "outreach_ledger_rows", {"kind": kind, "status": status}, found.get(status, 0)
        for state, status in (("waiting", DeliveryStatus.QUEUED), ("in_flight", DeliveryStatus.SENDING)):
            yield "outreach_queue_depth", {"queue": kind, "state": state}, found.get(status, 0)


def _oldest(now: datetime) -> Iterator[Sample]:
    sending = Campaign.objects.filter(status=CampaignStatus.SENDING).values_list("pk", flat=True)
    for kind, table in _ledgers().items():
        waiting = table.filter(status=DeliveryStatus.QUEUED).order_by("id")
        # The first by id of each campaign that sends: one step into the index of waiting rows for each.
        firsts = [waiting.filter(campaign=pk) for pk in sending] if kind == "outreach" else [waiting]
        since = [row.created_at for rows in firsts for row in rows.only("created_at")[:1]]
        yield "outreach_oldest_waiting_seconds", {"queue": kind}, _age(since, now)
    pending = EmailEvent.objects.filter(state=EmailEvent.State.PENDING).order_by("id")
    yield "outreach_oldest_waiting_seconds", {"queue": "events"}, _age(pending.values_list("received_at", flat=True)[:1], now)
    queued = ProspectImport.objects.filter(state=ProspectImport.State.QUEUED).order_by("id")
    yield "outreach_oldest_waiting_seconds", {"queue": "imports"}, _age(queued.values_list("created_at", flat=True)[:1], now)


def _age(moments: Any, now: datetime) -> float:
    return max((max(0.0, (now - moment).total_seconds()) for moment in moments), default=0.0)


def _calls_since(now: datetime, span: timedelta) -> int:
    # Earlier attempts too: they may have left.
    tables = [*_ledgers().values(), SendAttempt.objects.all()]
    return sum(table.filter(call_started_at__gt=now - span).count() for table in tables)


def _pace(now: datetime) -> Iterator[Sample]:
    yield "outreach_pace_allowed_mails_per_second", {}, pacing.allowed_rate()
    yield "outreach_pace_used_mails_per_second", {}, _calls_since(now, timedelta(seconds=60)) / 60


def _quota(now: datetime) -> Iterator[Sample]:
    yield "outreach_quota_used_mails", {}, _calls_since(now, timedelta(hours=24))
    account = SendPace.objects.filter(pk=1).values_list("account_quota", flat=True).first()
    for limit, value in (("account", account), ("campaigns", settings.CAMPAIGN_DAILY_LIMIT)):
        if value is not None:
            yield "outreach_quota_limit_mails", {"limit": limit}, value


def _events(_now: datetime) -> Iterator[Sample]:
    for queue_state in (EmailEvent.State.PENDING, EmailEvent.State.PARKED):
        count = EmailEvent.objects.filter(state=queue_state).count()
        if queue_state == EmailEvent.State.PARKED:
            yield "outreach_events_unmatched", {}, count
        else:
            yield "outreach_queue_depth", {"queue": "events", "state": "waiting"}, count


def _suppressions(_now: datetime) -> Iterator[Sample]:
    found = _count_by(Suppression.objects.all(), "reason")
    for reason in SuppressionReason.values:
        yield "outreach_suppressions", {"reason": reason}, found.get(reason, 0)


def _campaigns(_now: datetime) -> Iterator[Sample]:
    found = _count_by(Campaign.objects.all(), "status")
    for status in CampaignStatus.values:
        yield "outreach_campaigns", {"status": status}, found.get(status, 0)


def _imports(_now: datetime) -> Iterator[Sample]:
    sums = ProspectImport.objects.aggregate(**{f"all_{name}": Sum(name, default=0) for name in _IMPORT_OUTCOMES})
    for name in _IMPORT_OUTCOMES:
        yield "outreach_import_rows", {"outcome": name}, sums[f"all_{name}"]
    found = _count_by(ProspectImport.objects.all(), "state")
    for state in ProspectImport.State.values:
        yield "outreach_imports", {"state": state}, found.get(state, 0)
    for state, word in ((ProspectImport.State.QUEUED, "waiting"), (ProspectImport.State.RUNNING, "in_flight")):
        yield "outreach_queue_depth", {"queue": "imports", "state": word}, found.get(state, 0)


def _alarms(now: datetime) -> Iterator[Sample]:
    for name, count in alarms.ringing(now).items():
        yield "outreach_alarm", {"name": name}, count


QUESTIONS: dict[str, Callable[[datetime], Iterator[Sample]]] = {
    "rows": _rows,
    "oldest": _oldest,
    "pace": _pace,
    "quota": _quota,
    "events": _events,
    "suppressions": _suppressions,
    "campaigns": _campaigns,
    "imports": _imports,
    "alarms": _alarms,
}
