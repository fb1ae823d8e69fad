import csv
import io

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from prospects import tasks
from prospects.models import Prospect, ProspectImport, RejectedRow
from tests.factories import ProspectFactory, ProspectImportFactory, SuppressionFactory
from tests.prospects.sending import PEOPLE, URL, error, send, send_form

pytestmark = pytest.mark.django_db


def test_a_file_is_imported_and_every_row_accounted_for(api):
    SuppressionFactory(email="a@example.com")

    response = send(api, PEOPLE)

    assert response.status_code == 200
    answer = response.json()
    counts = {name: answer[name] for name in ("rows", "created", "updated", "unchanged", "invalid", "duplicate", "suppressed")}
    assert counts == {
        "rows": 3,
        "created": 1,
        "updated": 0,
        "unchanged": 0,
        "invalid": 1,
        "duplicate": 1,
        "suppressed": 1,
    }
    assert (answer["id"], answer["state"]) == (ProspectImport.objects.get().pk, "done")
    assert answer["errors"] == [
        {"line": 3, "email": "no", "code": "invalid_email", "detail": answer["errors"][0]["detail"]},
        {
            "line": 4,
            "email": "a@example.com",
            "code": "duplicate",
            "detail": "The same address is in line 2; that row counts.",
        },
    ]


@pytest.mark.parametrize(
    "content_type",
    ["text/csv", "TEXT/CSV; charset=utf-8", "application/csv", "text/plain", "application/octet-stream"],
)
def test_every_usual_content_type_is_taken(api, content_type):
    assert send(api, PEOPLE, content_type=content_type).json()["created"] == 1


def test_a_form_with_a_file_is_taken(api):
    response = send_form(api)

    assert (response.status_code, response.json()["created"], response.json()["file_name"]) == (200, 1, "people.csv")


def test_a_browser_with_a_session_needs_the_csrf_token(db):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("anna"))

    assert browser.post(URL, {"file": SimpleUploadedFile("a.csv", PEOPLE.encode())}).status_code == 403
    browser.cookies["csrftoken"] = "a" * 32
    response = browser.post(URL, {"file": SimpleUploadedFile("a.csv", PEOPLE.encode()), "csrfmiddlewaretoken": "a" * 32})
    assert (response.status_code, response.json()["created"]) == (200, 1)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "image/png", ""])
def test_other_content_types_are_refused(api, content_type):
    assert error(send(api, PEOPLE, content_type=content_type)) == (415, "unsupported_media_type")


