"""Suppressions and events in the admin."""

import json
import uuid

import pytest
from django.urls import reverse

from notifications.admin import pretty
from notifications.models import EmailEvent, Suppression, SuppressionLift
from tests.events import envelope
from tests.factories import SuppressionFactory
from tests.staff import member, superuser, words

pytestmark = pytest.mark.django_db

LIST = "/admin/notifications/suppression/"


def page(suppression, name="change"):
    return reverse(f"admin:notifications_suppression_{name}", args=[suppression.pk])


def event(now, **fields):
    row = {"fingerprint": uuid.uuid4().hex, "route": "sns", "event_type": "Bounce", "body": b"{}"}
    return EmailEvent.objects.create(**row | {"occurred_at": now, "received_at": now} | fields)


def found(client, url, **query):
    return [row.pk for row in client.get(url, query).context["cl"].result_list]


def test_an_address_is_put_on_the_list_in_its_normal_form():
    superuser().post(f"{LIST}add/", {"email": " Ada@Example.COM ", "note": "asked by phone"})

    row = Suppression.objects.get()
    assert (row.email, row.reason, row.source, row.note) == ("ada@example.com", "manual", "anna", "asked by phone")


def test_a_stronger_reason_stays():
    SuppressionFactory(email="ada@example.com", reason="complaint")

    response = superuser().post(f"{LIST}add/", {"email": "ada@example.com"})

    assert "It is on the list already: complaint." in response.content.decode()
    assert Suppression.objects.get().reason == "complaint"


def test_who_only_unsubscribed_may_be_listed_for_all_mail():
    SuppressionFactory(email="ada@example.com", reason="unsubscribe")

    superuser().post(f"{LIST}add/", {"email": "ada@example.com"})

    assert Suppression.objects.get().reason == "manual"


def test_taking_an_address_off_needs_a_reason():
    row = SuppressionFactory()

    response = superuser().post(page(row, "lift"), {"why": "   "})

    assert "This field is required" in response.content.decode()
    assert Suppression.objects.exists()


def test_taking_an_address_off_is_kept_with_name_and_reason():
    row = SuppressionFactory(reason="bounce")

    response = superuser().post(page(row, "lift"), {"why": "The mailbox exists again."})

    assert words(response) == [f"{row.email} is off the list."]
    assert not Suppression.objects.exists()
    lift = SuppressionLift.objects.get()
    assert (lift.email, lift.reason, lift.lifted_by, lift.why) == (row.email, "bounce", "anna", "The mailbox exists again.")


def test_deleting_asks_for_the_reason_instead():
    row = SuppressionFactory()
    client = superuser()

    for response in (client.get(page(row, "delete")), client.post(page(row, "delete"), {"post": "yes"})):
        assert response.headers["Location"] == page(row, "lift")
    client.post(LIST, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert Suppression.objects.exists()


def test_a_listed_address_cannot_be_rewritten():
    row = SuppressionFactory(email="ada@example.com")

    assert superuser().post(page(row), {"email": "eve@example.com", "reason": "unsubscribe"}).status_code == 403
    assert Suppression.objects.get().email == "ada@example.com"


def test_lifting_needs_the_permission_to_delete():
    row = SuppressionFactory()
    client = member("view_suppression", "add_suppression", "change_suppression")

    assert client.get(page(row)).status_code == 200
    assert client.post(page(row, "lift"), {"why": "because"}).status_code == 403
    assert client.post(page(row, "delete"), {"post": "yes"}).status_code == 403 or Suppression.objects.exists()
    assert Suppression.objects.exists()


def test_the_list_is_searched_by_the_beginning_of_an_address_and_narrowed_by_reason():
    ada = SuppressionFactory(email="ada@example.com", reason="bounce")
    SuppressionFactory(email="grace@example.com")
    client = superuser()

    assert found(client, LIST, q="ADA@") == [ada.pk]
    assert found(client, LIST, reason="bounce") == [ada.pk]


def test_the_record_of_lifts_can_only_be_looked_at(now):
    why = {"reason": "manual", "suppressed_at": now, "lifted_at": now, "lifted_by": "anna", "why": "asked"}
    lift = SuppressionLift.objects.create(email="ada@example.com", **why)
    change = reverse("admin:notifications_suppressionlift_change", args=[lift.pk])
    client = superuser()

    assert "asked" in client.get(change).content.decode()
    assert client.post(change, {"why": "forged"}).status_code == 403
    assert client.post(reverse("admin:notifications_suppressionlift_delete", args=[lift.pk]), {"post": "yes"}).status_code == 403


def test_an_event_can_only_be_looked_at(now):
    row = event(now)
    change = reverse("admin:notifications_emailevent_change", args=[row.pk])
    client = superuser()

    assert client.get(change).status_code == 200
    assert client.post(change, {"state": "applied"}).status_code == 403
    assert client.post(reverse("admin:notifications_emailevent_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
    assert client.get("/admin/notifications/emailevent/add/").status_code == 403


def test_events_are_narrowed_and_found_by_their_ids(now):
    row = event(now, message_id="ses-1", send_id="abc-1", state="parked", event_type="Open", route="eventbridge")
    event(now)
    client, url = superuser(), "/admin/notifications/emailevent/"

    for query in ({"q": "ses-1"}, {"q": "abc-1"}, {"state": "parked"}, {"event_type": "Open"}, {"route": "eventbridge"}):
        assert found(client, url, **query) == [row.pk]
    assert found(client, url, q="ses") == []


def test_the_list_of_events_does_not_read_their_bodies(now, django_assert_num_queries):
    event(now)
    rows = superuser().get("/admin/notifications/emailevent/").context["cl"].result_list

    assert rows[0].get_deferred_fields() == {"body"}


def test_an_event_is_shown_to_be_read_and_escaped(now):
    body = json.dumps(envelope("click", to="<script>alert(1)</script>@example.com")).encode()

    shown = superuser().get(reverse("admin:notifications_emailevent_change", args=[event(now, body=body).pk])).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;@example.com" in shown
    assert "<script>alert" not in shown


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 5_000, b"null", b'{"Message": "not json"}', b'{"Message": {}}'])
def test_whatever_a_body_holds_it_can_be_shown(body, now):
    url = reverse("admin:notifications_emailevent_change", args=[event(now, body=body).pk])

    assert superuser().get(url).status_code == 200


def test_the_message_inside_an_sns_notification_is_shown_as_json():
    assert '"eventType": "Bounce"' in pretty(json.dumps({"Message": json.dumps({"eventType": "Bounce"})}).encode())


@pytest.mark.parametrize("wrap", [lambda event: event, lambda event: {"Message": json.dumps(event)}])
def test_the_unsubscribe_link_in_an_events_headers_is_hidden(wrap):
    token = str(uuid.uuid4())
    header = {"name": "List-Unsubscribe", "value": f"<https://example.com/api/unsubscribe?token={token}&c=abc>"}

    shown = pretty(json.dumps(wrap({"mail": {"headers": [header]}})).encode())

    assert token not in shown
    assert "[hidden]" in shown
