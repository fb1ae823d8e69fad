from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

pytestmark = pytest.mark.django_db

SECRET = "s" * 40
OUTSIDE = "o" * 40


@pytest.fixture
def staff():
    return User.objects.create_superuser("ada", password="correct horse battery")


def get(**headers):
    return APIClient(headers=headers).get("/api/campaigns")


def bearer(token):
    return get(Authorization=f"Bearer {token}")


def test_no_credentials_are_401_with_a_challenge():
    response = get()

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["errors"][0]["code"] == "not_authenticated"


def one_error(response):
    (found,) = response.json()["errors"]
    return response.status_code, found["code"], found["attr"]


def test_a_token_that_is_none_is_one_error_with_its_code():
    response = bearer("nonsense")

    assert one_error(response) == (401, "token_not_valid", None)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert one_error(APIClient().post("/api/token/refresh", {"refresh": "nonsense"})) == (401, "token_not_valid", None)


def test_the_token_of_somebody_who_is_gone_is_one_error_with_its_code(staff):
    token = AccessToken.for_user(staff)
    staff.delete()

    assert one_error(bearer(token)) == (401, "user_not_found", None)


def test_a_staff_member_gets_a_token_that_works(staff):
    answer = APIClient().post("/api/token", {"username": "ada", "password": "correct horse battery"})

    assert bearer(answer.json()["access"]).status_code == 200


def test_a_token_can_be_refreshed(staff):
    pair = APIClient().post("/api/token", {"username": "ada", "password": "correct horse battery"}).json()

    answer = APIClient().post("/api/token/refresh", {"refresh": pair["refresh"]})

    assert bearer(answer.json()["access"]).status_code == 200


def test_somebody_who_is_not_staff_gets_the_answer_of_a_wrong_password(staff):
    User.objects.create_user("bob", password="correct horse battery")

    bob = APIClient().post("/api/token", {"username": "bob", "password": "correct horse battery"})
    wrong = APIClient().post("/api/token", {"username": "ada", "password": "wrong"})

    assert (bob.status_code, bob.json()) == (wrong.status_code, wrong.json()) == (401, wrong.json())


def test_guessing_passwords_is_limited(staff):
    codes = [APIClient().post("/api/token", {"username": "ada", "password": "wrong"}).status_code for _ in range(12)]

    assert codes[0] == 401
    assert codes[-1] == 429


@pytest.mark.parametrize("change", ["is_active", "is_staff"])
def test_a_token_ends_with_the_account_that_it_is_for(staff, change):
    token = AccessToken.for_user(staff)
    User.objects.update(**{change: False})

    assert bearer(token).status_code == 401


def test_a_token_ends_when_the_password_changes(staff):
    token = AccessToken.for_user(staff)
    staff.set_password("another horse battery")
    staff.save()

    assert bearer(token).status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer a b", "Basic eDp5", "Bearer " + "x" * 100_000, "Bearer \xff\xfe", "Bearer a.b.c"]
)
def test_a_broken_authorization_header_is_401(header):
    assert get(Authorization=header).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": "9999999999999999999999"},
        {"exp": []},
        {"user_id": "1 OR 1=1"},
        {"user_id": 2**80},
        {"user_id": None},
        {"token_type": "refresh"},
    ],
)
def test_a_token_with_odd_claims_is_401(staff, settings, claims):
    token = AccessToken.for_user(staff)
    odd = jwt.encode(token.payload | claims, settings.SIMPLE_JWT["SIGNING_KEY"], algorithm="HS256")

    assert bearer(odd).status_code == 401


def test_an_unsigned_token_is_401(staff):
    payload = AccessToken.for_user(staff).payload

    assert bearer(jwt.encode(payload, None, algorithm="none")).status_code == 401


def test_the_proxy_secret_opens_the_api(settings):
    settings.PROXY_SHARED_SECRET = SECRET

    assert get(**{"X-Proxy-Secret": SECRET}).status_code == 200


@pytest.mark.parametrize("given", ["", "wrong", SECRET + " x", SECRET[:-1], "\xff" * 40])
def test_a_wrong_proxy_secret_is_401(settings, given):
    settings.PROXY_SHARED_SECRET = SECRET

    assert get(**{"X-Proxy-Secret": given}).status_code == 401


def test_without_a_configured_secret_no_secret_opens_the_api(settings):
    settings.PROXY_SHARED_SECRET = ""

    assert get(**{"X-Proxy-Secret": ""}).status_code == 401


def test_a_session_needs_the_csrf_token_to_write(staff):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(staff)

    assert client.get("/api/campaigns").status_code == 200
    assert client.post("/api/campaigns", {}).status_code == 403


@pytest.fixture
def outside(settings):
    settings.API_JWT_SECRET, settings.API_JWT_ADMIN_CLAIM = OUTSIDE, "app_metadata.role=admin"
    settings.API_JWT_ISSUER, settings.API_JWT_AUDIENCE = "https://id.example.com", "outreach"

    def token(secret=OUTSIDE, **claims):
        expires = datetime.now(UTC) + timedelta(minutes=5)
        good = {"exp": expires, "iss": "https://id.example.com", "aud": "outreach", "app_metadata": {"role": "admin"}}
        return jwt.encode({k: v for k, v in (good | claims).items() if v is not None}, secret, algorithm="HS256")

    return token


def test_an_outside_admin_is_let_in(outside):
    assert bearer(outside()).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "x" * 40},
        {"app_metadata": {"role": "user"}},
        {"app_metadata": None},
        {"iss": "https://evil.example.com"},
        {"aud": "other"},
        {"exp": 1},
        {"exp": None},
    ],
)
def test_an_outside_token_that_is_not_an_admins_is_401(outside, change):
    assert bearer(outside(**change)).status_code == 401


def test_our_own_tokens_still_work_beside_the_outside_provider(outside, staff):
    assert bearer(AccessToken.for_user(staff)).status_code == 200
