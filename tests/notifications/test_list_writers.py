"""Whoever writes about many addresses of the suppression list does so one after the other: events keep no order of them."""

import pytest
from django.db import transaction

from notifications import listing, suppressing, suppression_syncing
from notifications.models import Suppression, SuppressionReason
from tests import sessions
from tests.notifications.account_list import AccountList, listed

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, LAST = "a@example.com", "z@example.com"


def put(*emails, now):
    return listing.put(dict.fromkeys(emails, ""), reason=SuppressionReason.MANUAL, source="a file", now=now)


def sync(*emails, now):
    suppression_syncing.sync(AccountList(*map(listed, emails)), now=now)


def lose(email, *, reason, now):
    suppressing.suppress([email], reason=reason, source="SES", now=now)


@pytest.mark.parametrize("write", [put, sync])
def test_many_addresses_wait_for_a_batch_of_events(write, now):
    with sessions.sessions_of_their_own() as run:
        with transaction.atomic():
            suppressing.one_writer_at_a_time()
            lose(LAST, reason=SuppressionReason.BOUNCE, now=now)
            written = run(lambda: write(FIRST, LAST, now=now))
            sessions.wait_for_waiters()
            # Had they begun, theirs would be the first address and ours the last: a deadlock.
            lose(FIRST, reason=SuppressionReason.COMPLAINT, now=now)
        written.result(sessions.SECONDS)

    assert dict(Suppression.objects.values_list("email", "reason")) == {FIRST: "complaint", LAST: "bounce"}


def test_one_address_waits_for_nobody(now):
    with sessions.sessions_of_their_own() as run, transaction.atomic():
        suppressing.one_writer_at_a_time()
        assert run(lambda: put(FIRST, now=now)).result(sessions.SECONDS) == (1, 0)
