"""Request bodies that are not what they seem."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from outreach.errors import DomainError

_LARGEST_JSON = 5_000_000


class BodyTooLarge(DomainError):
    """The request's body is too large."""

    code = "BODY_TOO_LARGE"
    status = 413


class StrictJSONParser(BaseParser):
    """JSON (RFC 8259) without NaN, NUL, lone surrogates or bottomless nesting: none can be stored."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        raw = stream.read(_LARGEST_JSON + 1)
        if len(raw) > _LARGEST_JSON:
            raise BodyTooLarge(f"The body is larger than {_LARGEST_JSON} bytes.")
        data = loads(raw)
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def loads(raw: bytes) -> Any:
    """Parse JSON strictly. Raises ParseError with the reason."""
    try:
        text = raw.decode("utf-8-sig")
        data = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ParseError("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise ParseError(f"The body is not valid JSON: {error}") from error
    if "\\u0000" in text and any("\x00" in string for string in _strings(data)):
        raise ParseError("The body holds a NUL character.")
    return data


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from _strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
