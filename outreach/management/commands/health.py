"""For the health checks of containers: is this machine's web, worker or beat well, or the whole system?"""

import os
import sys
import urllib.request
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.utils import timezone

from outreach import health, heartbeats

_ANSWER_SECONDS = 2.0


class Command(BaseCommand):
    """Exit code 0 and one line when it is well; 1 and the reasons when it is not."""

    help = "Says whether this machine's web, worker or beat is well, or (system) what /readyz says."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("component", nargs="?", default="system", choices=["system", "web", "worker", "beat"])

    def handle(self, *_args: Any, **options: Any) -> None:
        look = {"system": _system, "web": _web, "worker": _worker, "beat": _beat}[options["component"]]
        try:
            problem = look(timezone.now())
        except Exception as error:
            problem = f"cannot be told: {type(error).__name__}"
        if problem:
            sys.exit(f"unhealthy: {problem}")
        self.stdout.write("healthy")


def _system(_now: datetime) -> str:
    found = health.conditions()
    return "; ".join(f"{name}: {condition.reason}" for name, condition in found.items() if condition.reason)


def _web(_now: datetime) -> str:
    url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/healthz"
    # Asked directly, whatever proxy the environment names.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=4) as answer:
        return "" if answer.status == 200 else f"it answers {answer.status}"


def _worker(now: datetime) -> str:
    """Whether a worker of this machine ran a task within the last minute, or answers and has queues to read."""
    signs = heartbeats.seen(heartbeats.queues(), on=heartbeats.machine()).values()
    if any(at and now - at < heartbeats.FRESH_FOR for at in signs):
        return ""
    # With many workers an idle one may get no heartbeat for a minute.
    answers = current_app.control.inspect(timeout=_ANSWER_SECONDS).active_queues() or {}
    ours = [queues for name, queues in answers.items() if name.endswith(f"@{heartbeats.machine()}")]
    if not ours:
        return "no worker of this machine answers"
    return "" if any(ours) else "the worker of this machine reads no queue"


def _beat(now: datetime) -> str:
    at = heartbeats.seen([heartbeats.BEAT], on=heartbeats.machine())[heartbeats.BEAT]
    if at and now - at < heartbeats.FRESH_FOR:
        return ""
    return f"beat has published no task for {(now - at).total_seconds():.0f} s" if at else "beat has published no task"
