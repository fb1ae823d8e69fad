"""SES' list and ours in the hands of people: the command, the task and the admin."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from structlog.testing import capture_logs

from notifications import suppression_syncing, tasks, transports
from notifications.models import SesListConflict
from notifications.transports.ses_suppressions import ListUnavailable
from tests.notifications.account_list import AccountList, lift, listed, reasons
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db


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
