"""The demo's SES: a simulator on this machine, and an environment from which nothing can leave it."""

import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_FIRST_PORT = 4579
_SENDER = "hello@harbour-oak.example"
# A person's own account, profile, endpoint, proxy or sender has no say in the demo.
_FOREIGN = ("AWS_", "BOTO", "EMAIL_", "SES_")
_KEPT = frozenset({"SES_MAX_SEND_RATE"})
# What happens to made-up people: enough of everything to be seen within a minute.
_FATES = {
    "bounce-rate": 0.02,
    "soft-bounce-rate": 0.01,
    "complaint-rate": 0.0005,
    "delay-rate": 0.02,
    "open-rate": 0.45,
    "click-rate": 0.3,
}


def listen() -> socket.socket:
    """The simulator's socket: its usual port, or any that is free."""
    for port in (_FIRST_PORT, 0):
        try:
            return socket.create_server(("127.0.0.1", port), backlog=1024)
        except OSError:
            continue
    raise OSError("no port is free")


def address(listener: socket.socket) -> str:
    """Where it answers."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def environment(env: Mapping[str, str], *, site_url: str, endpoint: str) -> dict[str, str]:
    """The environment of the demo's programs: mail goes to `endpoint`, whatever a person's variables and `.env` say."""
    kept = {name: value for name, value in env.items() if not _is_foreign(name)}
    nothing = os.devnull
    return kept | {
        # `.env` has been read into `env`; read again, it would bring back what was taken out.
        "ENV_FILE": nothing,
        "EMAIL_MODE": "ses",
        "PUBLIC_BASE_URL": site_url,
        "SES_REGION": "us-east-1",
        "SES_FROM": _SENDER,
        "SES_CONFIGURATION_SET": "demo",
        "SES_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_SESV2": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }


def command(listener: socket.socket, *, manage: Path, site_url: str) -> list[str]:
    """The simulator's command line; it inherits the socket."""
    flags = [word for name, share in _FATES.items() for word in (f"--{name}", str(share))]
    webhook = ["--eventbridge", f"{site_url}/api/webhooks/ses-events"]
    return [sys.executable, str(manage), "ses_simulator", "--fd", str(listener.fileno()), *webhook, *flags]


def _is_foreign(name: str) -> bool:
    proxy = name.lower().endswith("_proxy")
    return proxy or name == "ALLOWED_HOSTS" or (name.startswith(_FOREIGN) and name not in _KEPT)
