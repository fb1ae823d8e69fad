import pytest
from rest_framework.test import APIClient

from prospects.models import ProspectStatus
from tests.factories import ProspectFactory
from tests.prospects.asking import error

pytestmark = pytest.mark.django_db


def emails(response):
    return [person["email"] for person in response.json()["results"]]


def test_the_list_is_a_page_of_people_newest_first(api):
    people = [ProspectFactory() for _ in range(3)]

    page = api.get("/api/prospects?limit=2").json()

    assert (page["count"], page["previous"], [p["id"] for p in page["results"]]) == (3, None, [people[2].pk, people[1].pk])
    assert [p["id"] for p in api.get(page["next"]).json()["results"]] == [people[0].pk]


@pytest.mark.parametrize("status", ProspectStatus.values)
def test_the_list_can_be_narrowed_by_status(api, status):
    for state in ProspectStatus.values:
        ProspectFactory(email=f"{state}@example.com", **{state: True})

    assert emails(api.get(f"/api/prospects?status={status}")) == [f"{status}@example.com"]


def test_an_unknown_status_is_refused(api):
    assert error(api.get("/api/prospects?status=sleeping")) == (400, "invalid_choice", "status")


@pytest.mark.parametrize("text", ["ADA@", "byr", "acme in", "Ad"])
def test_the_list_can_be_searched(api, text):
    ProspectFactory(email="ada@example.com", first_name="Ada", last_name="Byron", company="Acme Inc")
    ProspectFactory(email="bob@example.com", first_name="Bob")

    assert emails(api.get("/api/prospects", {"q": text})) == ["ada@example.com"]


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", '"', "(", "ada@example.com' OR 1=1 --"])
def test_searched_text_is_text(api, text):
    ProspectFactory(email="ada@example.com", first_name="Ada")

    assert emails(api.get("/api/prospects", {"q": text})) == []


def test_repeated_tags_ask_for_people_with_all_of_them(api):
    ProspectFactory(email="both@example.com", tags=["vip", "uk"])
    ProspectFactory(email="one@example.com", tags=["vip"])

    assert emails(api.get("/api/prospects?tag=vip&tag=uk")) == ["both@example.com"]
    assert emails(api.get("/api/prospects?tag=vip")) == ["one@example.com", "both@example.com"]
    assert emails(api.get("/api/prospects?tag=vi")) == []
    assert len(emails(api.get("/api/prospects?tag="))) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=0", 404),
        ("page=-1", 404),
        ("page=x", 404),
        ("page=99999999999999999999", 404),
        ("limit=0", 200),
        ("limit=x", 200),
        ("limit=99999999999999999999", 200),
        ("q=%00", 400),
        ("tag=%00", 400),
        ("q=%ff%fe", 200),
        ("q=" + "x" * 255, 400),
        ("unknown=1", 200),
    ],
)
def test_odd_queries_have_plain_answers(api, query, status):
    assert api.get(f"/api/prospects?{query}").status_code == status


@pytest.mark.parametrize("key", ["0", "-1", "9223372036854775808", "99999999999999999999", "x", "1.0", "1_0", "%D9%A1", "1%20"])
@pytest.mark.parametrize("verb", ["get", "patch", "delete"])
def test_what_is_no_id_is_not_found(api, key, verb):
    ProspectFactory(pk=1)
    ProspectFactory(pk=10)

    assert error(getattr(api, verb)(f"/api/prospects/{key}")) == (404, "not_found", None)


def test_one_person_can_be_looked_at_with_or_without_a_slash(api):
    person = ProspectFactory()

    assert api.get(f"/api/prospects/{person.pk}").json()["email"] == person.email
    assert api.get(f"/api/prospects/{person.pk}/").json()["email"] == person.email


@pytest.mark.parametrize(
    ("verb", "path"),
    [("get", ""), ("post", ""), ("get", "/1"), ("patch", "/1"), ("delete", "/1"), ("post", "/import")],
)
def test_nobody_comes_in_without_credentials(db, verb, path):
    response = getattr(APIClient(), verb)(f"/api/prospects{path}")

    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers


VERBS = [
    ("get", "", "view_prospect", 200),
    ("post", "", "add_prospect", 400),
    ("get", "/7", "view_prospect", 200),
    ("patch", "/7", "change_prospect", 200),
    ("delete", "/7", "delete_prospect", 204),
    ("post", "/import", "add_prospect", 415),
]


@pytest.mark.parametrize(("verb", "path", "codename", "status"), VERBS)
def test_its_own_permission_is_enough_for_each_verb(api_with, verb, path, codename, status):
    ProspectFactory(pk=7)

    assert getattr(api_with(codename), verb)(f"/api/prospects{path}").status_code == status


@pytest.mark.parametrize(("verb", "path", "codename", "status"), VERBS)
def test_all_other_permissions_are_not_enough(api_with, verb, path, codename, status):
    ProspectFactory(pk=7)
    others = {codename for _, _, codename, _ in VERBS} - {codename}

    assert getattr(api_with(*others), verb)(f"/api/prospects{path}").status_code == 403
