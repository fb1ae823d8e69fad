"""People, imports and unsubscriptions in the admin."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from notifications.models import Suppression
from prospects.models import Prospect, ProspectImport, RejectedRow, RetiredToken, Unsubscribe
from tests.factories import ProspectFactory, ProspectImportFactory, SuppressionFactory
from tests.staff import member, superuser, words

pytestmark = pytest.mark.django_db

LIST = "/admin/prospects/prospect/"
FIELDS = {
    "email": "Grace@Example.COM",
    "first_name": "Grace",
    "last_name": "Hopper",
    "company": "Navy",
    "tags": "vip\r\nberlin",
    "attributes": '{"city": "Arlington"}',
    "source": "fair",
    "new_status": "active",
    "initial-new_status": "active",
}


def page(prospect, name="change"):
    return reverse(f"admin:prospects_prospect_{name}", args=[prospect.pk])


def form_of(prospect, **changes):
    """What a browser submits for a page on which these fields were changed."""
    fields = {name: getattr(prospect, name) for name in ("email", "first_name", "last_name", "company", "source")}
    texts = {"tags": "\r\n".join(prospect.tags), "attributes": json.dumps(prospect.attributes)}
    status = {"new_status": prospect.status, "initial-new_status": prospect.status}
    return fields | texts | status | changes


def upload(client, content, name="people.csv", **fields):
    file = SimpleUploadedFile(name, content)
    return client.post(f"{LIST}import/", {"file": file, "complete": "yes"} | fields)


def shown(client, **query):
    return {prospect.email for prospect in client.get(LIST, query).context["cl"].result_list}


def test_a_person_is_added_in_the_normal_form():
    superuser().post(f"{LIST}add/", FIELDS)

    person = Prospect.objects.get()
    assert (person.email, person.tags, person.attributes) == ("grace@example.com", ["vip", "berlin"], {"city": "Arlington"})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("email", "grace", "Not an e-mail address"),
        ("email", "taken@example.com", "already exists"),
        ("email", "TAKEN@EXAMPLE.COM", "already exists"),
        ("tags", "t" * 101, "longer than 100"),
        ("attributes", "{", "not valid JSON"),
        ("attributes", "[]", "object of attributes"),
        ("attributes", '{"a": {"b": 1}}', "must be a text"),
        ("attributes", "[" * 100_000, "nested too deeply"),
        ("attributes", '{"a": ' + "9" * 5_000 + "}", ""),
        ("attributes", '{"a": NaN}', "NaN"),
        ("first_name", "x" * 151, "150"),
        ("company", "a\x00b", "ull characters"),
        ("new_status", "nonsense", "valid choice"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_its_place(field, value, said):
    ProspectFactory(email="taken@example.com")

    response = superuser().post(f"{LIST}add/", FIELDS | {field: value})

    assert response.status_code == 200
    assert said in str(response.context["adminform"].form.errors[field])
    assert Prospect.objects.count() == 1


def test_a_new_address_brings_what_is_known_about_it():
    SuppressionFactory(email="new@example.com", reason="bounce")
    person = ProspectFactory(email="old@example.com")

    superuser().post(page(person), form_of(person, email="new@example.com"))

    person.refresh_from_db()
    assert (person.email, person.status) == ("new@example.com", "bounced")


def test_saving_does_not_touch_the_status():
    person = ProspectFactory(unsubscribed=True)

    superuser().post(page(person), form_of(person, company="Acme"))

    person.refresh_from_db()
    assert (person.company, person.status) == ("Acme", "unsubscribed")


def test_a_no_said_while_the_form_was_open_stands(now):
    person = ProspectFactory()
    stale = form_of(person, company="Acme")
    Prospect.objects.update(unsubscribed_at=now)

    superuser().post(page(person), stale)

    person.refresh_from_db()
    assert (person.company, person.status) == ("Acme", "unsubscribed")


def test_a_status_is_not_changed_from_one_that_nobody_saw(now):
    person = ProspectFactory(unsubscribed=True)
    stale = form_of(person, new_status="active")
    Prospect.objects.update(complained_at=now)

    response = superuser().post(page(person), stale)

    assert "It has meanwhile become complained" in response.content.decode()
    person.refresh_from_db()
    assert person.status == "complained"


@pytest.mark.parametrize(
    ("status", "reason"), [("unsubscribed", "unsubscribe"), ("bounced", "bounce"), ("complained", "complaint")]
)
def test_a_no_passed_on_by_staff_suppresses_the_address(status, reason):
    person = ProspectFactory()

    superuser().post(page(person), form_of(person, new_status=status))

    person.refresh_from_db()
    assert person.status == status
    assert Suppression.objects.get().reason == reason


def test_making_somebody_active_again_is_explicit():
    person = ProspectFactory(unsubscribed=True)

    superuser().post(page(person), form_of(person, new_status="active"))

    person.refresh_from_db()
    assert person.status == "active"


def test_a_deleted_person_leaves_the_link_in_old_mails_working():
    person = ProspectFactory()

    superuser().post(page(person, "delete"), {"post": "yes"})

    assert not Prospect.objects.exists()
    assert RetiredToken.objects.get().token == person.unsubscribe_token


def test_the_token_is_on_no_page():
    person = ProspectFactory(email="known@example.com")
    token = str(person.unsubscribe_token)
    client = superuser()

    for url in (LIST, page(person), page(person, "delete"), page(person, "history")):
        assert token not in client.get(url).content.decode()


@pytest.mark.parametrize("lookup", ["unsubscribe_token", "unsubscribe_token__gt", "unsubscribe_token__isnull", "email__regex"])
def test_columns_cannot_be_guessed_by_filtering(lookup):
    ProspectFactory()

    assert superuser().get(LIST, {lookup: "(a+)+$"}).status_code == 400


def test_people_are_found_by_address_name_and_company():
    person = ProspectFactory(email="grace@example.com", last_name="Hopper", company="Navy")
    ProspectFactory(email="ada@example.com")
    client = superuser()

    for text in ("Grace@exam", "hopp", "NAVY", "grace@example.com"):
        assert shown(client, q=text) == {person.email}
    assert shown(client, q="race@example.com") == set()  # with its @ it is the beginning of an address


def test_people_are_narrowed_by_status_and_tag():
    vip = ProspectFactory(tags=["vip & co", "berlin"])
    gone = ProspectFactory(unsubscribed=True)
    client = superuser()

    assert shown(client, tag="vip & co") == {vip.email}
    assert shown(client, status="unsubscribed") == {gone.email}
    assert "?tag=vip+%26+co" in client.get(LIST).content.decode()


def test_a_file_is_imported_and_accounted_for():
    client = superuser()

    response = upload(client, b"email,first_name\nada@example.com,Ada\nnonsense,\n")

    record = ProspectImport.objects.get()
    assert (record.created, record.invalid, record.file_name, record.created_by) == (1, 1, "people.csv", "anna")
    account = client.get(response.headers["Location"]).content.decode()
    assert "nonsense" in account
    assert f"/api/imports/{record.pk}/errors" in account
    assert client.get(f"/api/imports/{record.pk}/errors").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name\nAda\n", "email"),
        (b"PK\x03\x04xxxx", "not a CSV"),
        (b'email\n"never closed', "never closed"),
    ],
)
def test_a_file_that_is_none_says_so_and_imports_nothing(content, said):
    response = upload(superuser(), content)

    assert response.status_code == 200
    assert said in str(response.context["form"].errors["file"])
    assert not ProspectImport.objects.exists()


def test_an_upload_that_broke_off_is_refused(import_directory):
    # A browser that hangs up sends no field after the file.
    response = upload(superuser(), b"email\nada@example.com\n", complete="")

    assert "The upload broke off" in response.content.decode()
    assert not Prospect.objects.exists()


def test_a_large_file_waits_for_a_worker_and_shows_it(settings):
    settings.IMPORT_INLINE_LIMIT = 10
    client = superuser()

    response = upload(client, b"email\nada@example.com\n")

    account = client.get(response.headers["Location"]).content.decode()
    assert "It waits for a worker." in account
    assert 'data-live-now="yes"' in account


def test_a_file_larger_than_allowed_is_refused(settings, import_directory):
    settings.IMPORT_MAX_BYTES = 10

    response = upload(superuser(), b"email\nada@example.com\n")

    assert "larger than 10 bytes" in str(response.context["form"].errors)
    assert not list(import_directory.glob("*"))


def test_importing_needs_the_permission_to_add_people():
    assert upload(member("view_prospect", "change_prospect"), b"email\na@example.com\n").status_code == 403
    assert not Prospect.objects.exists()


def test_a_failed_import_says_why():
    record = ProspectImportFactory(state="failed", error="The file is empty.", error_code="IMPORT_EMPTY")

    account = superuser().get(reverse("admin:prospects_prospectimport_change", args=[record.pk])).content.decode()

    assert "Nothing was imported." in account
    assert "The file is empty." in account


def test_the_account_of_an_import_is_asked_for_until_it_is_done():
    client, record = superuser(), ProspectImportFactory(state="running")
    progress = reverse("admin:prospects_prospectimport_progress", args=[record.pk])

    assert "X-Refresh-After" in client.get(progress)
    ProspectImport.objects.update(state="done")
    assert "X-Refresh-After" not in client.get(progress)
    assert member("view_prospect").get(progress).status_code == 403


def test_only_the_first_hundred_rejected_rows_are_shown():
    record = ProspectImportFactory(state="done", rows=150, invalid=150)
    RejectedRow.objects.bulk_create(
        [RejectedRow(prospect_import=record, line=n, code="x", detail=f"row {n}.") for n in range(150)]
    )

    account = superuser().get(reverse("admin:prospects_prospectimport_change", args=[record.pk])).content.decode()

    assert "row 99." in account
    assert "row 100." not in account


@pytest.mark.parametrize("model", ["unsubscribe", "prospectimport"])
def test_records_can_only_be_looked_at(model, now):
    row = {
        "unsubscribe": lambda: Unsubscribe.objects.create(email="a@example.com", method="page", created_at=now),
        "prospectimport": ProspectImportFactory,
    }[model]()
    client = superuser()
    change = reverse(f"admin:prospects_{model}_change", args=[row.pk])

    assert client.get(change).status_code == 200
    assert client.post(change, {"email": "b@example.com", "file_name": "x"}).status_code == 403
    assert client.post(change.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/prospects/{model}/add/").status_code == 403


def test_who_may_only_look_cannot_change_add_or_delete_people():
    person = ProspectFactory(company="Acme")
    client = member("view_prospect")

    assert client.get(page(person)).status_code == 200
    assert client.post(page(person), form_of(person, company="Forged")).status_code == 403
    assert client.post(page(person, "delete"), {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}add/", FIELDS).status_code == 403
    assert Prospect.objects.get().company == "Acme"


def test_a_person_who_is_deleted_while_the_form_is_open_is_no_error():
    person = ProspectFactory()
    client = superuser()
    change, fields = page(person), form_of(person, company="Acme")
    person.delete()

    response = client.post(change, fields)

    assert response.status_code == 302
    assert len(words(response)) == 1
