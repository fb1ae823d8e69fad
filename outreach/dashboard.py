"""The first page of the admin: what sends now, what left and came in, what waits for somebody."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from campaigns import watching_events
from campaigns.models import EmailSend
from campaigns.panels import unfinished
from notifications.models import DeliveryStatus, EmailEvent, Suppression

# A count that stops here costs the same on any table.
_MOST = 100_000
_DAY = timedelta(hours=24)


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: add the cards that this person may see."""
    now, may = timezone.now(), request.user.has_perm
    if may("campaigns.view_campaign"):
        context["campaigns"] = unfinished()
    cards: list[tuple[str, str, str]] = []
    if may("campaigns.view_emailsend"):
        cards += _about_sends(now)
    if may("notifications.view_suppression"):
        cards.append(_card("Suppressed in 24 hours", Suppression.objects.filter(suppressed_at__gt=now - _DAY), ""))
    if may("notifications.view_emailevent"):
        cards += _about_events()
        context["events"] = EmailEvent.objects.defer("body").order_by("-received_at")[:8]
    return context | {"cards": cards, "EMAIL_MODE": settings.EMAIL_MODE}


def environment(request: HttpRequest) -> list[str]:
    """The badge in the head of every page: whether mail really leaves."""
    if settings.SES_IS_SIMULATED:
        return ["SES simulator", "info"]
    return ["SES", "success"] if settings.EMAIL_MODE == "ses" else ["Log mode", "warning"]


def _about_sends(now: datetime) -> list[tuple[str, str, str]]:
    sends = EmailSend.objects.all()
    return [
        _card("Sent in 24 hours", sends.filter(call_started_at__gt=now - _DAY, sent_at__isnull=False), ""),
        _card("No word from SES", watching_events.without_final_event(now=now), "campaigns_emailsend", "final_event=missing"),
        _card("Waiting to be sent", sends.filter(status=DeliveryStatus.QUEUED), "campaigns_emailsend", "status=queued"),
    ]


def _about_events() -> list[tuple[str, str, str]]:
    events, name = EmailEvent.objects.all(), "notifications_emailevent"
    return [
        _card("Events to apply", events.filter(state=EmailEvent.State.PENDING), name, "state=pending"),
        _card("Parked events", events.filter(state=EmailEvent.State.PARKED), name, "state=parked"),
    ]


def _card(title: str, rows: QuerySet[Any], page: str, query: str = "") -> tuple[str, str, str]:
    n = rows.order_by()[: _MOST + 1].count()
    url = f"{reverse(f'admin:{page}_changelist')}?{query}" if page else ""
    return title, f"{_MOST:,}+" if n > _MOST else f"{n:,}", url
