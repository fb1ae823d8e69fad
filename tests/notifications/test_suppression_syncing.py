"""SES' list and ours: both ways, twice, by halves, at once, and what is nobody's business but a person's."""

from datetime import timedelta

import pytest
from django.db import connections

from notifications import suppressing, suppression_syncing
from notifications.models import SesListConflict, Suppression
from notifications.transports.ses_suppressions import ListUnavailable
from outreach import keyed_hashes
from tests.factories import SuppressionFactory
from tests.notifications.account_list import AccountList, lift, listed, reasons

pytestmark = pytest.mark.django_db


def test_theirs_becomes_ours_with_their_reason_and_time(now):
    there = AccountList(listed("Ada@Example.com"), listed("b@example.com", "COMPLAINT"), listed("not an address"))

    report = suppression_syncing.sync(there, now=now)

    assert (report.theirs, report.taken, report.unreadable, report.put) == (3, 2, 1, 0)
    assert reasons() == {"ada@example.com": "bounce", "b@example.com": "complaint"}
    ada = Suppression.objects.get(email="ada@example.com")
    assert (ada.source, ada.suppressed_at) == ("SES account list", there.listed["Ada@Example.com"].updated_at)


def test_our_bounces_and_complaints_go_there_and_nothing_else_does(now):
    for reason in ("bounce", "complaint", "manual", "unsubscribe"):
        SuppressionFactory(email=f"{reason}@example.com", reason=reason)
    SuppressionFactory(email="soft@example.com", reason="bounce", source=suppressing.SOFT_BOUNCES)
    SuppressionFactory(email=keyed_hashes.hash_of("gone@example.com"), reason="bounce")
    there = AccountList()

    report = suppression_syncing.sync(there, now=now)

    assert there.puts == [("bounce@example.com", "BOUNCE"), ("complaint@example.com", "COMPLAINT")]
    assert (report.put, report.waiting) == (2, 0)


def test_a_second_run_has_nothing_to_do(now):
    SuppressionFactory(email="a@example.com", reason="bounce")
    there = AccountList(listed("b@example.com"))
    suppression_syncing.sync(there, now=now)
    before = list(Suppression.objects.order_by("pk").values("email", "reason", "suppressed_at", "source"))

    report = suppression_syncing.sync(there, now=now + timedelta(days=1))

    assert (report.taken, report.put, len(there.puts)) == (0, 0, 1)
    assert list(Suppression.objects.order_by("pk").values("email", "reason", "suppressed_at", "source")) == before


def test_a_run_that_broke_off_is_gone_on_with(now):
    for n in range(4):
        SuppressionFactory(email=f"p{n}@example.com", reason="bounce")
    there = AccountList()
    there.fail_at = 2
    with pytest.raises(ListUnavailable):
        suppression_syncing.sync(there, now=now)
    there.fail_at = None

    assert suppression_syncing.sync(there, now=now).put == 2
    assert sorted(there.puts) == [(f"p{n}@example.com", "BOUNCE") for n in range(4)]


def test_a_night_puts_so_many_and_the_next_goes_on(now):
    for n in range(3):
        SuppressionFactory(email=f"p{n}@example.com", reason="bounce")
    there = AccountList()

    assert suppression_syncing.sync(there, most_puts=2, now=now).waiting == 1
    assert suppression_syncing.sync(there, most_puts=2, now=now).waiting == 0


def test_what_a_person_lifted_here_is_a_conflict_and_stays_as_it_is(now):
    lift("ada@example.com", now)
    there = AccountList(listed("Ada@example.com"))

    report = suppression_syncing.sync(there, now=now)

    assert [one.address for one in report.conflicts] == ["Ada@example.com"]
    assert not reasons()
    assert (there.deleted, there.puts) == ([], [])
    assert SesListConflict.objects.get(settled_at=None).address == "Ada@example.com"


def test_a_bounce_after_the_lift_is_news_and_no_conflict(now):
    lift("ada@example.com", now - timedelta(days=5))

    report = suppression_syncing.sync(AccountList(listed("ada@example.com", days_ago=1)), now=now)

    assert (report.conflicts, reasons()) == ([], {"ada@example.com": "bounce"})


def test_a_conflict_that_is_none_any_more_is_not_listed(now):
    lift("ada@example.com", now)
    there = AccountList(listed("ada@example.com"))
    suppression_syncing.sync(there, now=now)
    there.listed.clear()

    suppression_syncing.sync(there, now=now)

    assert not SesListConflict.objects.exists()


def test_a_dry_run_says_what_would_be_and_changes_nothing(now):
    SuppressionFactory(email="ours@example.com", reason="bounce")
    SuppressionFactory(email="both@example.com", reason="bounce")
    lift("lifted@example.com", now)
    there = AccountList(listed("theirs@example.com"), listed("Both@example.com"), listed("lifted@example.com"))
    before = reasons()

    report = suppression_syncing.sync(there, dry_run=True, now=now)

    assert (report.taken, report.put, len(report.conflicts)) == (1, 1, 1)
    assert (reasons(), there.puts, SesListConflict.objects.count()) == (before, [], 0)


def test_an_address_of_which_only_the_hash_is_left_does_not_come_back(now):
    SuppressionFactory(email=keyed_hashes.hash_of("gone@example.com"), reason="bounce")

    suppression_syncing.sync(AccountList(listed("gone@example.com")), now=now)

    assert list(reasons()) == [keyed_hashes.hash_of("gone@example.com")]


@pytest.mark.django_db(transaction=True)
def test_of_two_runs_at_once_the_second_is_refused(now):
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [suppression_syncing._ONE_RUN])
        with pytest.raises(suppression_syncing.SyncRunning):
            suppression_syncing.sync(AccountList(), now=now)
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [suppression_syncing._ONE_RUN])
    finally:
        other.close()
    suppression_syncing.sync(AccountList(), now=now)


def test_removing_at_ses_takes_a_reason_and_is_kept(now):
    lift("ada@example.com", now)
    there = AccountList(listed("Ada@example.com"))
    suppression_syncing.sync(there, now=now)

    with pytest.raises(suppression_syncing.RemovalNeedsReason):
        suppression_syncing.remove_at_ses(there, "Ada@example.com", by="anna", why=" ", now=now)
    assert suppression_syncing.remove_at_ses(there, "Ada@example.com", by="anna", why="mended", now=now)

    kept = SesListConflict.objects.get()
    assert (there.deleted, kept.settled_by, kept.why) == (["Ada@example.com"], "anna", "mended")


def test_what_our_own_list_has_is_not_removed_there(now):
    SuppressionFactory(email="ada@example.com", reason="bounce")
    there = AccountList(listed("ada@example.com"))

    with pytest.raises(suppression_syncing.StillSuppressed):
        suppression_syncing.remove_at_ses(there, "ada@example.com", by="anna", why="mended", now=now)
    assert there.deleted == []
