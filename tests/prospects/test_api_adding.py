import threading

import pytest
from django.db import connections
from rest_framework.test import APIClient

from notifications.models import Suppression
from prospects.models import Prospect
from tests.factories import ProspectFactory, SuppressionFactory
from tests.prospects.asking import add, error

pytestmark = pytest.mark.django_db

UNTOUCHABLE = ("id", "unsubscribe_token", "unsubscribed_at", "bounced_at", "complained_at", "created_at", "updated_at")


def test_a_person_is_added_with_everything_that_is_known(api):
    known = {
        "first_name": "Ada",
        "last_name": "Byron",
        "company": "Acme",
        "tags": ["vip", "uk"],
        "attributes": {"city": "London", "age": 36, "ratio": 1.5, "vip": True, "gone": None},
        "source": "fair",
    }

    response = add(api, email=" Ada@BÜCHER.example ", **known)

    assert response.status_code == 201
    assert response.json() == known | {
        "email": "ada@xn--bcher-kva.example",
        "status": "active",
    } | {name: response.json()[name] for name in UNTOUCHABLE}
    assert response.json()["unsubscribe_token"] == str(Prospect.objects.get().unsubscribe_token)


def test_only_the_address_is_needed(api):
    assert add(api).json()["attributes"] == {}


@pytest.mark.parametrize(
    "address",
    [
        "user@@example.com",
        ".user@x.co",
        "us..er@x.co",
        "user@-x.co",
        "Name <u@x.co>",
        "u@x.co, v@x.co",
        "mailto:u@x.co",
        "user@localhost",
        "user@[127.0.0.1]",
        "u\u200bser@x.co",
        "u@x.co\u2028",
        "u@x.co\u202e",
        "u\u00a0@x.co",
        "u@x.co\r\nBcc: v@x.co",
        "a" * 65 + "@x.co",
        "u@" + "x" * 260 + ".co",
        "",
        "   ",
        None,
        7,
        ["u@x.co"],
        {"a": 1},
    ],
)
def test_a_bad_address_is_refused_naming_the_field(api, address):
    response = add(api, email=address)

    assert response.status_code == 400
    assert response.json()["type"] == "validation_error"
    assert [found["attr"] for found in response.json()["errors"]] == ["email"]
    assert not Prospect.objects.exists()


def test_the_reason_against_an_address_is_told(api):
    response = add(api, email="user@@example.com")

    assert response.json()["errors"][0]["detail"].startswith("Not an e-mail address: ")


def test_an_address_that_exists_in_another_case_is_a_conflict(api):
    ProspectFactory(email="ada@example.com")

    response = add(api, email="ADA@Example.COM")

    assert error(response) == (409, "PROSPECT_EXISTS", "email")


@pytest.mark.django_db(transaction=True)
def test_of_fifty_who_add_one_address_at_once_one_succeeds(api):
    answers = []

    def post():
        client = APIClient()
        client.force_authenticate(api.handler._force_user)
        answers.append(add(client).status_code)
        connections.close_all()

    threads = [threading.Thread(target=post) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(answers) == [201] + [409] * 49
    assert Prospect.objects.count() == 1


def test_what_only_the_system_decides_is_ignored(api):
    forged = dict.fromkeys(UNTOUCHABLE, "2020-01-01T00:00:00Z") | {"id": 7, "suppressed": False, "token": "x"}

    person = add(api, **forged).json()

    assert not any(person[name] == forged[name] for name in UNTOUCHABLE)


def test_names_are_one_trimmed_line(api):
    person = add(api, first_name="  Ada\r\nBcc: x@example.com ", company="A\u2028c\u202eme\t").json()

    assert (person["first_name"], person["company"]) == ("Ada Bcc: x@example.com", "A cme")


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": "a@example.com", "first_name": "\\u0000"}',
        b'{"email": "a@example.com", "first_name": "\\ud800"}',
        b'{"email": "a@example.com", "attributes": {"a": NaN}}',
        b'{"email": "a@example.com", "attributes": {"a": 1e999}}',
        b'{"email": "a@example.com", "attributes": {"a": ' + b"9" * 5000 + b"}}",
        b'{"email": "a@example.com", "attributes": ' + b"[" * 100_000,
        b'{"email": "a@example.com"',
        b'["a@example.com"]',
        b'"a@example.com"',
        b"null",
        b"",
        b"\xff\xfe",
    ],
)
def test_a_body_that_cannot_be_stored_is_a_bad_request(api, body):
    assert api.generic("POST", "/api/prospects", body, content_type="application/json").status_code == 400
    assert not Prospect.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", "x" * 151),
        ("last_name", "x" * 151),
        ("company", "x" * 201),
        ("source", "x" * 201),
        ("first_name", None),
        ("first_name", ["Ada"]),
        ("tags", "vip"),
        ("tags", None),
        ("tags", {"vip": 1}),
        ("tags", ["x" * 101]),
        ("tags", [f"t{n}" for n in range(101)]),
        ("attributes", None),
        ("attributes", []),
        ("attributes", "city"),
        ("attributes", {"a": {"b": 1}}),
        ("attributes", {"a": [1]}),
        ("attributes", {"a{b": 1}),
        ("attributes", {"a}": 1}),
        ("attributes", {" ": 1}),
        ("attributes", {"a": 1, " a": 2}),
        ("attributes", {"k" * 101: 1}),
        ("attributes", {"a": "x" * 5001}),
        ("attributes", {"a": 2**63}),
        ("attributes", {f"k{n}": 1 for n in range(51)}),
        ("status", "sleeping"),
        ("status", None),
    ],
)
def test_a_bad_value_is_refused_naming_its_field(api, field, value):
    response = add(api, **{field: value})

    assert response.status_code == 400
    assert {found["attr"] for found in response.json()["errors"]} == {field}
    assert not Prospect.objects.exists()


def test_bad_items_of_a_list_are_named_by_their_place(api):
    assert error(add(api, tags=["vip", ["x"]])) == (400, "invalid", "tags.1")


def test_tags_are_trimmed_and_without_doubles_in_their_order(api):
    assert add(api, tags=[" vip", "uk", "", "vip ", "a\nb"]).json()["tags"] == ["vip", "uk", "a b"]


def test_attributes_are_cleaned_as_they_come_in(api):
    assert add(api, attributes={" City ": " Rome\r\n"}).json()["attributes"] == {"City": "Rome"}


@pytest.mark.parametrize(
    ("reason", "status"),
    [("unsubscribe", "unsubscribed"), ("bounce", "bounced"), ("complaint", "complained"), ("manual", "active")],
)
@pytest.mark.parametrize("asked", [{}, {"status": "active"}])
def test_a_new_person_never_starts_better_than_the_suppression_list_says(api, reason, status, asked):
    SuppressionFactory(email="ada@example.com", reason=reason)

    assert add(api, **asked).json()["status"] == status
    assert Suppression.objects.exists()


@pytest.mark.parametrize("status", ["unsubscribed", "bounced", "complained"])
def test_a_person_can_be_added_with_a_status(api, status):
    assert add(api, status=status).json()["status"] == status
    assert Suppression.objects.filter(email="ada@example.com").exists()