UNREADABLE = [
    (b"", "IMPORT_EMPTY"),
    (b"\xef\xbb\xbf", "IMPORT_EMPTY"),
    (b"\n\n\n", "IMPORT_EMPTY"),
    (b"name\nAda\n", "IMPORT_NO_EMAIL_COLUMN"),
    (b"email,Email\na@example.com,b\n", "IMPORT_DUPLICATE_COLUMN"),
    (b"email,{{x}}\n", "IMPORT_BAD_COLUMN"),
    (b"PK\x03\x04", "IMPORT_NOT_CSV"),
    (b"\x89PNG\r\n\x1a\n\0", "IMPORT_NOT_CSV"),
    (b"\x1f\x8b\x08\0", "IMPORT_NOT_CSV"),
]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        *UNREADABLE,
        (b'email\n"a@example.com\n', "IMPORT_UNCLOSED_QUOTE"),
        (b"email\n" + b"a" * 4_000_001, "IMPORT_ROW_TOO_LONG"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(api, content, code, import_directory):
    assert error(send(api, content)) == (400, code)
    assert not ProspectImport.objects.exists()
    assert list(import_directory.iterdir()) == []


@pytest.mark.parametrize(("content", "code"), UNREADABLE)
def test_it_is_refused_at_once_also_in_the_background(api, content, code):
    assert error(send(api, content, query="?background=1")) == (400, code)


def test_the_answer_to_a_missing_column_names_those_that_were_found(api):
    assert '"name", "phone"' in send(api, "name;phone\n").json()["errors"][0]["detail"]


def test_a_header_alone_is_an_import_of_nobody(api):
    response = send(api, "email\n")

    assert (response.status_code, response.json()["rows"]) == (200, 0)


def test_the_answer_shows_the_first_hundred_errors(api):
    answer = send(api, "email\n" + "no\n" * 150).json()

    assert (answer["invalid"], len(answer["errors"])) == (150, 100)
    assert [shown["line"] for shown in answer["errors"]] == list(range(2, 102))


def test_asked_for_the_background_the_answer_comes_at_once(api):
    response = send(api, PEOPLE, query="?background=1")

    assert (response.status_code, response.json()["state"], response.json()["rows"]) == (202, "queued", 0)
    assert response["Location"] == f"/api/imports/{response.json()['id']}"
    assert api.get(response["Location"]).json()["state"] == "queued"
    assert not Prospect.objects.exists()


@pytest.mark.parametrize("sender", [send, send_form])
def test_a_large_file_goes_to_the_background_by_itself(api, settings, sender):
    settings.IMPORT_INLINE_LIMIT = 10

    assert sender(api, PEOPLE).status_code == 202


def test_an_unclear_wish_is_refused(api):
    response = send(api, PEOPLE, query="?background=perhaps")

    assert (response.status_code, response.json()["errors"][0]["attr"]) == (400, "background")


def test_beat_does_what_is_waiting(api):
    number = send(api, PEOPLE, query="?background=1").json()["id"]

    tasks.run_waiting_imports()

    answer = api.get(f"/api/imports/{number}").json()
    assert (answer["state"], answer["rows"], answer["created"], len(answer["errors"])) == ("done", 3, 1, 2)


def test_the_queued_task_does_one_import(api):
    number = send(api, PEOPLE, query="?background=1").json()["id"]

    tasks.run_import(number)

    assert api.get(f"/api/imports/{number}").json()["state"] == "done"


def test_a_failed_import_says_why(api):
    number = send(api, b'email\n"a@example.com\n', query="?background=1").json()["id"]

    tasks.run_import(number)

    answer = api.get(f"/api/imports/{number}").json()
    assert (answer["state"], answer["error_code"]) == ("failed", "IMPORT_UNCLOSED_QUOTE")


@pytest.mark.parametrize("path", ["", "/errors"])
@pytest.mark.parametrize("key", ["0", "-1", "99999999999999999999", "x"])
def test_an_import_that_is_not_there_is_not_found(api, path, key):
    assert error(api.get(f"/api/imports/{key}{path}")) == (404, "not_found")


def test_seeing_an_import_needs_its_permission(api_with):
    record = ProspectImportFactory()

    assert api_with("view_prospect").get(f"/api/imports/{record.pk}").status_code == 403


def test_its_permission_is_enough_to_see_an_import(api_with):
    record = ProspectImportFactory()
    client = api_with("view_prospectimport")

    assert client.get(f"/api/imports/{record.pk}").status_code == 200
    assert client.get(f"/api/imports/{record.pk}/errors").status_code == 200


def rows_of(response):
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode(), newline="")))


@pytest.mark.parametrize("accept", ["*/*", "text/csv", "application/json"])
def test_every_rejected_row_can_be_downloaded(api, accept):
    number = send(api, "email\n" + "no\n" * 150).json()["id"]

    response = api.get(f"/api/imports/{number}/errors", headers={"Accept": accept})

    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="import-{number}-errors.csv"'
    rows = rows_of(response)
    assert rows[0] == ["line", "email", "code", "detail"]
    assert [row[0] for row in rows[1:]] == [str(line) for line in range(2, 152)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_downloaded_cells_are_no_formulas(api, start):
    number = send(api, f'email\n"{start}cmd|calc"\n').json()["id"]

    assert rows_of(api.get(f"/api/imports/{number}/errors"))[1][1] == f"'{start}cmd|calc"


def test_an_error_of_the_download_is_json_whatever_was_asked_for(api):
    response = api.get("/api/imports/1/errors", headers={"Accept": "text/csv"})

    assert (response.headers["Content-Type"], error(response)) == ("application/json", (404, "not_found"))


def test_rejected_rows_hold_what_they_can_of_a_long_address(api):
    ProspectFactory()
    send(api, f"email\n{'x' * 1000}\n")

    assert len(RejectedRow.objects.get().email) == 300
