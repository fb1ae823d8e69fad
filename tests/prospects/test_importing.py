from unittest import mock

import pytest
from django.utils import timezone

from notifications.models import SuppressionReason
from outreach import csv_text, uploading
from prospects import importing, staging
from prospects.models import Prospect, ProspectImport, ProspectStatus
from tests.factories import ProspectFactory, SuppressionFactory
from tests.prospects.files import counts, import_text

pytestmark = pytest.mark.django_db

State = ProspectImport.State


def rejected(record):
    return [(row.line, row.email, row.code) for row in record.rejected_rows.order_by("line")]


def test_every_row_is_accounted_for(now):
    ProspectFactory(email="old@example.com", first_name="Old")
    ProspectFactory(email="same@example.com", first_name="Same")

    record = import_text(
        "email,first_name\nnew@example.com,New\nold@example.com,Young\nsame@example.com,Same\nbad@@x,B\nNEW@example.com,Other\n"
    )

    assert counts(record) == (5, 1, 1, 1, 1, 1, 0)
    assert rejected(record) == [(5, "bad@@x", "invalid_email"), (6, "new@example.com", "duplicate")]
    assert (record.state, record.created_by) == (State.DONE, "anna")


def test_a_new_person_has_everything_that_the_file_says(now):
    import_text("email,first_name,last_name,company,tags,City\nAda@Example.com,Ada,Byron,Acme,vip;uk,London\n")

    ada = Prospect.objects.get()
    assert (ada.email, ada.full_name, ada.company, ada.status) == ("ada@example.com", "Ada Byron", "Acme", "active")
    assert (ada.tags, ada.attributes, ada.source) == (["vip", "uk"], {"City": "London"}, "import")


def test_every_new_person_gets_a_token_of_their_own():
    import_text("email\na@example.com\nb@example.com\n")

    tokens = set(Prospect.objects.values_list("unsubscribe_token", flat=True))
    assert len(tokens) == 2
    assert all(token.version == 4 for token in tokens)


def test_the_first_row_of_an_address_counts():
    record = import_text("email,first_name\na@example.com,First\nA@EXAMPLE.com,Second\n a@example.com ,Third\n")

    assert Prospect.objects.get().first_name == "First"
    assert (record.created, record.duplicate) == (1, 2)
    assert record.rejected_rows.first().detail == "The same address is in line 2; that row counts."


def test_blank_cells_never_erase():
    fields = {"first_name": "Ada", "company": "Acme", "tags": ["vip"], "attributes": {"city": "Rome"}, "source": "fair"}
    ada = ProspectFactory(email="a@example.com", **fields)

    record = import_text("email,first_name,company,tags,city,source\na@example.com,,,,,\n")

    ada.refresh_from_db()
    assert {name: getattr(ada, name) for name in fields} == fields
    assert record.unchanged == 1


def test_tags_are_united_and_attributes_merged():
    ada = ProspectFactory(email="a@example.com", tags=["vip", "uk"], attributes={"city": "Rome", "age": 36})

    record = import_text("email,tags,city,plan\na@example.com,uk;new;2026,Oslo,pro\n")

    ada.refresh_from_db()
    assert ada.tags == ["vip", "uk", "new", "2026"]
    assert ada.attributes == {"city": "Oslo", "age": 36, "plan": "pro"}
    assert record.updated == 1


@pytest.mark.parametrize(("cells", "updated"), [("vip,Rome", 0), ("new,Rome", 1), ("vip,Oslo", 1), (",", 0)])
def test_a_new_tag_or_attribute_alone_is_a_change(cells, updated):
    ProspectFactory(email="a@example.com", tags=["vip"], attributes={"city": "Rome"})

    record = import_text(f"email,tags,city\na@example.com,{cells}\n")

    assert (record.updated, record.unchanged) == (updated, 1 - updated)


@pytest.mark.parametrize("column", ["first_name", "last_name", "company", "source"])
def test_a_text_that_differs_is_overwritten(column):
    person = ProspectFactory(email="a@example.com", **{column: "Old"})

    record = import_text(f"email,{column}\na@example.com,New\n")

    person.refresh_from_db()
    assert getattr(person, column) == "New"
    assert record.updated == 1


def test_the_source_of_a_known_person_stays_when_the_file_names_none():
    person = ProspectFactory(email="a@example.com", source="fair", first_name="Old")

    import_text("email,first_name\na@example.com,New\n")

    person.refresh_from_db()
    assert person.source == "fair"


