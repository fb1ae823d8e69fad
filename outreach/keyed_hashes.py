"""What is left of an address that was erased: its keyed hash, the same in Python and in SQL.

Who has the key can ask whether a given address is meant; nobody can read the address back, and without the
key nobody can try addresses either (HMAC-SHA256, RFC 2104). It holds no @, so that no mail can go there.
"""

import hashlib
import hmac
import re

from django.conf import settings

PREFIX = "erased-"
_SHAPE = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_BLOCK = 64  # bytes, of SHA-256

# The hash of a column, for statements whose parameters hold `parameters()`. PostgreSQL has SHA-256 built in, HMAC
# only in an extension.
SQL = "'erased-' || encode(sha256(%(hash_outer)s || sha256(%(hash_inner)s || convert_to({column}, 'UTF8'))), 'hex')"


def hash_of(address: str) -> str:
    """The keyed hash of a normalised address; what is one already stays as it is."""
    if is_hash(address):
        return address
    return PREFIX + hmac.new(_key(), address.encode(), hashlib.sha256).hexdigest()


def is_hash(text: str) -> bool:
    """Whether this is what `hash_of` gives."""
    return _SHAPE.fullmatch(text) is not None


def parameters() -> dict[str, bytes]:
    """The parameters of SQL: the key as HMAC mixes it in."""
    padded = _key().ljust(_BLOCK, b"\0")
    return {"hash_inner": bytes(byte ^ 0x36 for byte in padded), "hash_outer": bytes(byte ^ 0x5C for byte in padded)}


def _key() -> bytes:
    return hashlib.sha256(f"erased addresses:{settings.ERASURE_KEY}".encode()).digest()
