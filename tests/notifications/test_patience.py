"""What must be written down is written down although PostgreSQL is away, restarts or lets nobody write for a moment."""

import pytest
from django.db import InternalError, OperationalError, connection
from django.utils import timezone

from notifications import patience
from notifications.models import SendPace

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_failover_that_lets_nobody_write_for_a_moment_is_waited_for():
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    patience.patiently(lambda: SendPace.objects.create(id=1, next_slot_at=timezone.now()))

    assert SendPace.objects.exists()


def test_a_connection_that_was_cut_off_is_made_anew():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.connection.close()

    patience.patiently(lambda: SendPace.objects.create(id=1, next_slot_at=timezone.now()))

    assert SendPace.objects.exists()


@pytest.mark.parametrize("mistake", [InternalError("current transaction is aborted"), ValueError()])
def test_a_mistake_of_ours_is_raised_at_once(mistake):
    tries = []

    def store():
        tries.append(1)
        raise mistake

    with pytest.raises(type(mistake)):
        patience.patiently(store)
    assert len(tries) == 1


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(patience, "_PATIENCE", 0.0)

    def store():
        raise OperationalError("the connection is lost")

    with pytest.raises(OperationalError):
        patience.patiently(store)
