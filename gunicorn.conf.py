"""The web server process, in development (`manage.py up`) and in production (`Procfile`)."""

import os
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from outreach import garbage, metering, printed, terminal
from outreach.logging import logging_config

# The application is loaded once, before the workers: a configuration error stops the server with one line.
preload_app = True
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 60
graceful_timeout = 20
# Longer than the idle time of common load balancers, which would otherwise meet a closed connection.
keepalive = 75
control_socket_disable = True


class WithoutAccessLog(Logger):  # type: ignore[misc]
    """django-structlog logs requests. An access log would print tokens, and is made up also where nobody reads it."""

    def access(self, *_args: Any) -> None:
        pass


logger_class = WithoutAccessLog
# The server's own lines come out in the same shape.
logconfig_dict = logging_config(level="INFO") | {"loggers": {"gunicorn.error": {"handlers": [], "propagate": True}}}


printed.take_over(errors=False)
metering.claim_directory(settings.PROMETHEUS_MULTIPROC_DIR)


def when_ready(_server: Any) -> None:
    """In the master, after it has installed its signal handlers and read the settings."""
    terminal.stay_deaf()
    printed.take_over(errors=True)


def post_worker_init(_worker: Any) -> None:
    """In a worker, after it has installed its signal handlers; what an earlier one kept is applied from here."""
    from prospects import catching_up

    terminal.stay_deaf()
    garbage.collect_seldom()
    catching_up.keeper.wake()


def child_exit(_server: Any, worker: Any) -> None:
    """In the master, after a worker has ended."""
    # Not at the top: the library looks for the directory when it is imported.
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)
