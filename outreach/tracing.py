"""Which request and which task a log line belongs to, in the web process, through the broker, in the worker.

django-structlog binds `request_id` and `task_id`; this module decides what else goes along.
"""

import time
from typing import Any

import structlog
from celery.signals import worker_init
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django_structlog import signals
from django_structlog.celery.receivers import CeleryReceiver
from django_structlog.celery.signals import modify_context_before_task_publish

from outreach import clients

# A task's line names the request that asked for it and the task that published it; whoever asked is on the request's line.
_TRAVELS = frozenset({"request_id", "parent_task_id"})

tasks = CeleryReceiver()


def connect() -> None:
    """Let every published task take the ids along, and every worker bind them."""
    tasks.connect_signals()
    worker_init.connect(_bind_in_worker)


def _bind_in_worker(**_: Any) -> None:
    tasks.connect_worker_signals()


@receiver(signals.bind_extra_request_metadata)
def bind_client(request: HttpRequest, **_: Any) -> None:
    """The client as `clients` knows it: django-structlog would believe any header."""
    structlog.contextvars.bind_contextvars(ip=str(clients.address(request) or ""))
    request.META["outreach.began"] = time.monotonic()


@receiver(signals.bind_extra_request_finished_metadata)
def add_outcome(request: HttpRequest, response: HttpResponse, log_kwargs: dict[str, Any], **_: Any) -> None:
    """Duration and user on the finished line; the id goes back to the caller, who may quote it to us."""
    log_kwargs["duration_ms"] = round((time.monotonic() - request.META["outreach.began"]) * 1000)
    if user := _user(request):
        log_kwargs["user"] = user
    if error := request.META.get("outreach.error"):
        log_kwargs["error"] = error
    response.headers["X-Request-ID"] = structlog.contextvars.get_contextvars().get("request_id", "")


def note_error(request: HttpRequest, response: HttpResponse, error: BaseException) -> None:
    """What went wrong goes onto the request's own line, which then is the only one; in an outage there are many, all alike."""
    request.META["outreach.error"] = f"{type(error).__name__}: {error}"[:300]
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django's mark for its own line


@receiver(modify_context_before_task_publish)
def send_ids_only(context: dict[str, Any], **_: Any) -> None:
    """The broker gets ids, never a client's address."""
    for name in set(context) - _TRAVELS:
        del context[name]


def _user(request: HttpRequest) -> str:
    """The user's id or the service's name, if anybody asked for it: a log line is no reason to ask the database."""
    user = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        user = getattr(request, "_cached_user", None)
    if user is None or not getattr(user, "is_authenticated", False):
        return ""
    return str(getattr(user, "pk", None) or user)
