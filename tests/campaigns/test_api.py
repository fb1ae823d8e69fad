import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from rest_framework.test import APIClient

from campaigns.models import Campaign, CampaignStatus, EmailSend
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

SECRET = "s" * 40
WORDS = {
    "name": "Spring",
    "subject": "Hello {{ first_name }}",
    "body_html": "<p>Hello {{ first_name }}</p>",
    "from_email": "Hello@Example.com",
}


@pytest.fixture
def api(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET})


def codes(response):
    return [(error["code"], error["attr"]) for error in response.json()["errors"]]


def test_a_new_campaign_is_a_draft(api):
    response = api.post("/api/campaigns", WORDS)

    assert response.status_code == 201
    assert (response.json()["status"], response.json()["from_email"]) == ("draft", "hello@example.com")


@pytest.mark.parametrize(
    ("change", "code", "attr"),
    [
        ({"subject": ""}, "blank", "subject"),
        ({"name": ""}, "blank", "name"),
        ({"body_html": ""}, "blank", "body_html"),
        ({"body_html": "{{ secret }}"}, "unknown_placeholder", "body_html"),
        ({"body_html": "<a href='{{ first_name }}'>x</a>"}, "unsafe_placeholder", "body_html"),
        ({"subject": "a\r\nBcc: b@example.com"}, "invalid_characters", "subject"),
        ({"from_name": "a\nb"}, "invalid", "from_name"),
        ({"from_email": "nobody"}, "invalid", "from_email"),
        ({"reply_to": "a@b.co, c@d.co"}, "invalid", "reply_to"),
        ({"audience": {"include_tags": "vip"}}, "not_a_list", "audience.include_tags"),
    ],
)
def test_a_mistake_is_answered_with_the_field_and_a_code(api, change, code, attr):
    response = api.post("/api/campaigns", WORDS | change)

    assert response.status_code == 400
    assert (code, attr) in codes(response)


def test_an_unknown_placeholder_is_named(api):
    response = api.post("/api/campaigns", WORDS | {"subject": "{{ nickname }}"})

    assert "nickname" in response.json()["errors"][0]["detail"]


def test_the_detail_is_the_campaign_and_a_balanced_account(api):
    campaign = CampaignFactory(sending=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)

    body = api.get(f"/api/campaigns/{campaign.pk}").json()

    stats = body["stats"]
    assert body["campaign"]["id"] == campaign.pk
    assert (stats["planned"], stats["waiting"], stats["sent"]) == (3, 2, 1)
    assert stats["planned"] == sum(stats[k] for k in ("waiting", "in_flight", "sent", "failed", "unknown", "skipped"))


def test_the_list_is_paged_and_filtered(api):
    CampaignFactory.create_batch(3)
    CampaignFactory(sending=True, name="Autumn")

    page = api.get("/api/campaigns?limit=2").json()

    assert (page["count"], len(page["results"])) == (4, 2)
    assert [c["name"] for c in api.get("/api/campaigns?status=sending").json()["results"]] == ["Autumn"]
    assert api.get("/api/campaigns?status=nonsense").status_code == 400


def test_a_draft_can_be_changed(api):
    campaign = CampaignFactory()

    response = api.patch(f"/api/campaigns/{campaign.pk}", {"subject": "New", "audience": {"include_tags": ["vip"]}})

    assert response.json()["campaign"]["subject"] == "New"
    assert response.json()["campaign"]["audience"] == {"include_tags": ["vip"]}


def test_another_audience_of_a_paused_campaign_shows_in_the_account(api):
    campaign = CampaignFactory(paused=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)

    stats = api.patch(f"/api/campaigns/{campaign.pk}", {"audience": {"include_tags": ["nobody"]}}).json()["stats"]

    assert (stats["planned"], stats["waiting"], stats["sent"]) == (1, 0, 1)


@pytest.mark.parametrize(("state", "remedy"), [("sending", "pause it first"), ("done", "make a new one")])
def test_the_words_are_frozen_once_mail_leaves(api, state, remedy):
    campaign = CampaignFactory(**{state: True})

    response = api.patch(f"/api/campaigns/{campaign.pk}", {"subject": "New"})

    assert response.status_code == 409
    assert codes(response) == [("CAMPAIGN_STATUS", None)]
    assert remedy in response.json()["errors"][0]["detail"]
    assert Campaign.objects.get().subject == campaign.subject


