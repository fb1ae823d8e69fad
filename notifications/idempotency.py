"""The same request twice has one effect: `Idempotency-Key`, per caller, for 24 hours.

The answer is stored in the transaction that has the effect. So there is no half-answered key to clean up after a
crash; "in flight" is a lock that PostgreSQL lets go of with its connection.
https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.crypto import salted_hmac

from notifications.models import IdempotencyKey
from outreach.errors import DomainError

KEPT = timedelta(hours=24)
_KEY = re.compile(r"[!-~]{1,255}")
_BATCH = 1000


class BadKey(DomainError):
    """An Idempotency-Key is 1 to 255 printable ASCII characters without spaces."""

    code = "IDEMPOTENCY_KEY_INVALID"
    status = 400


class KeyReused(DomainError):
    """This Idempotency-Key was used for a request with another body."""

    code = "IDEMPOTENCY_KEY_REUSED"


class InFlight(DomainError):
    """A request with this Idempotency-Key is being answered right now: ask again in a moment."""

    code = "IDEMPOTENCY_IN_FLIGHT"


@dataclass(frozen=True)
class Answer:
    """What a request is answered; `replayed` when it was answered before."""

    status: int
    body: Any
    replayed: bool = False


@transaction.atomic
def once(answer: Callable[[], Answer], *, caller: str, key: str, body: Any, now: datetime) -> Answer:
    """What `answer` returns for the first request with this key, and the stored answer for every later one.

    Whatever `answer` raises is no answer: its effects are rolled back and the key stays free. Raises BadKey,
    KeyReused, InFlight.
    """
    if not _KEY.fullmatch(key):
        raise BadKey
    digest = _digest(body)
    # First without the lock, so that repeating an answered request is never "in flight".
    if not (found := _find(caller, key, now)):
        _lock(caller, key)
        found = _find(caller, key, now)
    if found:
        if found.body_digest != digest:
            raise KeyReused
        return Answer(found.answer_status, found.answer, replayed=True)
    given = answer()
    words = {"body_digest": digest, "answer_status": given.status, "answer": given.body, "expires_at": now + KEPT}
    IdempotencyKey.objects.update_or_create(caller=caller, key=key, defaults=words)
    return given


def forget_expired(*, now: datetime) -> int:
    """Delete keys whose answers are not kept any longer; returns how many."""
    old = list(IdempotencyKey.objects.filter(expires_at__lte=now).order_by("expires_at").values_list("pk", flat=True)[:_BATCH])
    return IdempotencyKey.objects.filter(pk__in=old, expires_at__lte=now).delete()[0]


def _find(caller: str, key: str, now: datetime) -> IdempotencyKey | None:
    return IdempotencyKey.objects.filter(caller=caller, key=key, expires_at__gt=now).first()


def _lock(caller: str, key: str) -> None:
    name = hashlib.sha256(f"{caller}\n{key}".encode()).digest()[:8]
    with connection.cursor() as cursor:
        # Let go of when the transaction ends, however it ends.
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name, "big", signed=True)])
        if not cursor.fetchone()[0]:
            raise InFlight


def _digest(body: Any) -> str:
    # Keyed: a body may hold little that is secret, and could be guessed from a bare hash.
    words = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return salted_hmac("idempotency", words, algorithm="sha256").hexdigest()
