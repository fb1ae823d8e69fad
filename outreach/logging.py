"""Structured logs: one JSON object a line on standard output, readable colours in a terminal."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from http import HTTPStatus
from typing import Any

import structlog

from outreach import redacting

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    structlog.processors.UnicodeDecoder(),
]
_FIRST = ("level", "msg", "timestamp")
# The words of a record that stands for several lines: a list of those that differ, a dict for each line.
EACH = "each_line"
# POSIX' least PIPE_BUF is 512, Linux has this: what is longer may be torn when several processes share a pipe.
_WHOLE = 4096


class Lines(logging.StreamHandler[Any]):
    """Writes finished lines; a record that cannot be written becomes a line that says so, never a bare traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or its many lines some at a time, so that each arrives whole."""
        try:
            for block in _blocks(self.format(record).split("\n")):
                self.stream.write(block + self.terminator)
                self.flush()
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        problem = sys.exc_info()[1]
        if isinstance(problem, OSError):
            # Nobody reads any more.
            return
        words = {"level": "error", "msg": "log_line_failed", "logger": record.name, "error": type(problem).__name__}
        self.stream.write(json.dumps(words) + self.terminator)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Health checks are not: `up`, a load balancer or an orchestrator asks every few seconds. An error in one is."""
    if record.levelno >= logging.ERROR and getattr(record, "status_code", 0) != HTTPStatus.SERVICE_UNAVAILABLE:
        return True
    words = record.msg.get("request", "") if isinstance(record.msg, dict) else record.args or ()
    # Not the finished message: one that cannot be made must not raise here, in the middle of somebody's work.
    last = words if isinstance(words, str) else str(words[-1]) if isinstance(words, tuple) and words else ""
    return not last.endswith(("/readyz", "/healthz", "/metrics"))


def for_people() -> bool:
    """Whether a person reads: standard output is a terminal."""
    return bool(_stdout().isatty())


def logging_config(*, level: str) -> dict[str, Any]:
    """Django's LOGGING for every process; third-party loggers come out in the same shape."""
    render: list[Any] = (
        [redacting.clean, redacting.escape_controls, structlog.dev.ConsoleRenderer()]
        if for_people()
        # JSON escapes control characters, so a hostile subject cannot forge a second line.
        else [structlog.processors.EventRenamer("msg"), redacting.clean, _in_order, _json]
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
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _for_each_line(render)],
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(), *_SHARED],
            }
        },
        "handlers": {
            "stdout": {"class": "outreach.logging.Lines", "stream": _stdout(), "formatter": "structured", "filters": ["lines"]}
        },
        "filters": {"lines": {"()": "django.utils.log.CallbackFilter", "callback": is_worth_a_line}},
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": _loggers(level),
    }


def _loggers(level: str) -> dict[str, Any]:
    return {
        # boto logs request bodies at DEBUG, people's mail does not belong in a log; and at INFO where it has
        # found its credentials, between the lines of every command.
        "botocore": {"level": max(logging.WARNING, logging.getLevelName(level))},
        "boto3": {"level": max(logging.WARNING, logging.getLevelName(level))},
        "urllib3": {"level": "INFO"},
        # django-structlog says the same of every 4xx, and of every task, with its ids.
        "django.request": {"level": "ERROR"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "django.server": {"handlers": ["stdout"], "propagate": False},
    }


def _stdout() -> Any:
    """Standard output itself, also when `printed` stands before it."""
    return getattr(sys.stdout, "original", sys.stdout)


def _blocks(lines: list[str]) -> Iterator[str]:
    """Lines joined to texts that a pipe takes in one piece, as far as they are short enough."""
    block, length = [lines[0]], len(lines[0])
    for line in lines[1:]:
        length += 1 + len(line)
        if length >= _WHOLE:
            yield "\n".join(block)
            block, length = [], len(line)
        block.append(line)
    yield "\n".join(block)


def _for_each_line(processors: list[Any]) -> Callable[[Any, str, dict[str, Any]], str]:
    """The last processor: what the others make of a record, line by line where it stands for several."""

    def line(logger: Any, name: str, event: Any) -> str:
        for process in processors:
            event = process(logger, name, event)
        return str(event)

    def render(logger: Any, name: str, event: dict[str, Any]) -> str:
        if EACH not in event:
            return line(logger, name, event)
        return "\n".join(line(logger, name, {**event, **words}) for words in event.pop(EACH))

    return render


# json.dumps would make one for each line. `redacting.clean` leaves nothing that it could not write.
_ENCODER = json.JSONEncoder(default=repr)


def _json(_logger: Any, _name: str, event: dict[str, Any]) -> str:
    return _ENCODER.encode(event)


def _in_order(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The keys that a reader looks for come first."""
    return {key: event[key] for key in _FIRST if key in event} | dict(event)