def test_a_sending_campaign_can_be_paused_and_resumed(api):
    campaign = CampaignFactory(sending=True)

    paused = api.patch(f"/api/campaigns/{campaign.pk}", {"status": "paused"}).json()["campaign"]
    resumed = api.post("/api/campaigns/send", {"campaignId": campaign.pk}).json()["campaign"]

    assert (paused["status"], paused["pause_reason"]) == ("paused", "Paused by proxy.")
    assert (resumed["status"], resumed["pause_reason"]) == ("sending", "")


@pytest.mark.parametrize(("state", "status"), [({}, "paused"), ({"sending": True}, "draft"), ({"done": True}, "paused")])
def test_a_status_that_cannot_follow_is_refused(api, state, status):
    campaign = CampaignFactory(**state)

    response = api.patch(f"/api/campaigns/{campaign.pk}", {"status": status, "name": "Changed"})

    assert response.status_code == 409
    assert Campaign.objects.get().name == campaign.name


@pytest.mark.parametrize("status", ["sent", "sending", "nonsense"])
def test_only_draft_and_paused_can_be_asked_for(api, status):
    assert api.patch(f"/api/campaigns/{CampaignFactory().pk}", {"status": status}).status_code == 400


def test_sending_answers_202_with_the_campaign_and_its_account(api):
    ProspectFactory.create_batch(2)
    campaign = CampaignFactory()

    response = api.post("/api/campaigns/send", {"campaignId": campaign.pk})

    assert response.status_code == 202
    assert response.json()["campaign"]["status"] == "sending"
    assert response.json()["stats"]["planned"] == 2


@pytest.mark.parametrize("body", [{}, {"campaignId": "x"}, {"campaignId": None}, {"campaignId": -1}, {"campaignId": 2**70}])
def test_sending_needs_a_campaign_id(api, body):
    response = api.post("/api/campaigns/send", body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"] == "campaignId"


def test_sending_an_unknown_campaign_is_not_found(api):
    assert api.post("/api/campaigns/send", {"campaignId": 999_999}).status_code == 404


def test_sending_a_campaign_with_problems_says_which(api):
    campaign = CampaignFactory(subject="")

    response = api.post("/api/campaigns/send", {"campaignId": campaign.pk})

    assert response.status_code == 400
    assert codes(response) == [("CAMPAIGN_NOT_SENDABLE", None)]


@pytest.mark.django_db(transaction=True)
def test_fifty_requests_to_send_at_once_are_one_campaign(settings):
    settings.PROXY_SHARED_SECRET = SECRET
    ProspectFactory.create_batch(20)
    campaign = CampaignFactory()

    def send(_n):
        try:
            client = APIClient(headers={"X-Proxy-Secret": SECRET})
            return client.post("/api/campaigns/send", {"campaignId": campaign.pk}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(send, range(50))) == {202}

    assert EmailSend.objects.count() == 20


def test_the_sends_say_who_got_it_and_who_did_not(api):
    campaign = CampaignFactory(sending=True, waiting=1)
    EmailSendFactory(campaign=campaign, accepted=True, email="ada@example.com", prospect__email="ada@example.com")
    EmailSendFactory(campaign=CampaignFactory())

    rows = api.get(f"/api/campaigns/{campaign.pk}/sends").json()["results"]
    sent = api.get(f"/api/campaigns/{campaign.pk}/sends?status=sent&q=ada").json()["results"]

    assert len(rows) == 2
    assert [(row["email"], row["status"]) for row in sent] == [("ada@example.com", "sent")]


def test_a_preview_is_the_mail_of_that_person(api):
    campaign = CampaignFactory()
    ada = ProspectFactory(first_name="<Ada>")

    body = api.get(f"/api/campaigns/{campaign.pk}/preview?prospect={ada.pk}").json()

    assert body["subject"] == "Hello <Ada>"
    assert "Hello &lt;Ada&gt;" in body["html"]
    assert str(ada.unsubscribe_token) in body["text"]


@pytest.mark.parametrize(("prospect", "status"), [("x", 400), ("999999", 404), ("-1", 400), ("9" * 30, 400), ("", 200)])
def test_a_preview_for_nobody_is_refused(api, prospect, status):
    assert api.get(f"/api/campaigns/{CampaignFactory().pk}/preview?prospect={prospect}").status_code == status


def test_a_test_mail_goes_out_and_leaves_no_row(api):
    response = api.post(f"/api/campaigns/{CampaignFactory().pk}/test", {"to": "Me@Example.com"})

    assert response.status_code == 200
    assert response.json()["status"] == "accepted"
    assert response.json()["message_id"].startswith("log-")
    assert not EmailSend.objects.exists()


def test_a_test_mail_to_a_suppressed_address_is_refused(api):
    SuppressionFactory(email="me@example.com")

    response = api.post(f"/api/campaigns/{CampaignFactory().pk}/test", {"to": "me@example.com"})

    assert response.status_code == 409
    assert codes(response) == [("EMAIL_SUPPRESSED", "to")]


def test_a_test_mail_of_a_rehearsal_goes_to_listed_addresses_only(api, settings):
    settings.EMAIL_MODE, settings.SES_REGION, settings.EMAIL_ALLOWED_RECIPIENTS = "ses", "us-east-1", ["@example.org"]

    response = api.post(f"/api/campaigns/{CampaignFactory().pk}/test", {"to": "me@example.com"})

    assert response.status_code == 409
    assert codes(response) == [("RECIPIENT_NOT_ALLOWED", "to")]


def test_another_service_can_wake_a_sending_campaign(api):
    campaign = CampaignFactory(sending=True)

    assert api.post("/internal/campaigns/continue", {"campaignId": campaign.pk}).status_code == 202


def test_a_campaign_that_does_not_send_cannot_be_woken(api):
    response = api.post("/internal/campaigns/continue", {"campaignId": CampaignFactory().pk})

    assert codes(response) == [("CAMPAIGN_STATUS", None)]


def test_a_person_cannot_use_the_internal_route():
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("root"))

    assert client.post("/internal/campaigns/continue", {"campaignId": 1}).status_code == 403


