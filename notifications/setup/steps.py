"""One thing of the set-up at a time: look what is there, say what differs, and make it so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from notifications.setup import clients


class Action(StrEnum):
    """What a step has to do."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    WAIT = "wait"


@dataclass(frozen=True)
class Finding:
    """What a look has found. `do` makes it so, and belongs to create and update only; wait is for a person."""

    action: Action
    details: tuple[str, ...] = ()
    do: Callable[[], None] | None = None


@dataclass(frozen=True)
class Step:
    """A named thing, what it shall be, and how to look at it; looking never changes anything."""

    name: str
    wanted: str
    look: Callable[[], Finding]


@dataclass
class Known:
    """What AWS decides and later steps need; in a dry run some of it is never known."""

    connection_arn: str = "(known once created)"
    api_destination_arn: str = "(known once created)"
    dkim_tokens: list[str] = field(default_factory=list)
    dkim_zone: str = ""


def found(read: Callable[[], Any]) -> Any:
    """What a call that describes something answers; None when the thing does not exist."""
    try:
        return read()
    except clients.AwsError as error:
        if clients.is_missing(error):
            return None
        raise


def differences(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """`key: is → shall be`, for every key of `wanted` that differs."""
    return tuple(f"{key}: {current.get(key)!r} → {value!r}" for key, value in wanted.items() if current.get(key) != value)


def create(do: Callable[[], None]) -> Finding:
    """Something that is not there yet; the step says what it shall be."""
    return Finding(Action.CREATE, (), do)


def update_if(differing: tuple[str, ...], do: Callable[[], None]) -> Finding:
    """An update when something differs, else nothing to do."""
    return Finding(Action.UPDATE, differing, do) if differing else Finding(Action.KEEP)
