"""SES' list and ours: both ways, twice, by halves, at once, and what is nobody's business but a person's."""

from datetime import timedelta
from io import StringIO

import boto3
import pytest
from botocore.stub import Stubber
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from structlog.testing import capture_logs

from notifications import suppressing, suppression_syncing, tasks, transports
from notifications.models import SesListConflict, Suppression
from notifications.transports.ses_suppressions import Listed, ListUnavailable, SesSuppressions
from outreach import keyed_hashes
from tests.factories import SuppressionFactory
from tests.notifications.ses_stub import Stub, answer, error
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db


class AccountList:
    """A list of an account, in memory."""

    def __init__(self, *listed, page=2):
        self.listed = {one.address: one for one in listed}
        self.page, self.puts, self.deleted, self.fail_at = page, [], [], None

    def pages(self):
        rows = list(self.listed.values())
        for at in range(0, max(1, len(rows)), self.page):
            yield rows[at : at + self.page]

    def put(self, address, reason):
        if len(self.puts) == self.fail_at:
            raise ListUnavailable("throttled")
        self.puts.append((address, reason))
        self.listed[address] = Listed(address, reason, timezone.now())

    def delete(self, address):
        self.deleted.append(address)
        return self.listed.pop(address, None) is not None


def listed(address, reason="BOUNCE", days_ago=1):
    return Listed(address, reason, timezone.now() - timedelta(days=days_ago))


def reasons():
    return dict(Suppression.objects.values_list("email", "reason"))


def lift(email, now, reason="bounce"):
    suppressing.lift(SuppressionFactory(email=email, reason=reason), by="anna", why="a new mailbox", now=now)


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


# --- The calls themselves, as botocore knows them --------------------------------------------------------


@pytest.fixture
def ses():
    client = boto3.client("sesv2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        pauses = []
        stub.list = SesSuppressions("us-east-1", client=client, pause=pauses.append)
        stub.pauses = pauses
        yield stub


def test_pages_follow_each_other_at_a_gentle_pace(ses, now):
    row = {"EmailAddress": "A@example.com", "Reason": "BOUNCE", "LastUpdateTime": now}
    ses.add_response(
        "list_suppressed_destinations", {"SuppressedDestinationSummaries": [row], "NextToken": "t"}, {"PageSize": 1000}
    )
    ses.add_response("list_suppressed_destinations", {}, {"PageSize": 1000, "NextToken": "t"})

    assert [[one.address for one in page] for page in ses.list.pages()] == [["A@example.com"], []]
    assert ses.pauses == [1.1]


def test_putting_and_deleting_name_the_address_as_it_is(ses):
    ses.add_response("put_suppressed_destination", {}, {"EmailAddress": "A@example.com", "Reason": "BOUNCE"})
    ses.add_response("delete_suppressed_destination", {}, {"EmailAddress": "A@example.com"})
    ses.add_client_error("delete_suppressed_destination", "NotFoundException", http_status_code=404)

    ses.list.put("A@example.com", "BOUNCE")
    assert ses.list.delete("A@example.com")
    assert not ses.list.delete("B@example.com")
    ses.assert_no_pending_responses()


def test_a_missing_permission_is_named(ses):
    ses.add_client_error("list_suppressed_destinations", "AccessDeniedException", http_status_code=403)

    with pytest.raises(ListUnavailable, match="allow ses:ListSuppressedDestinations"):
        list(ses.list.pages())


# --- The command, the task and the admin -------------------------------------------------------------------


@pytest.fixture
def there(settings, monkeypatch):
    settings.EMAIL_MODE = "ses"
    account = AccountList(listed("ada@example.com"))
    monkeypatch.setattr(transports, "suppressions", lambda: account)
    return account


def test_the_command_lists_conflicts_and_deletes_one(there, now):
    lift("ada@example.com", now)
    out = StringIO()

    call_command("sync_suppressions", stdout=out)
    assert "1 conflicts" in out.getvalue()
    assert "  ada@example.com  BOUNCE" in out.getvalue()
    with pytest.raises(CommandError, match="needs a reason"):
        call_command("sync_suppressions", delete="ada@example.com")
    call_command("sync_suppressions", delete="ada@example.com", reason="mended", stdout=out)

    assert there.deleted == ["ada@example.com"]


def test_in_log_mode_there_is_nothing_to_compare_with(there, settings):
    settings.EMAIL_MODE = "log"

    tasks.sync_suppressions()
    with pytest.raises(CommandError, match="EMAIL_MODE"):
        call_command("sync_suppressions")
    assert not reasons()


def test_the_task_says_in_the_log_what_it_may_not_do(there):
    def refused():
        raise ListUnavailable("The AWS credentials may not do this: allow ses:ListSuppressedDestinations on *.")

    there.pages = refused
    with capture_logs() as said:
        tasks.sync_suppressions()

    [line] = said
    assert (line["event"], line["log_level"]) == ("suppressions_not_synced", "error")
    assert "allow ses:ListSuppressedDestinations" in line["error"]


def test_an_operator_removes_a_conflict_at_ses_with_a_reason(there, now):
    lift("ada@example.com", now)
    suppression_syncing.sync(there, now=now)
    path = f"/admin/notifications/seslistconflict/{SesListConflict.objects.get().pk}/"
    staff = superuser()

    assert "Take it off SES" in staff.get(f"{path}change/").content.decode()
    assert staff.post(f"{path}remove/", {"why": ""}).status_code == 200
    assert there.deleted == []
    staff.post(f"{path}remove/", {"why": "mended"})

    assert there.deleted == ["ada@example.com"]
    assert SesListConflict.objects.get().settled_by == "anna"
    assert member("view_seslistconflict").get(f"{path}remove/").status_code == 403


# --- Over HTTP, as boto3 asks ------------------------------------------------------------------------------


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    stubs = []

    def answering(script):
        stubs.append(Stub(script))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", stubs[-1].url)
        return SesSuppressions("us-east-1"), stubs[-1]

    yield answering
    for stub in stubs:
        stub.close()


def test_a_page_is_read_over_http(endpoint, now):
    row = {"EmailAddress": "Ada@example.com", "Reason": "COMPLAINT", "LastUpdateTime": now.timestamp()}
    there, stub = endpoint(answer(200, {"SuppressedDestinationSummaries": [row]}))

    suppression_syncing.sync(there, now=now)

    assert (reasons(), stub.requests) == ({"ada@example.com": "complaint"}, 1)


def test_a_refusal_over_http_names_the_permission_and_is_not_repeated(endpoint, now):
    there, stub = endpoint(error(403, "AccessDeniedException", "User is not authorized"))

    with pytest.raises(ListUnavailable, match="allow ses:ListSuppressedDestinations"):
        suppression_syncing.sync(there, now=now)
    assert stub.requests == 1


def test_a_throttle_over_http_is_tried_again(endpoint, now):
    there, stub = endpoint(error(429, "TooManyRequestsException", "slow down"))

    with pytest.raises(ListUnavailable):
        suppression_syncing.sync(there, now=now)
    assert stub.requests == 5
