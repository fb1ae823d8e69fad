"""The two webhooks: verify, store, answer. Everything else happens later.

Plain views, because DRF would parse the body, ask for other credentials and answer in other shapes;
and SNS posts its JSON as text/plain, which DRF answers with 415, so that SNS never sends it again.
"""

from collections.abc import Callable
from datetime import datetime

import structlog
from django.conf import settings
from django.db import InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from notifications import eventbridge, measuring, recording, sending_status, sns, subscriptions, waking
from notifications.models import EmailEvent
from notifications.ses_events import NotAnEvent, SesEvent
from outreach import outages, reaching
from outreach.errors import DomainError

log = structlog.get_logger("notifications")

Route = EmailEvent.Route
# EventBridge's own limit was 256 KB for years, SNS has the same; an event of SES has some 3 KB.
_TOO_LARGE = 1_000_000


class MethodNotAllowed(DomainError):
    """Events are posted."""

    code = "METHOD_NOT_ALLOWED"
    status = 405


class EventTooLarge(DomainError):
    """The event is larger than 1 MB."""

    code = "BODY_TOO_LARGE"
    status = 413


@csrf_exempt
def ses_events(request: HttpRequest) -> JsonResponse:
    """`POST /api/webhooks/ses-events`, for EventBridge: 200 when the event is stored for good and a worker can hear of it."""
    return _answer(request, Route.EVENTBRIDGE, _take_from_eventbridge)


@csrf_exempt
def ses_events_by_sns(request: HttpRequest) -> JsonResponse:
    """`POST /v1/notifications/ses-events`, for SNS: 200 when the event is stored for good and a worker can hear of it."""
    return _answer(request, Route.SNS, _take_from_sns)


def _answer(request: HttpRequest, route: Route, take: Callable[[HttpRequest, datetime], str]) -> JsonResponse:
    try:
        if request.method != "POST":
            raise MethodNotAllowed
        taken = take(request, timezone.now())
        # Last: the event is stored by now, and comes again without a second effect.
        reaching.require_redis()
        return JsonResponse({"status": taken})
    except DomainError as error:
        return _refuse(error, route)
    except (OperationalError, InterfaceError, InternalError):  # the last: read-only, in the middle of a failover
        return _refuse(outages.DatabaseUnavailable(), route)


def _take_from_eventbridge(request: HttpRequest, now: datetime) -> str:
    eventbridge.check_secret(request.headers.get("X-Webhook-Secret", ""), secrets=settings.SES_WEBHOOK_SECRETS)
    body = _body(request)
    event = eventbridge.read(body, received_at=now)
    stored = _store(event, Route.EVENTBRIDGE, body, now)
    sending_status.heed(event, body=body, now=now)
    return stored


def _take_from_sns(request: HttpRequest, now: datetime) -> str:
    if request.headers.get("X-Amz-Sns-Rawdelivery", "").lower() == "true":
        raise sns.RawDelivery
    body = _body(request)
    message = sns.parse(body)
    sns.verify(
        message,
        topic_arns=settings.SES_SNS_TOPIC_ARNS,
        least_version=settings.SES_SNS_LEAST_SIGNATURE_VERSION,
        now=now,
    )
    if message.type is not sns.MessageType.NOTIFICATION:
        return subscriptions.heed(message)
    return _store(sns.read_event(message, received_at=now), Route.SNS, body, now)


def _store(event: SesEvent, route: Route, body: bytes, now: datetime) -> str:
    stored = recording.store(event, route=route, body=body, received_at=now)
    if stored is recording.Stored.STORED:
        waking.apply_events_soon()
    return stored


def _body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length[:20]) >= _TOO_LARGE:
        raise EventTooLarge
    try:
        body = request.body
    except UnreadablePostError as error:
        raise NotAnEvent("The body broke off.") from error
    if len(body) >= _TOO_LARGE:
        raise EventTooLarge
    return body


def _refuse(error: DomainError, route: Route) -> JsonResponse:
    """The one shape of errors (drf-standardized-errors), and what the status code asks for besides."""
    log.warning("webhook_refused", route=str(route), code=error.code, reason=error.detail)
    measuring.count_refusal(route, error.code)
    kind = "server_error" if error.status >= 500 else "client_error"
    body = {"type": kind, "errors": [{"code": error.code, "detail": error.detail, "attr": error.attr}]}
    headers = {
        401: {"WWW-Authenticate": 'X-Webhook-Secret realm="ses-events"'},
        405: {"Allow": "POST"},
        503: {"Retry-After": "10"},
    }
    # RFC 9110, 15.1: caches may keep a 405 without being asked to.
    return JsonResponse(body, status=error.status, headers={"Cache-Control": "no-store"} | headers.get(error.status, {}))
