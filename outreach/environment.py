"""Reads environment variables and explains, in one line, what is wrong with them.

Every problem is collected, so that a person mends them in one go; `stop_if_wrong` then ends the
process, whichever it is: manage.py, gunicorn, a Celery worker or beat.
"""

import os
import re
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ

N = TypeVar("N", int, float)

# What botocore takes for a host; an underscore it refuses.
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE)


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    good = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "")
    return bool(good) and not re.search(r"\s", url) and not (parts.query or parts.fragment)


def _has_usable_port(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        # Other complaints are about brackets, which a password may hold.
        return "Port" not in str(error)
    return True


class Environment:
    """Typed access to the environment with remedies for humans."""

    def __init__(self, env_file: Path) -> None:
        self._env = environ.Env()
        self.problems: list[str] = []
        if env_file.is_file():
            self._env.read_env(env_file)

    def text(self, name: str, default: str = "") -> str:
        """The variable's text without surrounding white space; empty counts as not set."""
        return str(self._env.str(name, default="")).strip() or default

    def first(self, *names: str) -> str:
        """The first of several spellings that is set."""
        return next((value for name in names if (value := self.text(name))), "")

    def spelling(self, *names: str) -> str:
        """The name whose value `first` gives, for whoever has to change it; the first when none is set."""
        return next((name for name in names if self.text(name)), names[0])

    def items(self, name: str) -> list[str]:
        """A comma-separated list without empty items."""
        return [item.strip() for item in self.text(name).split(",") if item.strip()]

    def networks(self, name: str) -> list[IPv4Network | IPv6Network]:
        """A comma-separated list of addresses and networks, e.g. 10.0.0.0/8, 192.0.2.7."""
        found = []
        for item in self.items(name):
            try:
                found.append(ip_network(item, strict=False))
            except ValueError:
                self.refuse(name, f"holds {item!r}", "list addresses and networks, e.g. 10.0.0.0/8, 192.0.2.7")
        return found

    def each(self, name: str, parse: Callable[[str], str], wanted: str) -> list[str]:
        """A comma-separated list whose items are parsed; `parse` raises ValueError for what is none."""
        try:
            return [parse(item) for item in self.items(name)]
        except ValueError as error:
            self.refuse(name, f"is not understood ({error})", f"list {wanted}")
            return []

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(name, default)
        if value not in choices:
            self.refuse(name, f"is {value!r}", f"set it to one of: {', '.join(choices)}")
            return default
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A finite number within bounds."""
        return self._parsed(name, default, float, lambda n: least <= n <= most, f"a number from {least:g} to {most:g}")

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        return self._parsed(name, default, int, lambda n: least <= n <= most, f"a whole number from {least} to {most}")

    def optional_whole(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number within bounds, or None when it is not set."""
        return self.whole(name, least, least=least, most=most) if self.text(name) else None

    def flag(self, name: str, default: bool) -> bool:
        """true or false; anything else is a mistake, never silently false."""
        words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
        value = self.text(name).lower()
        if value and value not in words:
            self.refuse(name, f"is {value!r}", "set it to true or false")
        return words.get(value, default)

    def origin(self, name: str, default: str) -> str:
        """An http(s) origin without a path, e.g. https://mail.example.com."""
        value = self.text(name, default).rstrip("/")
        try:
            parts = urlsplit(value)
            good = (
                parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.path or parts.query or parts.fragment)
            )
            _ = parts.port
        except ValueError:
            good = False
        if not good:
            self.refuse(name, f"is {value!r}", "set it to an origin such as https://mail.example.com")
            return default
        return value

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        """A connection URL with one of the schemes."""
        value = self.text(name, default)
        if value and value.split("://", 1)[0] not in schemes:
            # The value may hold a password: never repeat it.
            self.refuse(name, "is not understood", f"it must start with one of: {', '.join(s + '://' for s in schemes)}")
        elif not _has_usable_port(value):
            self.refuse(name, "is not understood", "its port must be a number up to 65535")
        return value

    def endpoint(self, name: str) -> None:
        """Check an address that boto3 reads by itself, white space and all, and refuses with a traceback later."""
        value = os.environ.get(name, "")
        if value and not _is_endpoint(value):
            # It may hold a password, too.
            self.refuse(name, "is not understood", "set it to an address such as http://127.0.0.1:4579, or remove it")

    def refuse(self, name: str, problem: str, remedy: str) -> None:
        """Note one problem: `NAME problem: remedy`."""
        self.problems.append(f"{name} {problem}: {remedy}")

    def require(self, name: str, value: object, remedy: str) -> None:
        """Note a problem when a value is not set."""
        if not value:
            self.refuse(name, "is not set", remedy)

    def stop_if_wrong(self) -> None:
        """End this process with one line when anything is wrong.

        SystemExit and not ImproperlyConfigured: Django, gunicorn and Celery would each print a
        traceback around the latter, and Django swallows it for some commands.
        """
        if self.problems:
            sys.exit("cannot start: " + "; ".join(problem.replace("\n", " ") for problem in self.problems))

    def _parsed(self, name: str, default: N, parse: Callable[[str], N], good: Callable[[N], bool], wanted: str) -> N:
        raw = self.text(name)
        if not raw:
            return default
        try:
            value = parse(raw)
            accepted = good(value)
        except ValueError:
            accepted = False
        if not accepted:
            self.refuse(name, f"is {raw!r}", f"set it to {wanted}")
            return default
        return value
