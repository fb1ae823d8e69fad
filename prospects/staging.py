"""A file's rows into the database: one COPY into a staging table, then one statement for each effect.

Everything here runs inside the caller's transaction; the table is gone when it ends.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from outreach import keyed_hashes
from prospects.csv_rows import Person, Rejected

# Cleaned tags hold no control characters, so a tab can stand between them.
_BETWEEN_TAGS = "\t"

_CREATE = """
DROP TABLE IF EXISTS pg_temp.staged;
CREATE TEMP TABLE staged (
    line integer, email text, first_name text, last_name text, company text, source text, tags text, attributes text,
    status text, code text, detail text
) ON COMMIT DROP
"""

_COPY = "COPY staged (line, email, first_name, last_name, company, source, tags, attributes, status, code, detail) FROM STDIN"

# Who said no in the file and is neither known here by that very status nor on the list would be mailed if a row of
# theirs were taken: none is, whatever the file's other rows of the address say.
_REFUSE_STATUS = """
WITH news AS (
    SELECT DISTINCT ON (email) email, line, status FROM staged s
     WHERE status <> ''
       AND NOT EXISTS (SELECT FROM prospects p WHERE p.email = s.email AND p.status = s.status)
       AND NOT EXISTS (SELECT FROM email_suppressions x WHERE x.email = s.email)
     ORDER BY email, line
)
UPDATE staged s
   SET code = 'status_not_importable',
       detail = 'Line ' || news.line || ' says that the status is ' || news.status || ', which an import does not set.'
             || ' Whom you must not write to: add the address to the suppression list instead. Else leave the cell empty.'
  FROM news WHERE news.email = s.email AND s.code IS NULL
"""

_REJECT = """
INSERT INTO prospect_import_rejected_rows (prospect_import_id, line, email, code, detail)
SELECT %(id)s, line, email, code, detail FROM staged WHERE code IS NOT NULL
"""

_REJECT_DUPLICATES = """
INSERT INTO prospect_import_rejected_rows (prospect_import_id, line, email, code, detail)
SELECT %(id)s, line, email, 'duplicate', 'The same address is in line ' || first_line || '; that row counts.'
  FROM (SELECT line, email, min(line) OVER (PARTITION BY email) AS first_line FROM staged WHERE code IS NULL) AS taken
 WHERE line > first_line
