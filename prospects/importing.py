"""Importing files of people, now or in the background: all of a file, or nothing of it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now
from psycopg.errors import DeadlockDetected, LockNotAvailable

from outreach import publishing, uploading
from outreach.errors import DomainError
from prospects import cleaning, csv_rows, staging
from prospects.models import ProspectImport

logger = logging.getLogger(__name__)

UNFINISHED = frozenset({ProspectImport.State.QUEUED, ProspectImport.State.RUNNING})
_LEFT_BEHIND = timedelta(days=1)


class ImportBusy(DomainError):
    """Another import or change holds some of these people: try again in a minute."""

    code = "IMPORT_BUSY"
    status = 503


class FileGone(DomainError):
    """The file is not where imports wait: web and worker processes must share IMPORT_DIRECTORY."""

    code = "IMPORT_FILE_GONE"
    status = 500


def accept_file(path: Path, *, file_name: str = "", background: bool = False, by: str, now: datetime) -> ProspectImport:
    """Import a kept file now, or queue it when it is large or the caller does not want to wait.

    Raises what import_file and queue_file raise; the file is theirs from here on.
    """
    name = cleaning.text(file_name)[:255]
    if background or path.stat().st_size > settings.IMPORT_INLINE_LIMIT:
        return queue_file(path, file_name=name, by=by)
    return import_file(path, file_name=name, by=by, now=now)


def import_file(path: Path, *, file_name: str = "", by: str, now: datetime) -> ProspectImport:
    """Import a kept file at once and delete it. Raises the errors of csv_rows, and ImportBusy; then nothing remains."""
    try:
        with _no_waiting_for_ever(), transaction.atomic():
            record = ProspectImport.objects.create(file_name=file_name, created_by=by, started_at=now)
            _take(record, path, now=now)
    finally:
        path.unlink(missing_ok=True)
    return record


def queue_file(path: Path, *, file_name: str = "", by: str) -> ProspectImport:
    """Import a kept file in the background. A file without an email column is refused (and deleted) at once."""
    try:
        with csv_rows.open_rows(path):
            pass
        with transaction.atomic():
            record = ProspectImport.objects.create(file_name=file_name, file_path=path.name, created_by=by)
            transaction.on_commit(partial(publishing.publish, "prospects.tasks.run_import", record.pk))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return record


def run_import(import_id: int, *, now: datetime) -> bool:
    """Do a background import unless somebody else is at it or has done it; returns whether we did.

    The row stays locked while we work, so a killed worker's import is free again as soon as the
    database notices, and doing it again gives the same result.
    """
    with transaction.atomic():
        record = _claim(import_id)
        if record is None:
            return False
        record.state, record.started_at = ProspectImport.State.RUNNING, now
        record.save(update_fields=["state", "started_at"])
    return _run(import_id, now=now)


def list_waiting() -> list[int]:
    """The imports that are queued, or were left running by a worker that died; oldest first."""
    return list(ProspectImport.objects.filter(state__in=UNFINISHED).order_by("pk").values_list("pk", flat=True))


def forget_files(now: datetime) -> int:
    """Delete kept files that no waiting import needs; returns how many."""
    needed = set(ProspectImport.objects.filter(state__in=UNFINISHED).values_list("file_path", flat=True))
    return uploading.forget_older_than(_LEFT_BEHIND, now=now, except_for=needed)


def _claim(import_id: int) -> ProspectImport | None:
    waiting = ProspectImport.objects.filter(pk=import_id, state__in=UNFINISHED)
    return waiting.select_for_update(skip_locked=True).first()


def _run(import_id: int, *, now: datetime) -> bool:
    with transaction.atomic():
        record = _claim(import_id)
        if record is None:
            return False
        path = uploading.find(record.file_path)
        try:
            with transaction.atomic():
                _take(record, path, now=now)
        except (OperationalError, InterfaceError):
            raise  # the database is away or busy: beat tries again
        except DomainError as error:
            _fail(record, error.code, error.detail)
        except Exception:
            logger.exception("import_failed", extra={"import_id": import_id})
            _fail(record, "IMPORT_FAILED", "Something unexpected happened; the log tells what.")
    path.unlink(missing_ok=True)
    return True


def _take(record: ProspectImport, path: Path, *, now: datetime) -> None:
    """Everything that an import does to the database, inside the caller's transaction."""
    if not path.is_file():
        raise FileGone
    with csv_rows.open_rows(path) as rows:
        staged = staging.stage(rows)
    duplicate = staging.reject(record.pk)
    written = staging.write(now)
    record.rows, record.invalid, record.duplicate = staged.rows, staged.invalid, duplicate
    record.created, record.updated, record.suppressed = written
    record.unchanged = staged.rows - staged.invalid - duplicate - written.created - written.updated
    _finish(record, ProspectImport.State.DONE)


def _fail(record: ProspectImport, code: str, reason: str) -> None:
    record.error_code, record.error = code, reason
    _finish(record, ProspectImport.State.FAILED)


def _finish(record: ProspectImport, state: ProspectImport.State) -> None:
    # The database's clock: this may be many minutes after the caller read its own.
    record.state, record.finished_at = state, Now()
    record.save()
    record.refresh_from_db(fields=["finished_at"])
    logger.info("import_%s", state, extra={"import_id": record.pk, "rows": record.rows, "error_code": record.error_code})


@contextmanager
def _no_waiting_for_ever() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, DeadlockDetected | LockNotAvailable):
            raise ImportBusy from error
        raise
