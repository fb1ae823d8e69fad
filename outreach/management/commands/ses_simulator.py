"""A local SES v2 with an event emitter and faults on demand: docs/simulator.md."""

import asyncio
import os
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand

from outreach import connections, printed

if TYPE_CHECKING:
    from types import ModuleType

    from notifications.simulator.simulation import Options

PORT = 4579
_TOPIC = "arn:aws:sns:us-east-1:123456789012:ses-events"


class Command(BaseCommand):
    """Reads the flags and serves until somebody stops it."""

    help = (
        "A local SES v2: AWS_ENDPOINT_URL_SESV2=http://127.0.0.1:4579 makes boto3 send to it. It keeps a ledger "
        "(GET /ledger), posts events to the webhooks, and fails on demand (POST /faults)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        from notifications.simulator.fates import Rates
        from notifications.simulator.faults import Faults

        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on; 0 is any free one (default: {PORT})")
        parser.add_argument("--fd", type=int, help="a listening socket to use instead; for whoever starts this")
        _add_webhooks(parser)
        _add_account(parser)
        parser.add_argument("--seed", type=int, default=0, help="the same seed gives everybody the same fate (default: 0)")
        parser.add_argument("--speed", type=_positive, default=1.0, help="divides every wait before an event (default: 1)")
        parser.add_argument("--link", default="", help="what people click on (default: the first link of the mail)")
        parser.add_argument("--ledger", type=Path, help="append every accepted mail to this file, a JSON object a line")
        parser.add_argument("--ledger-size", type=int, default=100_000, help="mails kept in memory (default: 100000)")
        parser.add_argument("--hostile", action="store_true", help="a mix of faults that a patient sender survives")
        for one in (*fields(Rates), *fields(Faults)):
            _add_field(parser, one)

    def handle(self, *_args: Any, **options: Any) -> None:
        server = _server()
        try:
            with _listener(options) as listener:
                # Whoever gave us the socket says that everything is ready.
                say = printed.tell if options["fd"] is None else _say_about_trouble
                asyncio.run(server.serve_until_signalled(options_from(options, listener), listener, say=say))
        except OSError as error:
            sys.exit(f"ses_simulator: {_explain(error, options)}")
        except ValueError as error:
            sys.exit(f"ses_simulator: {error}")


def _explain(error: OSError, given: dict[str, Any]) -> str:
    if error.filename:
        return f"{error.filename} cannot be written ({error.strerror}): choose another --ledger"
    if (error.errno or 0) < 0:  # getaddrinfo's own numbers
        return f"{given['host']!r} is no address of this machine: choose another --host"
    return f"cannot start on {given['host']}:{given['port']} ({os.strerror(error.errno or 0)}): choose another --port"


def _server() -> "ModuleType":
    try:
        from notifications.simulator import server
    except ModuleNotFoundError as error:
        sys.exit(f"ses_simulator: {error.name} is not installed: run pip install -r requirements/local.txt")
    return server


def _add_webhooks(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--eventbridge", metavar="URL", help="post events here (default: this site's own route, when SES_WEBHOOK_SECRET is set)"
    )
    parser.add_argument("--webhook-secret", help="for X-Webhook-Secret (default: the first of SES_WEBHOOK_SECRET)")
    parser.add_argument("--sns", metavar="URL", help="post signed SNS notifications here, besides or instead")
    parser.add_argument("--sns-topic-arn", help="(default: the first of SES_SNS_TOPIC_ARNS, or a made-up one)")
    parser.add_argument("--sns-signature-version", choices=["1", "2"], default="1")
    parser.add_argument(
        "--sns-certificate-base",
        metavar="URL",
        help="where SigningCertURL says the certificate lies, e.g. https://sns.us-east-1.amazonaws.com (default: the simulator)",
    )
    parser.add_argument("--no-events", action="store_true", help="accept mail only, as fast as can be")


def _add_account(parser: ArgumentParser) -> None:
    parser.add_argument("--region", default=settings.SES_REGION or "us-east-1", help="region in events and messages")
    parser.add_argument("--identity", action="append", default=[], help="a verified address or domain; none: all are")
    parser.add_argument("--configuration-set", action="append", default=[], help="one that exists; none: all do")
    parser.add_argument("--sandbox", action="store_true", help="200 mails a day, 1 a second, to verified identities only")


def _add_field(parser: ArgumentParser, one: "Field[Any]") -> None:
    flag, what = f"--{one.name.replace('_', '-')}", one.metadata["help"]
    if isinstance(one.default, bool):
        parser.add_argument(flag, action="store_true", default=None, help=what)
    else:
        kind = _share if "share" in what else _amount
        default = "" if one.default in (None, MISSING) else f" (default: {one.default:g})"
        parser.add_argument(flag, type=kind, metavar="N", help=what + default)


def options_from(given: dict[str, Any], listener: socket.socket) -> "Options":
    """The simulator that the flags describe. Raises ValueError."""
    from notifications.simulator import faults
    from notifications.simulator.accepting import Rules
    from notifications.simulator.fates import Rates
    from notifications.simulator.simulation import Options

    if given["ledger_size"] < 1:
        raise ValueError(f"--ledger-size {given['ledger_size']} is not above 0")
    wanted = {name: given[name] for name in faults.NAMES if given[name] is not None}
    rates = {one.name: given[one.name] for one in fields(Rates) if given[one.name] is not None}
    rules = Rules(
        identities=frozenset(one.lower() for one in given["identity"]),
        configuration_sets=frozenset(given["configuration_set"]),
        sandbox=given["sandbox"],
        region=given["region"],
    )
    return Options(
        rules=rules,
        rates=replace(Rates(), **rates),
        faults=faults.changed(faults.HOSTILE if given["hostile"] else faults.Faults(), wanted),
        targets=() if given["no_events"] else tuple(_targets(given, listener)),
        seed=given["seed"],
        speed=given["speed"],
        link=given["link"],
        ledger_size=given["ledger_size"],
        ledger_file=given["ledger"],
    )


def _targets(given: dict[str, Any], listener: socket.socket) -> Any:
    from notifications.simulator.eventbridge import EventBridge
    from notifications.simulator.sns import Sns

    if (url := given["eventbridge"] or ("" if given["sns"] else _own_route())) and (secret := _secret(given)):
        printed.tell(f"events go to {_address('--eventbridge', url)}")
        yield EventBridge(url, secret, given["region"])
    if url := given["sns"]:
        topic = given["sns_topic_arn"] or next(iter(settings.SES_SNS_TOPIC_ARNS), _TOPIC)
        host, port = listener.getsockname()[:2]
        base = _address("--sns-certificate-base", given["sns_certificate_base"] or f"http://{host}:{port}").rstrip("/")
        printed.tell(f"events of {topic} go to {_address('--sns', url)}")
        yield Sns(url, topic, base, signature_version=given["sns_signature_version"])


def _own_route() -> str:
    """This site's webhook while it runs on this machine: a rehearsal posts to no other by itself."""
    if not connections.is_loopback(settings.PUBLIC_BASE_URL) or not settings.SES_WEBHOOK_SECRETS:
        return ""
    return f"{settings.PUBLIC_BASE_URL}/api/webhooks/ses-events"


def _secret(given: dict[str, Any]) -> str:
    secret = given["webhook_secret"] or next(iter(settings.SES_WEBHOOK_SECRETS), "")
    if not secret:
        raise ValueError("--eventbridge needs --webhook-secret or SES_WEBHOOK_SECRET")
    return str(secret)


def _listener(given: dict[str, Any]) -> socket.socket:
    if given["fd"] is not None:
        return socket.socket(fileno=given["fd"])
    if not 0 <= given["port"] <= 65535:
        raise ValueError(f"--port {given['port']} is no port: choose a number up to 65535")
    return socket.create_server((given["host"], given["port"]), backlog=1024)


def _address(flag: str, url: str) -> str:
    """An http address, as it is. Raises ValueError."""
    wrong = f"{flag} {url!r} is no address: say one such as http://127.0.0.1:8000/path"
    try:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return url
    except ValueError as error:
        raise ValueError(wrong) from error
    raise ValueError(wrong)


def _share(text: str) -> float:
    return _within(text, 1.0, "a share from 0 to 1")


def _amount(text: str) -> float:
    return _within(text, 1e9, "a number of 0 or more")


def _positive(text: str) -> float:
    if not (value := _amount(text)):
        raise ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _within(text: str, most: float, wanted: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= most:
            return float(text)
    raise ArgumentTypeError(f"{text!r} is not {wanted}")


def _say_about_trouble(line: str) -> None:
    if not line.startswith("ready:"):
        printed.tell(f"simulator: {line}")
