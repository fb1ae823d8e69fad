"""The suppression list as a file, by API and admin."""

import csv
import io

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from notifications import suppression_files
from notifications.models import Suppression
from outreach import keyed_hashes
from tests.factories import ProspectFactory, SuppressionFactory
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db
URL = "/api/suppressions/import"
SECRET = "s" * 40


@pytest.fixture(autouse=True)
def import_directory(settings, tmp_path):
    settings.IMPORT_DIRECTORY = tmp_path
    return tmp_path


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET})


def send(api, content):
    return api.generic("POST", URL, content, content_type="text/csv")


def reasons():
    return dict(Suppression.objects.values_list("email", "reason"))


def test_whom_a_file_puts_on_the_list_is_no_active_prospect(api):
    ada, bob = ProspectFactory(email="ada@example.com"), ProspectFactory(email="bob@example.com")

    send(api, "email,reason\nada@example.com,unsubscribe\nbob@example.com,bounce\n")

    ada.refresh_from_db(), bob.refresh_from_db()
    assert (ada.status, bob.status) == ("unsubscribed", "bounced")


def test_every_row_of_a_file_is_accounted_for(api):
    SuppressionFactory(email="known@example.com", reason="manual")
    SuppressionFactory(email="weak@example.com", reason="unsubscribe")

    answer = send(
        api,
        "Email,Reason,Note\n New@Example.com ,bounce,hard\nknown@example.com,,\nweak@example.com,complaint,\n"
        "no address,,\nx@example.com,hated,\nnew@example.com,,\n",
    )

    account = answer.json()
    errors = account.pop("errors")
    assert answer.status_code == 200
    assert account == {"rows": 6, "added": 1, "changed": 2, "unchanged": 1, "invalid": 2}
    assert [(row["line"], row["code"]) for row in errors] == [(5, "invalid_email"), (6, "invalid_reason")]
    assert reasons() == {"new@example.com": "bounce", "known@example.com": "manual", "weak@example.com": "complaint"}
    new = Suppression.objects.get(email="new@example.com")
    assert (new.source, new.note) == ("import by proxy", "hard")


@pytest.mark.parametrize("reason", ["bounce", "complaint"])
def test_an_import_never_weakens_a_reason(api, reason):
    SuppressionFactory(email="a@example.com", reason=reason, note="kept")

    send(api, "email,reason,note\na@example.com,manual,other\na@example.com,unsubscribe,\n")

    row = Suppression.objects.get()
    assert (row.reason, row.note) == (reason, "kept")
    assert row.unsubscribed_at  # the no is remembered below it


def test_of_one_address_in_a_file_the_strongest_reason_counts(api):
    send(api, "email,reason\na@example.com,unsubscribe\na@example.com,complaint\na@example.com,manual\n")

    assert reasons() == {"a@example.com": "complaint"}


def test_a_file_is_taken_in_batches(api, monkeypatch):
    monkeypatch.setattr(suppression_files, "_BATCH", 3)

    answer = send(api, "email\n" + "".join(f"p{n}@example.com\n" for n in range(10)) + "p0@example.com\n")

    assert answer.json() == {"rows": 11, "added": 10, "changed": 0, "unchanged": 1, "invalid": 0, "errors": []}
    assert set(reasons().values()) == {"manual"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("address\na@example.com\n", "IMPORT_NO_EMAIL_COLUMN"),
        ("email,e-mail\na@example.com,b@example.com\n", "IMPORT_DUPLICATE_COLUMN"),
        ("", "IMPORT_EMPTY"),
        ('email,note\na@example.com,fine\nb@example.com,"open\n', "IMPORT_UNCLOSED_QUOTE"),
        (b"PK\x03\x04", "IMPORT_NOT_CSV"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(api, monkeypatch, import_directory, content, code):
    monkeypatch.setattr(suppression_files, "_BATCH", 1)

    answer = send(api, content)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    assert not reasons()
    assert not list(import_directory.iterdir())


def test_a_form_is_taken_as_well(api):
    upload = SimpleUploadedFile("list.csv", b"email;reason\na@example.com;bounce\n")

    assert api.post(URL, {"file": upload}, format="multipart").json()["added"] == 1


def test_the_export_holds_everything_and_runs_in_no_spreadsheet(api):
    SuppressionFactory(email="+a@example.com", note='=HYPERLINK("x")', source="@b")
    SuppressionFactory(email="b@example.com", reason="bounce", note="-1")

    answer = api.get("/api/suppressions/export", headers={"Accept": "text/csv"})

    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert answer["Content-Type"].startswith("text/csv")
    assert [(row["email"], row["reason"], row["note"]) for row in rows] == [
        ("'+a@example.com", "manual", '\'=HYPERLINK("x")'),
        ("b@example.com", "bounce", "'-1"),
    ]
    assert rows[0]["source"] == "'@b"


def test_an_export_can_be_imported_again(api):
    for email in ("+a@example.com", "=b@example.com", "c@example.com", keyed_hashes.hash_of("d@example.com")):
        SuppressionFactory(email=email, reason="bounce")
    before = reasons()
    exported = b"".join(api.get("/api/suppressions/export").streaming_content)
    Suppression.objects.all().delete()

    assert send(api, exported).json()["added"] == 4
    assert reasons() == before


@pytest.mark.parametrize(
    ("permission", "verb", "path", "allowed"),
    [
        ("view_suppression", "get", "export", 200),
        ("add_suppression", "get", "export", 403),
        ("add_suppression", "post", "import", 400),
        ("view_suppression", "post", "import", 403),
    ],
)
def test_exporting_takes_the_right_to_view_and_importing_the_right_to_add(permission, verb, path, allowed):
    user = User.objects.create_user("u", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename=permission))
    client = APIClient()
    client.force_authenticate(user)

    answer = client.generic(verb.upper(), f"/api/suppressions/{path}", "", content_type="text/csv")

    assert answer.status_code == allowed


def test_the_admin_imports_and_exports():
    staff = superuser()
    upload = SimpleUploadedFile("list.csv", b"email,reason\na@example.com,bounce\n<script>alert(1)</script>,\n")

    page = staff.post("/admin/notifications/suppression/import/", {"file": upload, "complete": "yes"})

    assert "Added</dt><dd>1<" in page.content.decode()
    assert "<script>alert" not in page.content.decode()
    assert reasons() == {"a@example.com": "bounce"}
    assert b"a@example.com,bounce" in b"".join(staff.get("/admin/notifications/suppression/export/").streaming_content)


def test_the_admin_says_why_a_file_cannot_be_read():
    upload = SimpleUploadedFile("list.csv", b"name\nx\n")

    page = superuser().post("/admin/notifications/suppression/import/", {"file": upload, "complete": "yes"})

    assert "No column is called email" in page.content.decode()


def test_who_may_only_look_cannot_import():
    staff = member("view_suppression")

    assert staff.get("/admin/notifications/suppression/import/").status_code == 403
    assert staff.get("/admin/notifications/suppression/export/").status_code == 200
