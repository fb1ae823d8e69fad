"""The ledger in the admin."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications.models import EmailEvent
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db

LIST = "/admin/campaigns/emailsend/"


def page(send, name="change"):
    return reverse(f"admin:campaigns_emailsend_{name}", args=[send.pk])


def shown(client, **query):
    return {send.email for send in client.get(LIST, query).context["cl"].result_list}


def event(now, **fields):
    row = {"fingerprint": uuid.uuid4().hex, "route": "sns", "event_type": "Bounce", "body": b"{}"}
    return EmailEvent.objects.create(**row | {"occurred_at": now, "received_at": now} | fields)


def test_a_send_can_be_looked_at_and_nothing_else():
    send = EmailSendFactory()
    client = superuser()

    assert client.get(page(send)).status_code == 200
    assert client.post(page(send), {"email": "forged@example.com"}).status_code == 403
    assert client.post(page(send, "delete"), {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403
    send.refresh_from_db()
    assert send.email != "forged@example.com"


def test_no_action_deletes_sends():
    send = EmailSendFactory()

    superuser().post(LIST, {"action": "delete_selected", "_selected_action": [send.pk], "post": "yes"})

    send.refresh_from_db()


def test_the_list_is_narrowed_by_campaign_and_status(now):
    campaign = CampaignFactory(name="Spring fair", sending=True)
    waiting, sent = EmailSendFactory(campaign=campaign), EmailSendFactory(campaign=campaign, accepted=True)
    EmailSendFactory()
    client = superuser()

    assert shown(client, campaign=campaign.pk) == {waiting.email, sent.email}
    assert shown(client, campaign=campaign.pk, status="sent") == {sent.email}
    assert "Campaign: Spring fair" in client.get(LIST, {"campaign": campaign.pk}).content.decode()


@pytest.mark.parametrize("value", ["abc", "-1", "9" * 30, "1e3", "", "0"])
def test_a_campaign_that_is_none_is_no_error(value):
    EmailSendFactory()

    assert superuser().get(LIST, {"campaign": value}).status_code == 200


def test_a_send_is_found_by_its_whole_address_and_by_its_message_id():
    send = EmailSendFactory(accepted=True)
    EmailSendFactory()
    client = superuser()

    assert shown(client, q=f" {send.email.upper()} ") == {send.email}
    assert shown(client, q=send.message_id) == {send.email}
    assert shown(client, q="person") == set()


def test_a_page_of_the_list_costs_the_same_number_of_queries_however_long_it_is():
    client = superuser()

    def queries():
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST)
        return len(captured)

    EmailSendFactory()
    few = queries()
    for _ in range(20):
        EmailSendFactory()

    assert queries() == few


def test_the_page_tells_what_happened_in_its_order(now):
    send = EmailSendFactory(
        sent_at=now,
        call_started_at=now - timedelta(seconds=1),
        delivered_at=now + timedelta(seconds=2),
        created_at=now - timedelta(minutes=1),
        message_id="ses-1",
        error="smtp; 550 no such user",
        bounced_at=now + timedelta(seconds=9),
    )

    response = superuser().get(page(send))

    told = [words for _, words, _ in response.context["timeline"]]
    assert told == ["Planned", "Handed to SES", "Accepted by SES", "Delivered", "Bounced"]
    assert "smtp; 550 no such user" in response.content.decode()


def test_the_page_lists_the_events_of_this_mail_only(now):
    send = EmailSendFactory(accepted=True)
    mine = [event(now, message_id=send.message_id), event(now, send_id=send.send_id)]
    event(now, message_id="another")
    event(now)

    assert {found.pk for found in superuser().get(page(send)).context["events"]} == {one.pk for one in mine}


def test_a_mail_without_message_id_does_not_claim_the_events_of_others(now):
    event(now, message_id="")

    assert superuser().get(page(EmailSendFactory())).context["events"] == []


def test_events_are_for_those_who_may_see_events(now):
    send = EmailSendFactory(accepted=True)
    event(now, message_id=send.message_id)

    assert member("view_emailsend").get(page(send)).context["events"] == []


def test_a_skipped_person_has_a_reason_in_words(now):
    send = EmailSendFactory(skipped_at=now, skip_reason="address_changed")

    assert "the prospect has another address now" in superuser().get(page(send)).content.decode()


def test_a_send_whose_prospect_was_deleted_is_still_there():
    send = EmailSendFactory()
    send.prospect.delete()

    assert superuser().get(page(send)).status_code == 200
    assert ProspectFactory._meta.model.objects.count() == 0
