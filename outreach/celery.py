"""The Celery application. Broker messages carry ids only: losing or doubling one changes nobody's mail."""

import logging.config
import os

import click
from celery import Celery
from celery.apps import worker
from celery.signals import setup_logging, worker_before_create_process, worker_process_init, worker_process_shutdown
from django.conf import settings

from outreach import garbage, metering, printed

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "outreach.settings")

app = Celery("outreach")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Worker and beat log as the settings say; Celery would add handlers and shapes of its own."""
    logging.config.dictConfig(settings.LOGGING)
    worker.safe_say = printed.say  # type: ignore[attr-defined]  # the stubs do not know it
    printed.take_over(errors=True)


def _is_worker_or_beat() -> bool:
    """Whether the `celery` command line is about to start one; they print before they ask for logging."""
    command = click.get_current_context(silent=True)
    return command is not None and getattr(command, "invoked_subcommand", None) in {"worker", "beat"}


if _is_worker_or_beat():
    printed.take_over(errors=False)
    metering.claim_directory(settings.PROMETHEUS_MULTIPROC_DIR)


@worker_before_create_process.connect
def fork_cheaply(**_kwargs: object) -> None:
    """In the parent of the pool, before each fork."""
    garbage.share_what_is_loaded()


@worker_process_init.connect
def collect_garbage_seldom(**_kwargs: object) -> None:
    """In each process of the pool."""
    garbage.collect_seldom()


@worker_process_shutdown.connect
def count_the_last_mails(**_kwargs: object) -> None:
    """A pool process ends without Python's own farewell."""
    from notifications import measuring

    measuring.count_now()
