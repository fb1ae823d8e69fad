"""Progress, sending, pausing, preview and test mail in the admin."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Campaign, EmailSend
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, SuppressionFactory
from tests.staff import member, superuser, words

pytestmark = pytest.mark.django_db


def page(campaign, name):
    return reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk])


def text(response):
    """The words of a page, as they are read."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.fixture(autouse=True)
def nothing_is_published(published):
    return published


@pytest.fixture
def memory(monkeypatch):
    transport = MemoryTransport()
    monkeypatch.setattr("notifications.transports.configured", lambda: transport)
    return transport


def test_asking_before_sending_tells_whom_from_whom_and_how(settings):
    settings.SES_MAX_SEND_RATE = 2.0
    for _ in range(4):
        ProspectFactory()
    SuppressionFactory(email=ProspectFactory().email)
    campaign = CampaignFactory(from_name="Ada", from_email="ada@example.com")

    shown = text(superuser().get(page(campaign, "send")))

    assert "4 people get" in shown
    assert "Ada &lt;ada@example.com&gt;" in shown
    assert "Hello {{ first_name }}" in shown
    assert "1 on the suppression list" in shown
    assert "2 a second at most, so about 2 s" in shown
    assert "Does not leave: log mode".lower() in shown.lower()


def test_asking_sends_nothing():
    campaign = CampaignFactory()
    ProspectFactory()

    superuser().get(page(campaign, "send"))

    assert Campaign.objects.get().status == "draft"
    assert not EmailSend.objects.exists()


def test_confirming_sends_in_the_name_of_who_confirmed():
    campaign = CampaignFactory()
    ProspectFactory()

    response = superuser().post(page(campaign, "send"), {"status": "draft"})

    campaign.refresh_from_db()
    assert (campaign.status, campaign.started_by) == ("sending", "anna")
    assert EmailSend.objects.count() == 1
    assert response.headers["Location"] == page(campaign, "change")
    assert LogEntry.objects.get().get_change_message() == "Sending."


@pytest.mark.parametrize(("state", "verb"), [("paused", "Resume"), ("done", "Send to people added since")])
def test_a_campaign_can_be_resumed_and_run_again(state, verb):
    campaign = CampaignFactory(**{state: True})
    client = superuser()
    ProspectFactory()
    campaign.refresh_from_db()

    assert verb in text(client.get(page(campaign, "send")))
    client.post(page(campaign, "send"), {"status": campaign.status})

    campaign.refresh_from_db()
    assert campaign.status == "sending"
    assert EmailSend.objects.count() == 1


def test_pausing_tells_by_whom():
    campaign = CampaignFactory(sending=True, waiting=2)
    client = superuser()

    assert "0 of 2" in text(client.get(page(campaign, "pause")))
    client.post(page(campaign, "pause"), {"status": "sending"})

    campaign.refresh_from_db()
    assert (campaign.status, campaign.pause_reason) == ("paused", "Paused by anna.")


def test_what_was_confirmed_on_a_stale_page_is_not_done():
    campaign = CampaignFactory(paused=True)
    client = superuser()

    response = client.post(page(campaign, "send"), {"status": "draft"})

    assert "Nothing was done" in words(response)[0]
    assert Campaign.objects.get().status == "paused"


def test_a_campaign_with_problems_is_not_sent_and_says_why(settings):
    settings.SES_FROM = ""
    campaign = CampaignFactory(from_email="", subject="{{ nonsense }}")
    client = superuser()

    assert "It cannot be sent yet" in text(client.get(page(campaign, "send")))
    response = client.post(page(campaign, "send"), {"status": "draft"})

    assert "nonsense" in words(response)[0]
    assert Campaign.objects.get().status == "draft"


def test_an_error_of_the_domain_is_a_message(monkeypatch):
    campaign = CampaignFactory(sending=True)

    def refuse(*_args, **_kwargs):
        raise lifecycle.WrongStatus("Somebody was faster.")

    monkeypatch.setattr(lifecycle, "pause_campaign", refuse)
    response = superuser().post(page(campaign, "pause"), {"status": "sending"})

    assert response.status_code == 302
    assert words(response) == ["Somebody was faster."]


@pytest.mark.parametrize("name", ["send", "pause", "test"])
def test_sending_pausing_and_testing_need_their_own_permission(name):
    campaign = CampaignFactory()
    client = member("view_campaign", "change_campaign", "add_campaign", "delete_campaign")

    assert client.get(page(campaign, name)).status_code == 403
    assert client.post(page(campaign, name), {"status": "draft", "to": "x@example.com"}).status_code == 403
    assert Campaign.objects.get().status == "draft"


def test_who_may_not_send_is_not_offered_to():
    campaign = CampaignFactory()

    shown = member("view_campaign").get(page(campaign, "change")).content.decode()

    assert page(campaign, "send") not in shown
    assert page(campaign, "preview") in shown


@pytest.mark.parametrize("name", ["send", "pause", "test"])
def test_a_forged_request_without_token_does_nothing(name):
    campaign = CampaignFactory()
    client = superuser(enforce_csrf_checks=True)

    assert client.post(page(campaign, name), {"status": "draft", "to": "x@example.com"}).status_code == 403
    assert Campaign.objects.get().status == "draft"


def test_the_panel_tells_the_whole_account(now):
    campaign = CampaignFactory(sending=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True, delivered_at=now, opened_at=now)
    EmailSendFactory(campaign=campaign, skipped_at=now, skip_reason="unsubscribed")

    shown = text(superuser().get(page(campaign, "progress")))

    assert "1 of 4 sent" in shown
    assert "waiting 2 50%" in shown
    assert "skipped 1 25%" in shown
    assert "opened 1 100%" in shown
    assert "Skipped: 1 unsubscribed." in shown


