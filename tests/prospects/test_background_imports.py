import stat
from contextlib import suppress
from datetime import timedelta
from unittest import mock

import pytest

from outreach import uploading
from outreach.parsing import BodyTooLarge
from prospects import csv_rows, importing, staging
from prospects.models import Prospect, ProspectImport
from tests.factories import ProspectImportFactory
from tests.prospects.files import counts, import_text, keep, queue_text

pytestmark = pytest.mark.django_db

State = ProspectImport.State


@pytest.mark.parametrize("text", ["email\na@example.com\n", "name\nAda\n"])
def test_the_file_is_deleted_whether_or_not_it_was_taken(text, import_directory):
    with suppress(csv_rows.NoEmailColumn):
        import_text(text)

    assert list(import_directory.iterdir()) == []


def test_kept_files_are_private_and_named_by_us(import_directory):
    path = keep("email\n")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(import_directory.stat().st_mode) == 0o700
    assert path.parent == import_directory


def test_a_file_beyond_the_limit_is_not_kept(settings, import_directory):
    settings.IMPORT_MAX_BYTES = 10

    with pytest.raises(BodyTooLarge):
        uploading.keep([b"123456", b"78901"])

    assert list(import_directory.iterdir()) == []


def test_a_large_file_waits_for_a_worker(settings, now):
    settings.IMPORT_INLINE_LIMIT = 10

    small = importing.accept_file(keep("email\n"), by="anna", now=now)
    large = importing.accept_file(keep("email\na@example.com\n"), by="anna", now=now)

    assert (small.state, large.state) == (State.DONE, State.QUEUED)


def test_a_background_import_does_what_any_import_does(now, import_directory):
    record = queue_text("email\na@example.com\nno\n")

    assert importing.run_import(record.pk, now=now)

    record.refresh_from_db()
    assert (record.state, counts(record)) == (State.DONE, (2, 1, 0, 0, 1, 0, 0))
    assert record.started_at == now
    assert record.finished_at is not None
    assert list(import_directory.iterdir()) == []


def test_a_background_import_is_done_once(now):
    record = queue_text("email\na@example.com\n")
    importing.run_import(record.pk, now=now)

    assert not importing.run_import(record.pk, now=now)


def test_a_background_import_without_an_email_column_is_refused_at_once(import_directory):
    with pytest.raises(csv_rows.NoEmailColumn):
        queue_text("name\nAda\n")

    assert not ProspectImport.objects.exists()
    assert list(import_directory.iterdir()) == []


def test_a_background_import_of_a_broken_file_fails_and_says_why(now, import_directory):
    record = queue_text('email,company\na@example.com,A\nb@example.com,"Acme\n')

    importing.run_import(record.pk, now=now)

    record.refresh_from_db()
    assert (record.state, record.error_code) == (State.FAILED, "IMPORT_UNCLOSED_QUOTE")
    assert "line 3" in record.error
    assert not Prospect.objects.exists()
    assert list(import_directory.iterdir()) == []


def test_an_unexpected_error_fails_the_import_and_not_the_worker(now):
    record = queue_text("email\na@example.com\n")

    with mock.patch.object(staging, "write", side_effect=ValueError):
        importing.run_import(record.pk, now=now)

    record.refresh_from_db()
    assert (record.state, record.error_code) == (State.FAILED, "IMPORT_FAILED")


def test_an_import_whose_file_is_gone_fails_and_says_so(now, import_directory):
    record = queue_text("email\na@example.com\n")
    (import_directory / record.file_path).unlink()

    importing.run_import(record.pk, now=now)

    record.refresh_from_db()
    assert record.error_code == "IMPORT_FILE_GONE"


def test_a_killed_workers_import_is_done_again(now):
    record = queue_text("email\na@example.com\n")
    ProspectImport.objects.filter(pk=record.pk).update(state=State.RUNNING, started_at=now - timedelta(seconds=1))

    assert importing.list_waiting() == [record.pk]
    assert importing.run_import(record.pk, now=now)


def test_finished_imports_do_not_wait():
    ProspectImportFactory(state=State.DONE)
    ProspectImportFactory(state=State.FAILED)

    assert importing.list_waiting() == []


def test_forgotten_files_are_deleted_after_a_day(now, import_directory):
    waiting = queue_text("email\na@example.com\n")
    orphan = keep("email\n")

    assert importing.forget_files(now) == 0
    assert importing.forget_files(now + timedelta(days=2)) == 1

    assert not orphan.exists()
    assert [path.name for path in import_directory.iterdir()] == [waiting.file_path]


def test_a_broker_that_is_away_keeps_no_import_from_being_queued(now, django_capture_on_commit_callbacks, settings):
    away = mock.patch("celery.app.base.Celery.send_task", side_effect=ConnectionError)
    with away as sent, django_capture_on_commit_callbacks(execute=True):
        record = queue_text("email\na@example.com\n")

    assert sent.call_args.args[0] == "prospects.tasks.run_import"
    assert importing.list_waiting() == [record.pk]
