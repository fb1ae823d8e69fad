from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest import mock

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from notifications.meaning import Effect
from notifications.signals import Loss
from prospects import consent, importing, staging, tasks
from prospects.models import Prospect, ProspectImport, ProspectStatus
from tests import sessions
from tests.factories import ProspectFactory
from tests.prospects.files import counts, import_text, in_threads, queue_text

pytestmark = pytest.mark.django_db(transaction=True)

State = ProspectImport.State


def test_two_imports_at_once_account_for_every_person_once():
    people = [f"p{n}@example.com" for n in range(2000)]
    forwards = "email,first_name\n" + "".join(f"{email},A\n" for email in people)
    backwards = "email,first_name\n" + "".join(f"{email},B\n" for email in reversed(people))

    records = in_threads(lambda: import_text(forwards), lambda: import_text(backwards))

    assert sum(record.created for record in records) == 2000
    assert sum(record.updated for record in records) == 2000
    assert all(record.created + record.updated == 2000 for record in records)


def test_counts_are_exact_while_others_write():
    people = [f"p{n}@example.com" for n in range(1000)]
    Prospect.objects.bulk_create(Prospect(email=email, first_name="Old") for email in people[:500])
    text = "email,first_name\n" + "".join(f"{email},New\n" for email in people)

    def unsubscribe_everybody():
        for email in people[:500]:
            Prospect.objects.filter(email=email).update(unsubscribed_at=timezone.now())

    record, _ = in_threads(lambda: import_text(text), unsubscribe_everybody)

    assert counts(record)[:4] == (1000, 500, 500, 0)
    assert Prospect.objects.filter(status=ProspectStatus.UNSUBSCRIBED, first_name="New").count() == 500


def test_a_person_whom_the_file_does_not_change_is_not_locked():
    ProspectFactory(email="a@example.com", first_name="Ada")

    with transaction.atomic():
        Prospect.objects.select_for_update().get()
        [record] = in_threads(lambda: import_text("email,first_name\na@example.com,Ada\n"))

    assert record.unchanged == 1


def test_people_held_by_other_work_give_a_clear_answer_and_no_effect():
    ProspectFactory(email="a@example.com", first_name="Ada")

    def import_impatiently():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        return import_text("email,first_name\na@example.com,New\nb@example.com,Bob\n")

    with transaction.atomic():
        Prospect.objects.select_for_update().get()
        [error] = in_threads(import_impatiently)

    assert isinstance(error, importing.ImportBusy)
    assert Prospect.objects.count() == 1


def test_an_import_that_a_worker_is_at_is_left_alone(now):
    record = queue_text("email\na@example.com\n")

    with transaction.atomic():
        ProspectImport.objects.select_for_update().get()
        results = in_threads(lambda: importing.run_import(record.pk, now=now))

    assert results == [False]


def test_an_import_says_that_it_runs_while_it_runs(now):
    record = queue_text("email\na@example.com\n")
    seen = []

    def look(*_args):
        seen.extend(in_threads(lambda: ProspectImport.objects.get().state))
        return staging.Written(1, 0, 0)

    with mock.patch.object(staging, "write", look):
        importing.run_import(record.pk, now=now)

    assert seen == [State.RUNNING]


def test_a_change_that_somebody_else_made_meanwhile_is_no_change():
    person = ProspectFactory(email="a@example.com", first_name="Old")
    text = "email,first_name\na@example.com,New\n"

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            Prospect.objects.filter(pk=person.pk).update(first_name="New")
            blocked = pool.submit(in_threads, partial(import_text, text))
            sessions.wait_for_waiters()
        [record] = blocked.result()

    assert (record.updated, record.unchanged) == (0, 1)


def record_losses(losses, now):
    with transaction.atomic():
        consent.record_losses(losses, now=now)


def test_an_import_and_events_about_the_same_people_cannot_deadlock(now):
    # Addresses in the reverse order of ids: whoever went by address would meet the other half-way.
    people = [ProspectFactory(email=f"p{n}@example.com") for n in range(9, 0, -1)]
    losses = [
        Loss(email=p.email, effect=Effect.BOUNCE, occurred_at=now, fingerprint=p.email, campaign_key="", user_agent="")
        for p in people
    ]
    text = "email,first_name\n" + "".join(f"{p.email},New\n" for p in people)

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            Prospect.objects.select_for_update().get(pk=people[4].pk)
            both = pool.submit(in_threads, partial(import_text, text), partial(record_losses, losses, now))
            sessions.wait_for_waiters(2)
        record, nothing = both.result()

    assert (counts(record)[:3], nothing) == ((9, 0, 9), None)


def test_an_import_whose_connection_dies_leaves_nothing_and_is_done_again(now):
    record = queue_text("email\na@example.com\nno\n")

    def die(_now):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with mock.patch.object(staging, "write", die):
        [error] = in_threads(partial(importing.run_import, record.pk, now=now))
    assert isinstance(error, OperationalError)
    record.refresh_from_db()
    assert (record.state, Prospect.objects.count(), record.rejected_rows.count()) == (State.RUNNING, 0, 0)

    tasks.run_waiting_imports()
    record.refresh_from_db()
    assert (record.state, counts(record)[:2], record.rejected_rows.count()) == (State.DONE, (2, 1), 1)
