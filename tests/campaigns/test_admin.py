"""The campaign's list and form."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Campaign, CampaignStatus
from tests.factories import CampaignFactory, EmailSendFactory
from tests.staff import member, superuser, words

pytestmark = pytest.mark.django_db

LIST = "/admin/campaigns/campaign/"
WORDS = {
    "name": "Spring",
    "subject": "Hello {{ first_name }}",
    "body_html": "<p>Hello {{ first_name }}</p>",
    "body_text": "",
    "from_name": "Ada",
    "from_email": "Hello@Example.COM",
    "reply_to": "",
    "include_tags": "vip\r\nberlin, mitte",
    "exclude_tags": "",
}


def page(campaign, name="change"):
    return reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk])


def form_of(campaign, **changes):
    fields = {name: getattr(campaign, name) for name in WORDS if not name.endswith("_tags")}
    tags = {name: "\n".join(campaign.audience.get(name, [])) for name in ("include_tags", "exclude_tags")}
    return fields | tags | changes


def errors_of(response):
    return dict(response.context["adminform"].form.errors)


def test_a_new_campaign_is_a_draft_of_whoever_made_it():
    response = superuser().post(f"{LIST}add/", WORDS)

    assert response.status_code == 302
    campaign = Campaign.objects.get()
    assert (campaign.status, campaign.created_by, campaign.from_email) == ("draft", "anna", "hello@example.com")
    assert campaign.audience == {"include_tags": ["vip", "berlin, mitte"], "exclude_tags": []}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("subject", "Hello {{ frist_name }}", "frist_name"),
        ("body_html", "<p>{{ password }}</p>", "password"),
        ("from_email", "not an address", "Not an e-mail address"),
        ("reply_to", "a@b.example, c@d.example", "Not an e-mail address"),
        ("from_name", "Ada\r\nBcc: x@example.com", "control character"),
        ("name", "", "required"),
        ("name", "n" * 201, "200"),
        ("include_tags", "t" * 101, "longer than 100"),
        ("body_text", "a\x00b", "ull characters"),
    ],
)
def test_what_the_api_refuses_the_form_refuses_in_its_place(field, value, said):
    response = superuser().post(f"{LIST}add/", WORDS | {field: value})

    assert response.status_code == 200
    assert said in str(errors_of(response)[field])
    assert not Campaign.objects.exists()


def test_only_what_was_changed_is_written():
    campaign = CampaignFactory(from_name="Ada", audience={"include_tags": ["a, b"]})
    client = superuser()
    stale = form_of(campaign, subject="New")
    Campaign.objects.filter(pk=campaign.pk).update(reply_to="colleague@example.com")

    client.post(page(campaign), stale | {"reply_to": "colleague@example.com"})

    campaign.refresh_from_db()
    assert (campaign.subject, campaign.from_name, campaign.reply_to) == ("New", "Ada", "colleague@example.com")
    assert campaign.audience == {"include_tags": ["a, b"]}


def test_whoever_waits_and_is_not_meant_any_more_leaves_with_the_form_too():
    campaign = CampaignFactory(paused=True, waiting=2)

    superuser().post(page(campaign), form_of(campaign, include_tags="vip"))

    campaign.refresh_from_db()
    assert (campaign.audience, campaign.sends.count()) == ({"include_tags": ["vip"], "exclude_tags": []}, 0)


def test_saving_without_a_change_changes_nothing():
    campaign = CampaignFactory(body_html="<p>one</p>\n<p>two</p>")

    superuser().post(page(campaign), form_of(campaign, body_html="<p>one</p>\r\n<p>two</p>"))

    before = campaign.updated_at
    campaign.refresh_from_db()
    assert campaign.body_html == "<p>one</p>\n<p>two</p>"
    assert campaign.updated_at == before


@pytest.mark.parametrize("state", ["sending", "done"])
def test_the_words_of_a_campaign_that_mail_has_left_with_are_fixed(state):
    campaign = CampaignFactory(**{state: True})
    client = superuser()

    response = client.post(page(campaign), form_of(campaign, subject="Changed"))

    assert "Not saved" in words(response)[0]
    campaign.refresh_from_db()
    assert campaign.subject != "Changed"
    assert b'name="subject"' not in client.get(page(campaign)).content


def test_a_campaign_that_starts_between_the_check_and_the_save_keeps_its_words(monkeypatch):
    campaign = CampaignFactory()
    client = superuser()
    # The page sees a draft; the verb, which locks the row, sees that it sends by now.
    from campaigns import admin as module

    def starts_meanwhile(found, fields, *, by):
        Campaign.objects.filter(pk=found.pk).update(status=CampaignStatus.SENDING, started_at=found.created_at)
        return original(found, fields, by=by)

    original = module.editing.change_campaign
    monkeypatch.setattr(module.editing, "change_campaign", starts_meanwhile)
    response = client.post(page(campaign), form_of(campaign, subject="Changed"))

    assert response.status_code == 302
    assert "cannot be changed" in words(response)[0]
    campaign.refresh_from_db()
    assert campaign.subject != "Changed"


def test_a_draft_can_be_deleted():
    campaign = CampaignFactory()

    superuser().post(page(campaign, "delete"), {"post": "yes"})

    assert not Campaign.objects.exists()


@pytest.mark.parametrize("state", ["sending", "paused", "done"])
def test_a_campaign_that_ever_started_is_never_deleted(state):
    campaign = CampaignFactory(**{state: True}, waiting=1)
    client = superuser()

    response = client.post(page(campaign, "delete"), {"post": "yes"})

    assert response.status_code == 302
    assert "cannot be deleted" in words(response)[0]
    assert Campaign.objects.exists()
    assert b"Delete campaign" not in client.get(page(campaign)).content


def test_a_campaign_that_starts_before_its_deletion_is_confirmed_stays(monkeypatch):
    campaign = CampaignFactory(waiting=1)
    client = superuser()
    # As if it had started after the page asked: the verb looks again, under a lock.
    from campaigns import admin as module

    monkeypatch.setattr(module.CampaignAdmin, "get_deleted_objects", lambda *_: ([], {}, set(), []))
    original = module.editing.delete_campaign

    def starts_meanwhile(found):
        Campaign.objects.filter(pk=found.pk).update(status=CampaignStatus.SENDING, started_at=found.created_at)
        original(found)

    monkeypatch.setattr(module.editing, "delete_campaign", starts_meanwhile)
    response = client.post(page(campaign, "delete"), {"post": "yes"})

    assert "cannot be deleted" in words(response)[0]
    assert Campaign.objects.exists()


def test_the_list_shows_how_far_each_is():
    campaign = CampaignFactory(sending=True, waiting=3)
    EmailSendFactory(campaign=campaign, accepted=True)

    assert "1 / 4" in superuser().get(LIST).content.decode()


def test_the_list_asks_as_much_for_twenty_campaigns_as_for_one():
    client = superuser()

    def queries():
        with CaptureQueriesContext(connection) as captured:
            client.get(LIST)
        return len(captured)

    CampaignFactory(waiting=1)
    few = queries()
    for _ in range(19):
        CampaignFactory(waiting=1)

    assert queries() == few


def test_the_list_counts_nothing_without_a_bound():
    CampaignFactory()
    client = superuser()

    with CaptureQueriesContext(connection) as captured:
        client.get(LIST)

    counts = [query["sql"] for query in captured if "count(" in query["sql"].lower() and "LIMIT" not in query["sql"]]
    assert all("GROUP BY" in sql for sql in counts)


def test_the_list_is_narrowed_by_status_and_by_name():
    CampaignFactory(name="Quiet one")
    CampaignFactory(name="Loud one", paused=True)
    client = superuser()

    assert "Quiet one" not in client.get(LIST, {"status": "paused"}).content.decode()
    assert "Loud one" not in client.get(LIST, {"q": "quiet"}).content.decode()


def test_staff_without_permission_see_no_campaign():
    campaign = CampaignFactory()
    client = member("view_prospect")

    assert client.get(LIST).status_code == 403
    assert client.get(page(campaign)).status_code == 403
    assert client.get(page(campaign, "progress")).status_code == 403


def test_who_may_only_look_can_neither_change_nor_delete():
    campaign = CampaignFactory(subject="Original")
    client = member("view_campaign")

    assert client.post(page(campaign), form_of(campaign, subject="Forged")).status_code == 403
    assert client.post(page(campaign, "delete"), {"post": "yes"}).status_code == 403
    assert client.post(f"{LIST}add/", WORDS).status_code == 403
    assert Campaign.objects.get().subject == "Original"


def test_who_may_change_cannot_add_or_send():
    campaign = CampaignFactory()
    client = member("view_campaign", "change_campaign")

    assert client.post(f"{LIST}add/", WORDS).status_code == 403
    assert client.post(page(campaign, "send"), {"status": "draft"}).status_code == 403
    # Columns that the form does not show cannot be written through it.
    client.post(page(campaign), form_of(campaign, status="sent", key="x", created_by="eve", pause_reason="x"))
    campaign.refresh_from_db()
    assert (campaign.status, campaign.created_by, campaign.pause_reason) == ("draft", "", "")
