"""Traps on the way to SES and to the broker."""

import http.client
import json
import os
import time
from typing import Any

from botocore.client import BaseClient
from celery import Celery

from tests.chaos.sabotage import arms

_SENDING = {"SendEmail", "SendBulkEmail"}


def install() -> None:
    _trap_request()
    _trap_answer()
    _trap_publishing()


def _trap_request() -> None:
    send, getresponse = http.client.HTTPConnection.send, http.client.HTTPConnection.getresponse

    def send_half(self: Any, data: Any) -> None:
        if isinstance(data, bytes) and b"/outbound-" in data[:80] and (wish := arms.taken("call.half_written")):
            if self.sock is None:
                self.connect()
            self.sock.sendall(data[: len(data) // 2])
            time.sleep(0.02)
            arms.die(wish)
        send(self, data)

    def getresponse_never(self: Any) -> Any:
        if wish := arms.taken("call.written"):
            time.sleep(0.05)  # SES has it by now
            arms.die(wish)
        return getresponse(self)

    http.client.HTTPConnection.send = send_half  # type: ignore[method-assign]  # a trap
    http.client.HTTPConnection.getresponse = getresponse_never  # type: ignore[method-assign]  # a trap


def _trap_answer() -> None:
    make_api_call = BaseClient._make_api_call

    def answered(self: Any, operation: str, *args: Any) -> Any:
        if operation not in _SENDING:
            return make_api_call(self, operation, *args)
        arms.die_at("call.before")
        try:
            return make_api_call(self, operation, *args)
        finally:
            arms.die_at("call.answered")

    BaseClient._make_api_call = answered


def _trap_publishing() -> None:
    """Die before the broker hears of it; or publish it as often as `copies` says, and note it for a replay."""
    send_task = Celery.send_task

    def send(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if not name.startswith("campaigns."):
            return send_task(self, name, *args, **kwargs)
        arms.die_at("publish.before")
        for _ in range(int(arms.number("copies", 1)) - 1):
            send_task(self, name, *args, **kwargs)
        _note(name, args, kwargs)
        sent = send_task(self, name, *args, **kwargs)
        arms.die_at("publish.after")
        return sent

    Celery.send_task = send  # type: ignore[method-assign]  # a trap


def _note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    positional = args[0] if args else kwargs.get("args") or ()
    line = json.dumps({"name": name, "args": list(positional), "kwargs": kwargs.get("kwargs") or {}})
    file = os.open(arms.DIRECTORY / "published", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)
