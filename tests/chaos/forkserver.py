"""Forks itself into programs: an import of their libraries costs a second of CPU, a fork none.

Run as `python -m tests.chaos.forkserver FD`: a socket that takes one request a message and tells of every end. Only libraries
are loaded before the fork, nothing of the product and no setting, so a program starts as if it had been executed.
"""

import ctypes
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

# What takes longest of what all of them load; prometheus_client must not be among them, it looks at the environment.
_LIBRARIES = (
    "boto3",
    "botocore.endpoint",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "cryptography.x509",
    "django.core.handlers.wsgi",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django_stubs_ext",
    "drf_standardized_errors.settings",
    "email_validator",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "jsonschema",
    "kombu.transport.redis",
    "orjson",
    "psycopg_pool",
    "structlog",
)
LARGEST_MESSAGE = 100_000
_LOOK_EVERY = 0.03  # seconds
_PR_SET_PDEATHSIG = 1  # prctl(2)


def serve(connection: socket.socket) -> list[str]:
    """Fork for every request; returns in each child, with its arguments, and ends here when nobody asks any more."""
    server = os.getpid()
    while True:
        if select.select([connection], [], [], _LOOK_EVERY)[0]:
            text, fds, _flags, _address = socket.recv_fds(connection, LARGEST_MESSAGE, 4)
            if not text:
                sys.exit()
            request = json.loads(text)
            is_ready, ready = os.pipe()
            if (pid := os.fork()) == 0:
                connection.close()
                _become(request, fds, server)
                os.close(ready)
                os.close(is_ready)
                return list(request["arguments"])
            os.close(ready)
            # Until the child is in a group of its own, nobody could kill that.
            os.read(is_ready, 1)
            for fd in (is_ready, *fds):
                os.close(fd)
            connection.send(json.dumps({"started": pid}).encode())
        _tell_of_ends(connection)


def _tell_of_ends(connection: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            connection.send(json.dumps({"ended": ended[0], "code": code}).encode())


def _become(request: dict[str, Any], fds: list[int], server: int) -> None:
    """What `outreach.leash` and the system do for a program that is executed."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        sys.exit("the server died before the leash was on")
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for fd, number in zip(fds, request["fds"], strict=True):
        os.dup2(fd, number)
    os.environ.clear()
    os.environ.update(request["env"])


if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
