"""What a log must not say: whoever reads an unsubscribe link can use it."""

import re
from typing import Any

# The whole query of an unsubscribe address, however it is spelled, and a token wherever it stands.
_LINK = re.compile(r"(/api/unsubscribe/?\?)[^\s\"'\\<>]+", re.IGNORECASE)
_RESET = re.compile(r"(/admin/reset/)(?!done)[^\s\"'\\<>]+", re.IGNORECASE)
_TOKEN = re.compile(r"(token[^0-9a-z]{1,6}(?:3d|uuid\W{1,3})?)[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)


def hide_links(_logger: Any, _name: str, line: str) -> str:
    """A structlog processor for finished lines, after the renderer: so nothing escapes, be it a message, an extra,
    a request's repr or a traceback."""
    return _TOKEN.sub(r"\1[hidden]", _RESET.sub(r"\1[hidden]", _LINK.sub(r"\1[hidden]", line)))