"""

# What a row would change about the person `p`. Blank cells say nothing, tags and attributes add up.
_DIFFERS = """(
    ({new}.first_name <> '' AND {new}.first_name <> p.first_name)
    OR ({new}.last_name <> '' AND {new}.last_name <> p.last_name)
    OR ({new}.company <> '' AND {new}.company <> p.company)
    OR ({new}.source NOT IN ('', 'import') AND {new}.source <> p.source)
    OR NOT {new}.tags <@ p.tags
    OR NOT p.attributes @> {new}.attributes
)"""

# Whoever says no meanwhile should not wait for us: rows that change nothing are left out before they
# would be locked (the second look, under the lock, is the one that counts), and new people, whom
# nobody else sees yet, come first. Known ones are locked in the order of their ids, as `consent` does.
_UPSERT = f"""
WITH people AS (
    SELECT DISTINCT ON (email) email, first_name, last_name, company, source,
           string_to_array(tags, E'\\t')::varchar[] AS tags, attributes::jsonb AS attributes
      FROM staged WHERE code IS NULL ORDER BY email, line
), written AS (
    INSERT INTO prospects AS p (
        email, first_name, last_name, company, source, tags, attributes,
        unsubscribed_at, bounced_at, complained_at, unsubscribe_token, created_at, updated_at
    )
    SELECT n.email, n.first_name, n.last_name, n.company, coalesce(nullif(n.source, ''), 'import'), n.tags, n.attributes,
           s.unsubscribed_at,
           CASE WHEN s.reason = 'bounce' THEN s.suppressed_at END,
           CASE WHEN s.reason = 'complaint' THEN s.suppressed_at END,
           gen_random_uuid(), %(now)s, %(now)s
      FROM people AS n
      LEFT JOIN prospects AS p ON p.email = n.email
      LEFT JOIN email_suppressions AS s ON s.email = n.email
     WHERE p.id IS NULL OR {_DIFFERS.format(new="n")}
     ORDER BY p.id NULLS FIRST, n.email
        ON CONFLICT (email) DO UPDATE
       SET first_name = coalesce(nullif(excluded.first_name, ''), p.first_name),
           last_name = coalesce(nullif(excluded.last_name, ''), p.last_name),
           company = coalesce(nullif(excluded.company, ''), p.company),
           source = CASE WHEN excluded.source = 'import' THEN p.source ELSE excluded.source END,
           tags = p.tags || ARRAY(
               SELECT tag FROM unnest(excluded.tags) WITH ORDINALITY AS t(tag, place) WHERE tag <> ALL (p.tags) ORDER BY place
           ),
           attributes = p.attributes || excluded.attributes,
           updated_at = excluded.updated_at
     WHERE {_DIFFERS.format(new="excluded")}
    RETURNING (p.xmax = 0) AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
"""  # noqa: S608 (both parts are constants of this file)

# Of people who were erased the list may have the hash alone. Nothing to do, and nothing read, while it has none.
_MARK_BY_HASH = """
UPDATE prospects p
   SET unsubscribed_at = coalesce(p.unsubscribed_at, s.unsubscribed_at),
       bounced_at = coalesce(p.bounced_at, CASE WHEN s.reason = 'bounce' THEN s.suppressed_at END),
       complained_at = coalesce(p.complained_at, CASE WHEN s.reason = 'complaint' THEN s.suppressed_at END)
  FROM (SELECT DISTINCT email FROM staged
         WHERE code IS NULL AND (SELECT EXISTS (SELECT FROM email_suppressions WHERE email LIKE 'erased-%%'))) AS n
  JOIN email_suppressions s ON s.email = {hashed}
 WHERE p.email = n.email AND p.created_at = %(now)s
""".replace("{hashed}", keyed_hashes.SQL.format(column="n.email"))

_COUNT_SUPPRESSED = """
SELECT count(DISTINCT staged.email)
  FROM staged
  JOIN (
      SELECT email FROM email_suppressions
      UNION SELECT email FROM prospects WHERE status IN ('unsubscribed', 'bounced', 'complained')
  ) AS silent ON silent.email = staged.email
 WHERE staged.code IS NULL
"""


class Staged(NamedTuple):
    """How many rows the file has, and how many of them cannot be taken."""

    rows: int
    invalid: int


class Written(NamedTuple):
    """How many people were made and changed, and how many of the file's get no mail."""

    created: int
    updated: int
    suppressed: int


def stage(rows: Iterable[Person | Rejected]) -> Staged:
    """Stream the rows into the staging table and mark those that cannot be taken; raises what iterating them raises."""
    count = invalid = 0
    with connection.cursor() as cursor:
        # A large file takes longer than any statement of a web request may.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(_CREATE)
        with cursor.copy(_COPY) as copy:
            for count, row in enumerate(rows, start=1):  # noqa: B007 (counted)
                copy.write_row(_staged(row))
                invalid += isinstance(row, Rejected)
        cursor.execute("ANALYZE staged")
        cursor.execute(_REFUSE_STATUS)
        invalid += cursor.rowcount
    return Staged(count, invalid)


def reject(import_id: int) -> int:
    """Record every row that was not taken; returns how many were duplicates within the file."""
    with connection.cursor() as cursor:
        cursor.execute(_REJECT, {"id": import_id})
        cursor.execute(_REJECT_DUPLICATES, {"id": import_id})
        return int(cursor.rowcount)


def write(now: datetime) -> Written:
    """Make and change the people of the staging table; facts, status and token of existing ones stay."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_SUPPRESSED)
        (suppressed,) = cursor.fetchone()
        cursor.execute(_UPSERT, {"now": now})
        created, updated = cursor.fetchone()
        cursor.execute(_MARK_BY_HASH, {"now": now, **keyed_hashes.parameters()})
        suppressed += cursor.rowcount
    return Written(created, updated, suppressed)


def _staged(row: Person | Rejected) -> tuple[object, ...]:
    if isinstance(row, Rejected):
        return (row.line, row.email, None, None, None, None, None, None, None, row.code, row.detail)
    line, email, tags, attributes, first_name, last_name, company, source, status = row
    listed = _BETWEEN_TAGS.join(tags)
    custom = json.dumps(attributes, ensure_ascii=False) if attributes else "{}"
    return (line, email, first_name, last_name, company, source, listed, custom, status, None, None)
