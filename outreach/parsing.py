"""Request bodies that are not what they seem."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from outreach.errors import DomainError

_LARGEST_JSON = 5_000_000


class BodyTooLarge(DomainError):
    """The request's body is too large."""

    code = "BODY_TOO_LARGE"
    status = 413


class NulCharacter(ParseError):
    """The JSON holds a NUL character, which cannot be stored."""

    default_detail = "The body holds a NUL character."

    def __init__(self, field: str = "") -> None:
        """`field` is the place, such as `audience.include_tags.0`; none when a name itself holds it."""
        self.field = field
        super().__init__()


class StrictJSONParser(BaseParser):
    """JSON (RFC 8259) without NaN, NUL, lone surrogates or bottomless nesting: none can be stored."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        raw = stream.read(_LARGEST_JSON + 1)
        if len(raw) > _LARGEST_JSON:
            raise BodyTooLarge(f"The body is larger than {_LARGEST_JSON} bytes.")
        try:
            data = loads(raw)
        except NulCharacter as error:
            if not error.field:
                raise
            raise ValidationError({error.field: ["It holds a NUL character."]}, code="null_characters_not_allowed") from error
        if not isinstance(data, dict):
            raise ParseError("The body must be a JSON object.")
        return data


def loads(raw: bytes) -> Any:
    """Parse JSON strictly. Raises ParseError with the reason, NulCharacter with the place."""
    try:
        text = raw.decode("utf-8-sig")
        data = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(data, ensure_ascii=False).encode("utf-8")
        place = next(_places_of_nul(data), None) if "\\u0000" in text else None
    except RecursionError as error:
        raise ParseError("The JSON is nested too deeply.") from error
    except ValueError as error:
        raise ParseError(f"The body is not valid JSON: {error}") from error
    if place is not None:
        raise NulCharacter(".".join(place))
    return data


def _places_of_nul(data: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where strings hold a NUL, as keys and indexes; that of a key is no name to show, so it is nowhere."""
    if isinstance(data, str) and "\x00" in data:
        yield place
    elif isinstance(data, dict):
        for key, value in data.items():
            if "\x00" in key:
                yield ()
            yield from _places_of_nul(value, (*place, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _places_of_nul(value, (*place, str(number)))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
