"""Whether a connection still lives is asked of its socket, and of the server only where the socket leaves a doubt."""

import time

import pytest
from django.db import connection, connections
from django.db.backends.postgresql import base

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(monkeypatch):
    calls = []
    ask = base.DatabaseWrapper.is_usable
    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", lambda self: calls.append(1) or ask(self))
    return calls


def end_session(pid):
    """As a server does that is shut down."""
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


def test_the_server_is_not_asked_while_it_is_silent(asked):
    connection.ensure_connection()

    assert connection.is_usable()
    assert asked == []


def test_a_connection_that_the_server_ended_is_not_usable(asked):
    connection.ensure_connection()
    end_session(connection.connection.info.backend_pid)
    time.sleep(0.05)

    assert not connection.is_usable()
    assert asked == [1]
    connection.close()


def test_a_request_after_a_restart_gets_a_new_connection():
    connection.ensure_connection()
    end_session(connection.connection.info.backend_pid)
    time.sleep(0.05)

    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_the_server_is_asked_after_an_error(asked):
    connection.ensure_connection()
    connection.errors_occurred = True

    assert connection.is_usable()
    assert asked == [1]


def test_a_connection_left_in_a_failed_transaction_is_not_usable():
    connection.ensure_connection()
    session = connection.connection
    with pytest.raises(Exception, match="division by zero"):
        session.execute("BEGIN; SELECT 1/0")

    assert not connection.is_usable()
    session.rollback()
