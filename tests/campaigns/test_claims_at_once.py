"""Claims, calls that start, pauses, deletions and events at the same moment: nobody waits for ever, and nobody is forgotten."""

import threading
import time
import uuid

import pytest
from django.db import connection, transaction

from campaigns import claiming, enrolling, lifecycle
from campaigns.models import Campaign, EmailSend
from notifications import ledgers
from prospects.models import Prospect
from tests import sessions
from tests.factories import CampaignFactory

pytestmark = pytest.mark.django_db(transaction=True)


def claim(campaign):
    ledger = claiming.CampaignLedger(campaign.pk, slice_id=uuid.uuid4())
    return (*ledger.claim(limit=100, lease=60.0), ledger)


def test_claims_restarts_and_deletions_wait_for_each_other_in_one_order():
    campaign = CampaignFactory(sending=True, waiting=3)
    person, held, go = Prospect.objects.order_by("pk")[0], threading.Event(), threading.Event()

    @transaction.atomic
    def start_again():
        Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        Campaign.objects.update(enrolled_through=0)
        held.set()
        go.wait(30)
        enrolling.enrol_batch(campaign.pk)

    with sessions.sessions_of_their_own(3) as run:
        starting = run(start_again)
        held.wait(30)
        claiming_ = run(claim, campaign)
        sessions.wait_for_waiters()
        deleting = run(person.delete)
        time.sleep(0.3)
        go.set()
        rows, skipped, _ = claiming_.result(30)
        assert (starting.result(30), deleting.result(30)[0] > 0) == (None, True)
    assert len(rows) + skipped == 3


def test_a_pause_does_not_wait_for_a_call_that_starts_at_this_moment():
    campaign = CampaignFactory(sending=True, waiting=3)
    (first, second, _), _, ledger = claim(campaign)

    with sessions.sessions_of_their_own() as run:
        with transaction.atomic():
            ledger.start([second.id])
            run(lambda: lifecycle.pause_campaign(campaign, by="ada")).result(sessions.SECONDS)
        started = EmailSend.objects.get(status="sending")

    assert (started.pk, EmailSend.objects.filter(status="queued").count()) == (second.id, 2)
    assert ledger.start([first.id]) == set()


def lock(send_id):
    EmailSend.objects.select_for_update(no_key=True).get(pk=send_id)


def test_a_call_start_that_loses_a_deadlock_is_made_again():
    (first, second), _, ledger = claim(CampaignFactory(sending=True, waiting=2))

    def start():
        with connection.cursor() as cursor:
            # It looks for a deadlock once, and must find us waiting by then.
            cursor.execute("SET deadlock_timeout = '5s'")
        return ledger.start([first.id, second.id])

    with sessions.sessions_of_their_own() as run:
        with transaction.atomic(), connection.cursor() as cursor:
            # Whoever looks first loses.
            cursor.execute("SET LOCAL deadlock_timeout = '30s'")
            lock(second.id)
            starting = run(start)
            sessions.wait_for_waiters()
            lock(first.id)
        assert starting.result(sessions.SECONDS) == {first.id, second.id}


# Loses three deadlocks, then returns 7: what a sequence has counted stays when a statement is taken back.
LOSING = """
CREATE TEMPORARY SEQUENCE lost;
CREATE FUNCTION pg_temp.start() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('lost') <= 3 THEN RAISE deadlock_detected; END IF;
    RETURN 7;
END $$
"""


def test_a_call_start_may_lose_three_deadlocks_in_a_row():
    with connection.cursor() as cursor:
        cursor.execute(LOSING)

    assert ledgers.mark_started("SELECT pg_temp.start()", {}) == {7}

    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION pg_temp.start(); DROP SEQUENCE lost")
