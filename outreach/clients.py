"""Who is asking: the client's address as far as it can be known."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address

# Some proxies append the port they saw: 192.0.2.7:51812, [2001:db8::7]:51812.
_WITH_PORT = re.compile(r"([\d.]+):\d+|\[([^\]]+)\](?::\d+)?")


def address(request: HttpRequest) -> Address | None:
    """The client's address; None when the peer has none, as on a Unix socket.

    `X-Forwarded-For` is believed only as far as our own proxies wrote it: the TRUSTED_PROXY_COUNT-th
    entry from the right. Everything to the left of it is the client's own claim.
    """
    return parse(_forwarded(request)) or parse(request.META.get("REMOTE_ADDR", ""))


def network(request: HttpRequest) -> str:
    """What one client is taken to be when requests are counted: an IPv4 address or an IPv6 /64."""
    client = address(request)
    if client is None:
        return "unknown"
    if isinstance(client, IPv4Address):
        return str(client)
    # A subscriber gets a /64 at least (RFC 6177), so a single address costs nothing to change.
    return str(ip_network((int(client), 64), strict=False))


def _forwarded(request: HttpRequest) -> str:
    hops = settings.TRUSTED_PROXY_COUNT
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return entries[-hops] if 0 < hops <= len(entries) else ""


def parse(text: str) -> Address | None:
    """The address in a text, with or without a port; None when there is none."""
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        client = ip_address(text)
    except ValueError:
        return None
    # ::ffff:192.0.2.7 is an IPv4 client on a dual-stack socket; as IPv6 they would all share one /64.
    return getattr(client, "ipv4_mapped", None) or client
