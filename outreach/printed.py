"""What libraries print, warn and die with becomes log lines: a collector reads one JSON object a line, whoever speaks.

For processes that run for good: web, worker, beat. A command's words are for the person who typed it.
"""

import io
import logging
import os
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from outreach.logging import Lines, for_people

logger = logging.getLogger("outreach.printed")


class PrintedLines(io.TextIOBase):
    """Stands before standard output or error and logs what is printed, line by line."""

    def __init__(self, original: TextIO, level: int) -> None:
        self.original, self._level = original, level
        self._here = threading.local()

    def write(self, text: str) -> int:
        *lines, self._here.rest = (getattr(self._here, "rest", "") + text).split("\n")
        for line in lines:
            # Whatever logging itself has to say must not be logged again.
            if line.strip() and not getattr(self._here, "busy", False):
                self._here.busy = True
                try:
                    logger.log(self._level, "%s", line.rstrip())
                finally:
                    self._here.busy = False
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.original.fileno()


def take_over(*, errors: bool) -> None:
    """Log what this process prints on standard output and, with `errors`, whatever else it would say in free text.

    Not before the settings are read: `cannot start: ...` is a line for a person. In a terminal nothing changes.
    """
    if for_people():
        return
    if not isinstance(sys.stdout, PrintedLines):
        sys.stdout = sys.__stdout__ = PrintedLines(sys.stdout, logging.INFO)  # type: ignore[misc, assignment]
    if errors and not isinstance(sys.stderr, PrintedLines):
        sys.stderr = sys.__stderr__ = PrintedLines(sys.stderr, logging.WARNING)  # type: ignore[misc, assignment]
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
        sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
        logging.captureWarnings(True)


def tell(line: str) -> None:
    """Tell whoever started a command one line, in one write, and never fail over it.

    `print` makes two where output is not buffered, and the log line of another process may come between them. A
    terminal that was closed must not keep anything from being stopped.
    """
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def say(message: str, _stream: Any = None) -> None:
    """Celery's `safe_say`: one finished line in one write, because it speaks from inside signal handlers."""
    handler = next((one for one in logging.getLogger().handlers if isinstance(one, Lines)), None)
    if handler is None or not message.strip():
        return
    record = logging.LogRecord("celery.apps.worker", logging.INFO, "", 0, message.strip(), None, None)
    os.write(handler.stream.fileno(), f"{handler.format(record)}\n".encode())


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logger.critical("uncaught_exception", exc_info=(kind, error or kind(), traceback))
