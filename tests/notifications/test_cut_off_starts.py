"""PostgreSQL commits that calls start, and its answer never comes: no call is made, so none may be told as unknown."""

import re
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from campaigns import dispatching
from campaigns.models import EmailSend
from notifications.models import TransactionalEmail
from notifications.transports.memory import MemoryTransport
from tests.factories import CampaignFactory
from tests.notifications import outbox

pytestmark = pytest.mark.django_db(transaction=True)

_START = re.compile(r"SET\s+call_started_at = clock_timestamp\(\)")


@contextmanager
def cut_off_after_the_start(table):
    """The session ends right after the first "call started" was committed, and before anybody hears of it."""
    cuts = []

    def around(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if not cuts and _START.search(sql):
            with connections["default"].cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM {table} WHERE call_started_at IS NOT NULL")  # noqa: S608
                cuts.append(cursor.fetchone()[0])
            connection.connection.close()
            raise OperationalError("terminating connection due to administrator command")
        return result

    with connection.execute_wrapper(around):
        yield cuts


def test_a_campaigns_rows_go_back_to_waiting_and_leave_with_the_next_chunk(settings):
    settings.SES_MAX_SEND_RATE = 100.0
    campaign, transport = CampaignFactory(sending=True, waiting=20), MemoryTransport()

    def send():
        return dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)

    with cut_off_after_the_start("email_sends") as cuts, pytest.raises(OperationalError):
        send()
    assert (cuts[0] > 0, transport.sent) == (True, [])
    assert set(EmailSend.objects.values_list("status", "claimed_by", "lease_until")) == {("queued", None, None)}
    campaign.refresh_from_db()
    send()

    assert len(transport.sent) == 20
    assert set(EmailSend.objects.values_list("status", "error")) == {("sent", "")}


def test_a_transactional_mail_goes_back_to_waiting_and_leaves_with_the_next_task():
    mail = outbox.posted()

    with cut_off_after_the_start("transactional_emails") as cuts, pytest.raises(OperationalError):
        outbox.send()

    assert cuts == [1]
    assert TransactionalEmail.objects.get(pk=mail.pk).status == "queued"
    assert len(outbox.send().sent) == 1
