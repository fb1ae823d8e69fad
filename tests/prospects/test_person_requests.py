"""A person's rights as staff serve them: the export, the command and the page in the admin."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from prospects import erasing
from prospects.models import PersonRequest, Prospect
from tests.factories import ProspectFactory
from tests.prospects.ada import ADA, everything_about_ada
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db

SECTIONS = (
    "unsubscribes",
    "suppressions",
    "suppression_lifts",
    "events",
    "rejected_import_rows",
    "admin_log",
)


def test_the_export_holds_everything(now):
    send = everything_about_ada(now)
    out = StringIO()

    call_command("export_person", ADA.upper(), stdout=out)

    held = json.loads(out.getvalue())
    assert held["prospects"][0]["attributes"] == {"town": "London"}
    assert held["sends"][0]["message_id"] == send.message_id
    assert held["sends"][0]["status"] == "bounced"
    for section in SECTIONS:
        assert held[section], section
    assert PersonRequest.objects.get().kind == "export"


def test_the_export_of_somebody_unknown_is_empty(now):
    held = erasing.export_person("nobody@example.com", by="anna", now=now)

    assert not any(rows for rows in held.values() if isinstance(rows, list))


def test_the_command_asks_first(now, monkeypatch):
    ProspectFactory(email=ADA)
    monkeypatch.setattr("builtins.input", lambda: "yes")
    with pytest.raises(CommandError, match="Nothing"):
        call_command("erase_person", ADA, reason="asked", stdout=StringIO())
    assert Prospect.objects.exists()

    monkeypatch.setattr("builtins.input", lambda: ADA)
    call_command("erase_person", ADA, reason="asked", stdout=StringIO())
    assert not Prospect.objects.exists()


@pytest.mark.parametrize(("address", "reason", "said"), [("no address", "x", "Not an e-mail"), (ADA, " ", "needs a reason")])
def test_the_command_says_what_is_wrong(address, reason, said):
    with pytest.raises(CommandError, match=said):
        call_command("erase_person", address, reason=reason, yes=True)


def test_staff_erase_with_the_address_typed_a_reason_and_the_permission(now):
    path = f"/admin/prospects/prospect/{ProspectFactory(email=ADA).pk}/erase/"
    assert member("view_prospect", "change_prospect", "delete_prospect").get(path).status_code == 403
    staff = superuser()

    assert staff.get(path).status_code == 200
    staff.post(path, {"address": "bob@example.com", "why": "asked"})
    staff.post(path, {"address": ADA, "why": ""})
    assert Prospect.objects.exists()
    staff.post(path, {"address": ADA, "why": "asked"})

    assert not Prospect.objects.exists()
    assert PersonRequest.objects.get().requested_by == "anna"
    assert staff.get("/admin/prospects/personrequest/", {"q": ADA}).content.decode().count("asked") >= 1
