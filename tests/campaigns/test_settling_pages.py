"""Unknown sends in the admin: choosing, saying why, and what is told before and after."""

import pytest
from django.urls import reverse

from campaigns.models import SendDecision
from tests.factories import CampaignFactory, EmailSendFactory
from tests.staff import DANGEROUS, PAYLOADS, member, superuser, words

pytestmark = pytest.mark.django_db

LIST = "/admin/campaigns/emailsend/"
RETRY, GIVE_UP = f"{LIST}settle/retry/", f"{LIST}settle/give-up/"


@pytest.fixture
def send(published):
    return EmailSendFactory(unsettled=True, campaign=CampaignFactory(sending=True))


def page(send):
    return reverse("admin:campaigns_emailsend_change", args=[send.pk])


def decide(client, url, *sends, why="asked them by phone"):
    return client.post(url, {"sends": ",".join(str(send.pk) for send in sends), "why": why})


def test_the_sends_own_page_offers_the_decision_while_it_is_unknown(send):
    client = superuser()

    assert f"{RETRY}?sends={send.pk}" in client.get(page(send)).content.decode()
    decide(client, GIVE_UP, send)
    assert RETRY not in client.get(page(send)).content.decode()


def test_the_confirmation_says_plainly_that_a_person_may_be_mailed_twice(send):
    text = superuser().get(RETRY, {"sends": send.pk}).content.decode()

    assert "This person may get the mail twice." in text
    assert send.email in text


@pytest.mark.parametrize(("url", "verb", "status"), [(RETRY, "retry", "queued"), (GIVE_UP, "give_up", "failed")])
def test_confirming_decides_and_keeps_who_and_why(send, url, verb, status):
    client = superuser()

    response = decide(client, url, send)

    send.refresh_from_db()
    decision = SendDecision.objects.get()
    assert (send.status, decision.verb, decision.decided_by, decision.why) == (status, verb, "anna", "asked them by phone")
    assert response.headers["Location"] == page(send)


def test_the_page_tells_who_decided_and_what_it_was_before(send):
    send.error = "ReadTimeoutError: x"
    send.save(update_fields=["error"])
    client = superuser()
    decide(client, RETRY, send)

    text = client.get(page(send)).content.decode()

    assert "by anna: asked them by phone" in text
    assert "ReadTimeoutError: x" in text
    assert "Attempt 1" in text


def test_without_a_reason_the_page_asks_again(send):
    response = decide(superuser(), RETRY, send, why=" ")

    assert response.status_code == 200
    assert not SendDecision.objects.exists()
    assert f'value="{send.pk}"' in response.content.decode()


def test_the_lists_action_asks_about_the_unknown_ones_among_those_chosen(send):
    sent = EmailSendFactory(accepted=True, campaign=send.campaign)

    response = superuser().post(LIST, {"action": "retry_chosen", "_selected_action": [send.pk, sent.pk]})

    assert response.context["form"].initial["sends"] == str(send.pk)
    assert response.context["others"] == 1
    assert not SendDecision.objects.exists()


def test_the_lists_action_may_be_about_the_whole_list(send):
    EmailSendFactory(unsettled=True, campaign=send.campaign)
    asked = {"action": "give_up_chosen", "_selected_action": [send.pk], "select_across": "1", "index": "0"}

    response = superuser().post(f"{LIST}?campaign={send.campaign_id}&status=unknown", asked)

    assert response.context["count"] == "2"


def test_all_unknown_sends_of_a_campaign_can_be_chosen_by_a_link(send):
    EmailSendFactory(unsettled=True)

    assert superuser().get(RETRY, {"campaign": send.campaign_id}).context["send"] == send


@pytest.mark.parametrize(
    "query", [{}, {"sends": "x"}, {"sends": "9" * 30}, {"campaign": "x"}, {"campaign": "-1"}, {"sends": "0"}]
)
def test_a_link_that_names_nothing_leads_back(send, query):
    client = superuser()

    response = client.get(RETRY, query)

    assert response.status_code == 302
    assert "none of these sends is unknown" in words(response)[0]


def test_a_send_that_was_settled_meanwhile_is_left_alone(send, now):
    client = superuser()
    client.get(RETRY, {"sends": send.pk})
    type(send).objects.update(sent_at=now)

    response = decide(client, RETRY, send)

    assert "not unknown (any more)" in words(response)[0]


def test_deciding_is_for_those_who_may_send(send):
    client = member("view_emailsend", "view_campaign")

    assert client.get(RETRY, {"sends": send.pk}).status_code == 403
    assert decide(client, RETRY, send).status_code == 403
    client.post(LIST, {"action": "retry_chosen", "_selected_action": [send.pk]})
    assert RETRY not in client.get(page(send)).content.decode()
    assert not SendDecision.objects.exists()


def test_deciding_needs_the_csrf_token(send):
    assert decide(superuser(enforce_csrf_checks=True), RETRY, send).status_code == 403


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_reason_is_shown_as_text(send, payload):
    client = superuser()
    decide(client, GIVE_UP, send, why=payload)

    text = client.get(page(send)).content.decode()

    assert not [opening for opening in DANGEROUS if opening in text]


def test_all_decisions_are_listed_and_nobody_edits_them(send):
    client = superuser()
    decide(client, GIVE_UP, send)
    decision = SendDecision.objects.get()
    url = reverse("admin:campaigns_senddecision_change", args=[decision.pk])

    found = client.get("/admin/campaigns/senddecision/", {"q": send.email, "verb": "give_up"})

    assert list(found.context["cl"].result_list) == [decision]
    assert client.get(url).status_code == 200
    assert client.post(url, {"why": "forged"}).status_code == 403
    assert client.post(reverse("admin:campaigns_senddecision_delete", args=[decision.pk]), {"post": "yes"}).status_code == 403