def test_importing_the_same_file_again_changes_nothing():
    text = "email,first_name,tags,city\na@example.com,Ada,vip,Rome\nb@example.com,Bob,,\n"
    import_text(text)
    before = list(Prospect.objects.order_by("pk").values())

    record = import_text(text)

    assert counts(record) == (2, 0, 0, 2, 0, 0, 0)
    assert list(Prospect.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("state", ["unsubscribed", "bounced", "complained"])
def test_an_import_never_makes_anybody_active(state):
    person = ProspectFactory(email="a@example.com", **{state: True})
    facts = ("status", "unsubscribe_token", "unsubscribed_at", "bounced_at", "complained_at")
    before = {name: getattr(person, name) for name in facts}

    record = import_text("email,first_name,status,unsubscribed_at\na@example.com,New,active,\n")

    person.refresh_from_db()
    assert person.first_name == "New"
    assert {name: getattr(person, name) for name in facts} == before
    assert (record.updated, record.suppressed) == (1, 1)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (SuppressionReason.UNSUBSCRIBE, ProspectStatus.UNSUBSCRIBED),
        (SuppressionReason.BOUNCE, ProspectStatus.BOUNCED),
        (SuppressionReason.COMPLAINT, ProspectStatus.COMPLAINED),
        (SuppressionReason.MANUAL, ProspectStatus.ACTIVE),
    ],
)
def test_a_new_person_whose_address_is_suppressed_says_so_in_their_status(reason, status):
    listed = SuppressionFactory(email="a@example.com", reason=reason)

    record = import_text("email\nA@Example.com\nb@example.com\n")

    person = Prospect.objects.get(email="a@example.com")
    assert person.status == status
    assert {person.unsubscribed_at, person.bounced_at, person.complained_at} <= {listed.suppressed_at, None}
    assert (record.created, record.suppressed) == (2, 1)


@pytest.mark.parametrize("status", ["unsubscribed", "Bounced", "complained", "bogus"])
def test_who_said_no_in_the_file_does_not_become_somebody_to_write_to(status):
    ProspectFactory(email="known@example.com", first_name="Old")

    record = import_text(f"email,first_name,status\nnew@example.com,A,{status}\nknown@example.com,B,{status}\nc@example.com,C,\n")

    assert counts(record) == (3, 1, 0, 0, 2, 0, 0)
    assert rejected(record) == [
        (2, "new@example.com", "status_not_importable"),
        (3, "known@example.com", "status_not_importable"),
    ]
    assert f"status is {status.lower()}" in record.rejected_rows.first().detail
    assert set(Prospect.objects.values_list("email", "first_name")) == {("known@example.com", "Old"), ("c@example.com", "C")}


def test_a_no_in_one_row_of_the_file_holds_for_every_row_of_the_address():
    record = import_text("email,status\na@example.com,\nA@example.com,unsubscribed\na@example.com,active\n")

    assert counts(record) == (3, 0, 0, 0, 3, 0, 0)
    assert all("Line 3 says" in row.detail for row in record.rejected_rows.all())


@pytest.mark.parametrize("status", ["unsubscribed", "bounced", "complained"])
def test_a_status_that_the_person_has_already_is_no_news(status):
    ProspectFactory(email="a@example.com", **{status: True})

    record = import_text(f"email,first_name,status\na@example.com,New,{status}\n")

    ada = Prospect.objects.get()
    assert (ada.first_name, ada.status, record.updated, record.invalid) == ("New", status, 1, 0)


def test_the_status_of_an_address_that_is_on_the_suppression_list_may_stand_in_a_file():
    SuppressionFactory(email="a@example.com", reason=SuppressionReason.UNSUBSCRIBE)

    record = import_text("email,status\na@example.com,unsubscribed\n")

    assert (record.created, record.suppressed, Prospect.objects.get().status) == (1, 1, "unsubscribed")


def test_a_suppressed_person_counts_once():
    SuppressionFactory(email="a@example.com")

    record = import_text("email\na@example.com\nA@example.com\n")

    assert (record.duplicate, record.suppressed) == (1, 1)


def test_an_import_never_lifts_a_suppression():
    listed = SuppressionFactory(email="a@example.com", reason=SuppressionReason.UNSUBSCRIBE)

    import_text("email\na@example.com\n")

    listed.refresh_from_db()


def test_a_row_that_is_no_utf8_is_rejected_and_shown_as_far_as_it_can_be():
    people = "email,first_name\na@example.com,Jürgen\nj\udcfcrgen@example.com,B\n".encode(errors="surrogateescape")

    record = importing.import_file(uploading.keep([people]), by="anna", now=timezone.now())

    assert Prospect.objects.get().first_name == "Jürgen"
    assert rejected(record) == [(3, "j\ufffdrgen@example.com", "not_utf8")]


def test_a_header_alone_imports_nobody():
    assert counts(import_text("email\n")) == (0,) * 7


def test_a_file_that_turns_out_broken_leaves_nothing():
    with pytest.raises(csv_text.UnclosedQuote):
        import_text('email,company\na@example.com,A\nno,B\nb@example.com,"Acme\n')

    assert not Prospect.objects.exists()
    assert not ProspectImport.objects.exists()


def test_a_failure_of_the_last_step_leaves_nothing():
    with mock.patch.object(staging, "_COUNT_SUPPRESSED", "SELECT 1/0"), pytest.raises(Exception, match="division"):
        import_text("email\na@example.com\n")

    assert not Prospect.objects.exists()
