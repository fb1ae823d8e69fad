"""Translations: `.po` files, which people write, into `.mo` files, which Django reads; without GNU gettext.

The compiled files are committed, so that neither an installation nor a container needs a compiler. Understood is what
`makemessages` writes: comments, singular and plural, strings on several lines. A fuzzy entry is not taken.
"""

import ast
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from outreach.errors import DomainError

_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d\])?)\s*(".*")$')
_MAGIC = 0x950412DE


class BadCatalogue(DomainError):
    """A .po file that cannot be read."""

    code = "BAD_CATALOGUE"


def catalogues(root: Path) -> list[Path]:
    """Every .po file below `root`."""
    return sorted(root.glob("*/LC_MESSAGES/*.po"))


def entries(text: str) -> Iterator[dict[str, str]]:
    """The entries of a .po file: `msgid`, `msgstr` or `msgstr[0]`, … Raises BadCatalogue."""
    for block in re.split(r"\n\s*\n", text.strip()):
        entry = _entry(block)
        if "msgid" in entry and not re.search(r"^#,.*\bfuzzy\b", block, re.MULTILINE):
            yield entry


def compiled(text: str) -> bytes:
    """The .mo file of a .po file's text (gettext's manual, "The Format of GNU MO Files"). Raises BadCatalogue."""
    messages = dict(sorted(filter(None, map(_message, entries(text)))))
    keys, values = list(messages), list(messages.values())
    start = 7 * 4 + 16 * len(keys)
    places = []
    for string in [*keys, *values]:
        places += [len(string), start]
        start += len(string) + 1
    header = struct.pack("<7I", _MAGIC, 0, len(keys), 7 * 4, 7 * 4 + 8 * len(keys), 0, 0)
    return header + struct.pack(f"<{len(places)}I", *places) + b"".join(string + b"\0" for string in [*keys, *values])


def _entry(block: str) -> dict[str, str]:
    entry: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line.startswith("#"):
            continue
        if match := _KEYWORD.match(line):
            name, quoted = match[1], match[2]
        elif name and line.startswith('"'):
            quoted = line
        else:
            raise BadCatalogue(f"not understood: {line}")
        entry[name] = entry.get(name, "") + _unquoted(quoted)
    return entry


def _unquoted(quoted: str) -> str:
    try:
        return str(ast.literal_eval(quoted))
    except (ValueError, SyntaxError) as error:
        raise BadCatalogue(f"not a string: {quoted}") from error


def _message(entry: dict[str, str]) -> tuple[bytes, bytes] | None:
    """Key and value as they stand in a .mo file; None when there is no translation."""
    key = entry["msgid"]
    if "msgctxt" in entry:
        key = f"{entry['msgctxt']}\x04{key}"
    if "msgid_plural" in entry:
        forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr[")]
        return (f"{key}\0{entry['msgid_plural']}".encode(), "\0".join(forms).encode()) if all(forms) else None
    return (key.encode(), entry["msgstr"].encode()) if entry.get("msgstr") else None
