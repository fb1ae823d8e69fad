"""`/healthz`: this process answers. `/readyz`: the whole system can do its work, and what cannot if not."""

from collections.abc import Callable
from datetime import datetime

from celery import current_app
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from outreach import heartbeats


@csrf_exempt
@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 while the process lives; touches nothing else."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when database, Redis and a live worker are there; else 503 with the reasons."""
    reasons = not_ready(timezone.now())
    return JsonResponse({"status": "unready" if reasons else "ready", "reasons": reasons}, status=503 if reasons else 200)


def not_ready(now: datetime) -> dict[str, str]:
    """What keeps the system from working, by component; empty when nothing does."""
    probes: dict[str, Callable[[], str]] = {
        "database": _database,
        "redis": _redis,
        "worker": lambda: _worker(now),
    }
    found = {}
    for name, probe in probes.items():
        try:
            reason = probe()
        except Exception as error:
            reason = type(error).__name__
        if reason:
            found[name] = reason
    return found


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _redis() -> str:
    cache.get("readyz")
    return ""


def _worker(now: datetime) -> str:
    if heartbeats.is_fresh(now):
        return ""
    # Right after a start beat has not ticked yet; ask the workers themselves.
    answers = current_app.control.ping(timeout=0.5)
    return "" if answers else "no worker answered"
