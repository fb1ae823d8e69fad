import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from notifications.models import Suppression, SuppressionLift
from tests.factories import ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

SECRET = "s" * 40


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET})


def test_an_address_is_suppressed_in_its_normal_form(api):
    response = api.post("/api/suppressions", {"email": " Ada@Example.com "})

    assert response.status_code == 201
    assert (response.json()["email"], response.json()["reason"]) == ("ada@example.com", "manual")
    assert response.json()["source"] == "proxy"


def test_adding_a_weaker_reason_keeps_the_stronger(api):
    SuppressionFactory(email="ada@example.com", reason="complaint")

    response = api.post("/api/suppressions", {"email": "ada@example.com", "reason": "unsubscribe"})

    assert response.json()["reason"] == "complaint"


def test_only_news_are_created(api):
    body = {"email": "ada@example.com", "reason": "unsubscribe"}

    first, again, stronger = api.post("/api/suppressions", body), api.post("/api/suppressions", body), {"reason": "complaint"}

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert api.post("/api/suppressions", body | stronger).status_code == 201


def test_whom_the_api_puts_on_the_list_is_no_active_prospect(api):
    ada = ProspectFactory(email="ada@example.com")

    api.post("/api/suppressions", {"email": "Ada@example.com", "reason": "complaint"})

    ada.refresh_from_db()
    assert ada.status == "complained"


@pytest.mark.parametrize(
    ("body", "attr"), [({}, "email"), ({"email": "x"}, "email"), ({"email": "a@b.co", "reason": "?"}, "reason")]
)
def test_a_mistake_names_the_field(api, body, attr):
    response = api.post("/api/suppressions", body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == attr


def test_the_list_can_be_searched(api):
    SuppressionFactory(email="ada@example.com", reason="bounce")
    SuppressionFactory(email="bob@example.com")

    assert [row["email"] for row in api.get("/api/suppressions?q=ADA&reason=bounce").json()["results"]] == ["ada@example.com"]


@pytest.mark.parametrize("how", ["body", "query"])
def test_lifting_with_a_reason_is_audited(api, how):
    suppression = SuppressionFactory(email="ada@example.com")
    path = f"/api/suppressions/{suppression.pk}"

    response = api.delete(path, {"reason": "she asked"}) if how == "body" else api.delete(f"{path}?reason=she asked")

    lift = SuppressionLift.objects.get()
    assert response.status_code == 204
    assert (lift.email, lift.lifted_by, lift.why) == ("ada@example.com", "proxy", "she asked")
    assert not Suppression.objects.exists()


def test_lifting_without_a_reason_changes_nothing(api):
    suppression = SuppressionFactory()

    response = api.delete(f"/api/suppressions/{suppression.pk}")

    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == "LIFT_NEEDS_REASON"
    assert Suppression.objects.exists()


def test_lifting_needs_the_permission_to_delete():
    user = User.objects.create_user("u", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_suppression"))
    client = APIClient()
    client.force_authenticate(user)

    assert client.delete(f"/api/suppressions/{SuppressionFactory().pk}?reason=x").status_code == 403


def test_a_no_that_a_stronger_reason_covered_shows_again_when_that_is_lifted(api):
    suppression = SuppressionFactory(email="ada@example.com", reason="unsubscribe")
    api.post("/api/suppressions", {"email": "ada@example.com", "reason": "bounce"})

    api.delete(f"/api/suppressions/{suppression.pk}?reason=a new mailbox")

    assert Suppression.objects.get().reason == "unsubscribe"


def test_a_no_under_a_stronger_reason_is_remembered(api):
    suppression = SuppressionFactory(email="ada@example.com", reason="bounce")
    api.post("/api/suppressions", {"email": "ada@example.com", "reason": "unsubscribe"})

    api.delete(f"/api/suppressions/{suppression.pk}?reason=a new mailbox")

    assert Suppression.objects.get().reason == "unsubscribe"
