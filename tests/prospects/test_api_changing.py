from datetime import datetime

import pytest

from notifications.models import Suppression, SuppressionLift, SuppressionReason
from prospects.models import RetiredToken, Unsubscribe
from tests.factories import ProspectFactory, SuppressionFactory
from tests.prospects.asking import change, error

pytestmark = pytest.mark.django_db


def test_a_change_writes_the_given_fields_only(api):
    person = ProspectFactory(first_name="Ada", tags=["vip"], attributes={"city": "Rome"})

    response = change(api, person, company="Acme", attributes={"plan": "pro"})

    assert response.status_code == 200
    person.refresh_from_db()
    assert (person.first_name, person.company, person.tags, person.attributes) == ("Ada", "Acme", ["vip"], {"plan": "pro"})


def test_a_change_moves_the_time_of_the_last_change(api):
    person = ProspectFactory()

    answer = change(api, person, company="Acme").json()

    assert answer["updated_at"] > answer["created_at"]


def test_a_change_to_anothers_address_is_a_conflict_without_effect(api):
    ProspectFactory(email="bob@example.com")
    person = ProspectFactory(email="ada@example.com", company="Acme")

    response = change(api, person, email="Bob@example.com", company="Other")

    assert error(response) == (409, "PROSPECT_EXISTS", "email")
    person.refresh_from_db()
    assert (person.email, person.company) == ("ada@example.com", "Acme")


def test_the_same_address_in_another_case_is_no_conflict(api):
    person = ProspectFactory(email="ada@example.com")

    assert change(api, person, email="ADA@example.com").json()["email"] == "ada@example.com"


def test_a_change_to_a_suppressed_address_shows_in_the_status(api):
    SuppressionFactory(email="gone@example.com", reason=SuppressionReason.BOUNCE)

    assert change(api, ProspectFactory(), email="gone@example.com").json()["status"] == "bounced"


def test_put_is_not_offered(api):
    assert api.put(f"/api/prospects/{ProspectFactory().pk}", {"email": "x@example.com"}).status_code == 405


def test_unsubscribing_somebody_is_recorded_and_suppresses_the_address(api):
    person = ProspectFactory()

    assert change(api, person, status="unsubscribed").json()["status"] == "unsubscribed"

    assert Unsubscribe.objects.get().method == Unsubscribe.Method.API
    listed = Suppression.objects.get(email=person.email)
    assert (listed.reason, listed.source) == (SuppressionReason.UNSUBSCRIBE, "anna")


@pytest.mark.parametrize(("status", "reason"), [("bounced", "bounce"), ("complained", "complaint")])
def test_a_bounce_or_complaint_set_by_hand_suppresses_the_address(api, status, reason):
    person = ProspectFactory()

    assert change(api, person, status=status).json()["status"] == status

    listed = Suppression.objects.get(email=person.email)
    assert (listed.reason, listed.source) == (reason, "anna")


def test_the_strongest_fact_names_the_status(api):
    person = ProspectFactory(complained=True)

    answer = change(api, person, status="bounced").json()

    assert answer["status"] == "complained"
    assert answer["bounced_at"] is not None


def test_setting_the_same_status_again_changes_nothing(api):
    person = ProspectFactory(unsubscribed=True)

    answer = change(api, person, status="unsubscribed").json()

    assert datetime.fromisoformat(answer["unsubscribed_at"]) == person.unsubscribed_at
    assert not Unsubscribe.objects.exists()


def test_making_an_unsubscribed_person_active_lifts_the_suppression_and_says_who_did(api):
    person = ProspectFactory()
    change(api, person, status="unsubscribed")

    answer = change(api, person, status="active").json()

    assert (answer["status"], answer["unsubscribed_at"]) == ("active", None)
    assert not Suppression.objects.exists()
    lift = SuppressionLift.objects.get()
    assert (lift.email, lift.lifted_by, lift.why) == (person.email, "anna", "set active by anna")


@pytest.mark.parametrize("status", ["bounced", "complained"])
def test_making_a_bounced_person_active_leaves_the_suppression(api, status):
    person = ProspectFactory()
    change(api, person, status=status)

    assert change(api, person, status="active").json()["status"] == "active"
    assert Suppression.objects.filter(email=person.email).exists()


def test_making_an_active_person_active_lifts_nothing(api):
    person = ProspectFactory()
    SuppressionFactory(email=person.email, reason=SuppressionReason.UNSUBSCRIBE)

    change(api, person, status="active")

    assert Suppression.objects.exists()


def test_making_somebody_active_who_never_unsubscribed_lifts_nothing(api):
    person = ProspectFactory(bounced=True)
    SuppressionFactory(email=person.email, reason=SuppressionReason.UNSUBSCRIBE)

    change(api, person, status="active")

    assert Suppression.objects.exists()


def test_a_new_address_and_a_no_in_one_change_are_about_the_new_address(api):
    person = ProspectFactory()

    change(api, person, email="new@example.com", status="unsubscribed")

    assert Suppression.objects.get().email == "new@example.com"


def test_a_deleted_person_is_gone_but_for_the_link_in_old_mails(api):
    person = ProspectFactory()

    response = api.delete(f"/api/prospects/{person.pk}")

    assert (response.status_code, response.content) == (204, b"")
    assert api.get(f"/api/prospects/{person.pk}").status_code == 404
    assert RetiredToken.objects.get().token == person.unsubscribe_token


def test_deleting_lifts_no_suppression(api):
    person = ProspectFactory()
    change(api, person, status="unsubscribed")

    api.delete(f"/api/prospects/{person.pk}")

    assert Suppression.objects.filter(email=person.email).exists()
