"""Structured logs: one JSON object a line on standard output, readable colours in a terminal."""

import logging
import sys
from typing import Any

import structlog

from outreach import redacting

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.UnicodeDecoder(),
]


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Health checks are not: `up`, a load balancer or an orchestrator asks every few seconds."""
    message = record.msg.get("request", "") if isinstance(record.msg, dict) else record.getMessage()
    return not str(message).endswith(("/readyz", "/healthz"))


def logging_config(*, level: str) -> dict[str, Any]:
    """Django's LOGGING for every process; third-party loggers come out in the same shape."""
    for_people = sys.stdout.isatty()
    render: list[Any] = (
        [structlog.dev.ConsoleRenderer()]
        if for_people
        # JSON escapes control characters, so a hostile subject cannot forge a second line.
        else [structlog.processors.EventRenamer("msg"), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, redacting.hide_links],
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), *_SHARED],
            }
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "structured",
                "filters": ["lines"],
            }
        },
        "filters": {"lines": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # boto logs request bodies at DEBUG, people's mail does not belong in a log; and at INFO where it has
            # found its credentials, between the lines of every command.
            "botocore": {"level": max(logging.WARNING, logging.getLevelName(level))},
            "boto3": {"level": max(logging.WARNING, logging.getLevelName(level))},
            "urllib3": {"level": "INFO"},
            # django-structlog says the same of every 4xx.
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": ["stdout"], "propagate": False},
        },
    }