@pytest.mark.parametrize(("state", "refreshes"), [("sending", True), ("paused", False), ("done", False)])
def test_the_panel_is_asked_for_again_only_while_mail_leaves(state, refreshes):
    campaign = CampaignFactory(**{state: True})
    client = superuser()

    assert ("X-Refresh-After" in client.get(page(campaign, "progress"))) is refreshes
    assert ('data-live-now="yes"' in client.get(page(campaign, "change")).content.decode()) is refreshes


def test_a_pause_shows_its_reason_and_what_to_do():
    campaign = CampaignFactory(paused=True, pause_reason="The AWS credentials have expired. (ExpiredToken)")

    shown = text(superuser().get(page(campaign, "change")))

    assert "The AWS credentials have expired." in shown
    assert "Give the workers working AWS credentials" in shown


def test_a_campaign_that_no_worker_takes_up_says_so(now):
    campaign = CampaignFactory(sending=True, waiting=1)
    Campaign.objects.update(loop_seen_at=now.replace(year=now.year - 1))

    assert "Is a Celery worker running?" in text(superuser().get(page(campaign, "progress")))


def test_the_daily_limit_explains_why_nothing_moves(settings, now):
    settings.CAMPAIGN_DAILY_LIMIT = 1
    campaign = CampaignFactory(sending=True, waiting=1)
    EmailSendFactory(call_started_at=now, sent_at=now)

    assert "CAMPAIGN_DAILY_LIMIT" in text(superuser().get(page(campaign, "progress")))


def test_the_preview_is_the_mail_that_this_person_would_get():
    person = ProspectFactory(first_name="Grace & Co", email="grace@example.com")
    campaign = CampaignFactory()
    client = superuser()

    shown = client.get(page(campaign, "preview"), {"prospect": " Grace@Example.com"}).content.decode()
    mail = client.get(page(campaign, "mail"), {"prospect": person.email}).content.decode()

    assert "Hello Grace &amp; Co" in shown
    assert f"{page(campaign, 'mail')}?prospect=grace%40example.com" in shown.replace("@", "%40")
    assert "<p>Hello Grace &amp; Co</p>" in mail


def test_the_mail_is_on_a_page_that_can_do_nothing():
    response = superuser().get(page(CampaignFactory(), "mail"))

    assert response.headers["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; img-src https: data:; style-src 'unsafe-inline'"
    )
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert response.headers["Referrer-Policy"] == "no-referrer"


def test_the_preview_shows_the_mail_in_a_sandbox_that_allows_nothing():
    shown = superuser().get(page(CampaignFactory(), "preview")).content.decode()

    assert re.search(r'<iframe class="o-mail-body" sandbox title', shown)


def test_nobodys_unsubscribe_token_is_in_a_preview():
    person = ProspectFactory()
    campaign = CampaignFactory(body_html='<a href="{{ unsubscribe_url }}">x</a>', body_text="{{ unsubscribe_url }}")
    client = superuser()

    for name in ("preview", "mail"):
        shown = client.get(page(campaign, name), {"prospect": person.email}).content.decode()
        assert "api/unsubscribe?token=00000000-" in shown
        assert str(person.unsubscribe_token) not in shown


def test_a_preview_of_words_that_cannot_be_sent_says_why():
    campaign = CampaignFactory(from_name="a\nb")
    client = superuser()

    assert "from_name" in text(client.get(page(campaign, "preview")))
    assert client.get(page(campaign, "mail")).status_code == 409


def test_an_address_that_nobody_has_is_said_so():
    assert "There is no prospect with this address." in text(
        superuser().get(page(CampaignFactory(), "preview"), {"prospect": "nobody@example.com"})
    )


def test_a_preview_as_a_person_needs_the_permission_to_see_people():
    person = ProspectFactory()
    campaign = CampaignFactory()
    client = member("view_campaign")

    assert client.get(page(campaign, "preview")).status_code == 200
    assert client.get(page(campaign, "preview"), {"prospect": person.email}).status_code == 403
    assert client.get(page(campaign, "mail"), {"prospect": person.email}).status_code == 403


def test_a_test_goes_to_one_address_and_leaves_no_row(memory):
    person = ProspectFactory(first_name="Grace")
    campaign = CampaignFactory()

    response = superuser().post(page(campaign, "test"), {"to": "Me@Example.com", "prospect": person.email})

    assert [(message.to, message.subject) for message in memory.sent] == [("me@example.com", "Hello Grace")]
    assert words(response) == ["The test to me@example.com was accepted."]
    assert not EmailSend.objects.exists()


def test_a_test_that_ses_refuses_says_why(memory, monkeypatch):
    monkeypatch.setattr(memory, "send", lambda _message: Outcome(Verdict.REFUSED, error="MessageRejected: no"))

    response = superuser().post(page(CampaignFactory(), "test"), {"to": "me@example.com"})

    assert words(response) == ["The test to me@example.com was refused. MessageRejected: no"]


def test_no_test_goes_to_a_suppressed_address(memory):
    SuppressionFactory(email="me@example.com")

    response = superuser().post(page(CampaignFactory(), "test"), {"to": "me@example.com"})

    assert words(response) == ["The address is on the suppression list."]
    assert memory.sent == []


def test_a_test_to_nothing_says_so_on_the_page(memory):
    response = superuser().post(page(CampaignFactory(), "test"), {"to": "nonsense"})

    assert "Not an e-mail address" in text(response)
    assert memory.sent == []


@pytest.mark.parametrize("pk", [0, 10**30])
@pytest.mark.parametrize("name", ["progress", "send", "pause", "preview", "mail", "test"])
def test_a_campaign_that_is_not_there_is_404(name, pk):
    assert superuser().get(f"/admin/campaigns/campaign/{pk}/{name}/").status_code == 404
