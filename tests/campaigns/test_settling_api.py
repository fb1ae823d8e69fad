import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from campaigns.models import EmailSend, SendDecision
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db

SECRET = "s" * 40
WHY = {"reason": "asked them by phone"}


@pytest.fixture
def api(settings, published):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET})


@pytest.fixture
def send():
    return EmailSendFactory(unsettled=True, campaign=CampaignFactory(sending=True))


def path(send, verb):
    return f"/api/campaigns/{send.campaign_id}/sends/{send.pk}/{verb}"


def codes(response):
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


@pytest.mark.parametrize(("verb", "status", "column"), [("retry", "queued", "waiting"), ("give-up", "failed", "failed")])
def test_one_send_is_decided(api, send, verb, status, column):
    response = api.post(path(send, verb), WHY)

    assert response.status_code == 200
    body = response.json()
    assert (body["send"]["status"], body["decided"], body["stats"][column]) == (status, 1, 1)
    assert (SendDecision.objects.get().decided_by, SendDecision.objects.get().why) == ("proxy", "asked them by phone")


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": None}])
@pytest.mark.parametrize("verb", ["retry", "give-up"])
def test_without_a_reason_nothing_is_decided(api, send, verb, body):
    response = api.post(path(send, verb), body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "reason"
    assert not SendDecision.objects.exists()


@pytest.mark.parametrize("verb", ["retry", "give-up"])
def test_a_send_that_is_not_unknown_is_a_conflict(api, verb):
    send = EmailSendFactory(accepted=True, campaign=CampaignFactory(sending=True))

    response = api.post(path(send, verb), WHY)

    assert (response.status_code, codes(response)) == (409, [("SEND_NOT_UNKNOWN", None)])


def test_a_second_decision_is_a_conflict(api, send):
    api.post(path(send, "retry"), WHY)

    assert api.post(path(send, "retry"), WHY).status_code == 409


def test_a_retry_in_a_draft_is_a_conflict(api):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory())

    assert codes(api.post(path(send, "retry"), WHY)) == [("CAMPAIGN_STATUS", None)]


def test_a_retry_in_a_paused_campaign_says_that_it_must_be_resumed(api):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(paused=True))

    body = api.post(path(send, "retry"), WHY).json()

    assert (body["campaign"]["status"], "resume it" in body["note"]) == ("paused", True)


def test_a_retry_lets_a_sent_campaign_send_again(api):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(done=True))

    body = api.post(path(send, "retry"), WHY).json()

    assert (body["campaign"]["status"], body["note"]) == ("sending", "")


@pytest.mark.parametrize(("verb", "status"), [("retry", "queued"), ("give-up", "failed")])
def test_all_unknown_sends_of_a_campaign_are_decided_and_no_others(api, send, verb, status):
    EmailSendFactory(unsettled=True, campaign=send.campaign)
    EmailSendFactory(accepted=True, campaign=send.campaign)
    elsewhere = EmailSendFactory(unsettled=True)

    response = api.post(f"/api/campaigns/{send.campaign_id}/sends/{verb}", WHY)

    assert response.json()["decided"] == 2
    elsewhere.refresh_from_db()
    assert elsewhere.status == "unknown"
    assert EmailSend.objects.filter(status=status).count() == 2


def test_some_sends_of_a_campaign_are_decided(api, send):
    other = EmailSendFactory(unsettled=True, campaign=send.campaign)

    api.post(f"/api/campaigns/{send.campaign_id}/sends/retry", WHY | {"sends": [send.pk]})

    other.refresh_from_db()
    assert other.status == "unknown"


def test_a_campaign_without_unknown_sends_has_nothing_to_decide(api):
    response = api.post(f"/api/campaigns/{CampaignFactory(sending=True).pk}/sends/retry", WHY)

    assert (response.status_code, response.json()["decided"]) == (200, 0)


@pytest.mark.parametrize("sends", [[], ["x"], [-1], [2**70], "all", None, {"a": 1}])
def test_sends_that_cannot_be_are_refused(api, send, sends):
    response = api.post(f"/api/campaigns/{send.campaign_id}/sends/retry", WHY | {"sends": sends})

    assert (response.status_code, response.json()["errors"][0]["attr"].split(".")[0]) == (400, "sends")


def test_another_campaigns_send_is_refused(api, send):
    stranger = EmailSendFactory(unsettled=True)

    many = api.post(f"/api/campaigns/{send.campaign_id}/sends/retry", WHY | {"sends": [send.pk, stranger.pk]})
    one = api.post(f"/api/campaigns/{send.campaign_id}/sends/{stranger.pk}/retry", WHY)

    assert (many.status_code, one.status_code) == (400, 404)
    assert not SendDecision.objects.exists()


@pytest.mark.parametrize("path", ["1/sends/9/retry", f"1/sends/{'9' * 20}/give-up", "0/sends/retry", f"{'9' * 20}/sends/give-up"])
def test_what_does_not_exist_is_not_found(api, path):
    assert api.post(f"/api/campaigns/{path}", WHY).status_code == 404


@pytest.mark.parametrize(("permissions", "status"), [(["change_campaign", "view_emailsend"], 403), (["send_campaign"], 200)])
@pytest.mark.parametrize("target", ["{pk}/retry", "{pk}/give-up", "retry", "give-up"])
def test_deciding_is_for_those_who_may_send(send, published, permissions, status, target):
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = APIClient()
    client.force_authenticate(user)

    response = client.post(f"/api/campaigns/{send.campaign_id}/sends/{target.format(pk=send.pk)}", WHY)

    assert response.status_code == status


def test_nobody_decides_without_credentials(send):
    assert APIClient().post(path(send, "retry"), WHY).status_code == 401