@pytest.mark.parametrize("path", ["/api/campaigns/0", "/api/campaigns/99999999999999999999", "/api/campaigns/x"])
def test_an_impossible_id_is_not_found(api, path):
    assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("permissions", "method", "path", "status"),
    [
        ([], "get", "/api/campaigns", 403),
        (["view_campaign"], "get", "/api/campaigns", 200),
        (["view_campaign"], "post", "/api/campaigns", 403),
        (["add_campaign"], "post", "/api/campaigns", 201),
        (["view_campaign", "change_campaign"], "post", "/api/campaigns/send", 403),
        (["send_campaign"], "post", "/api/campaigns/send", 202),
        (["view_campaign"], "get", "/api/campaigns/{pk}/preview", 200),
        (["view_campaign"], "get", "/api/campaigns/{pk}/sends", 403),
        (["view_emailsend"], "get", "/api/campaigns/{pk}/sends", 200),
        (["view_campaign"], "patch", "/api/campaigns/{pk}", 403),
        (["change_campaign"], "patch", "/api/campaigns/{pk}", 200),
        (["change_campaign"], "post", "/api/campaigns/{pk}/test", 403),
    ],
)
def test_people_may_do_what_their_permissions_say(permissions, method, path, status):
    user = User.objects.create_user(f"u{uuid.uuid4().hex[:8]}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    campaign = CampaignFactory()
    client = APIClient()
    client.force_authenticate(user)

    body = {"campaignId": campaign.pk} | (WORDS if method == "post" else {})

    assert getattr(client, method)(path.format(pk=campaign.pk), body).status_code == status


def test_a_campaign_goes_on_from_pause_without_mailing_anyone_twice(api, run_all, transport):
    campaign = CampaignFactory(sending=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)
    api.patch(f"/api/campaigns/{campaign.pk}", {"status": "paused"})
    api.post("/api/campaigns/send", {"campaignId": campaign.pk})

    run_all(campaign)

    assert len(transport.sent) == 2
    assert campaign.status == CampaignStatus.SENT
