"""What all pages of the admin have in common: who gets in, odd addresses, hostile texts, head and menu."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from notifications.models import EmailEvent, SuppressionLift
from outreach.staff_pages import LONGEST_LIST, CappedPaginator
from prospects.models import Prospect, RejectedRow, Unsubscribe
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, ProspectImportFactory, SuppressionFactory
from tests.staff import DANGEROUS, PAYLOADS, member, superuser

pytestmark = pytest.mark.django_db

MODELS = sorted((model._meta.app_label, model._meta.model_name) for model in admin.site._registry)
LISTS = [f"/admin/{app}/{model}/" for app, model in MODELS]


def hostile_rows(text, now):
    """One row of everything, with the text wherever somebody outside can put one."""
    short, tag = text[:150], text[:100]
    names = {"first_name": short, "last_name": short, "company": text, "source": text}
    person = ProspectFactory(**names, tags=[tag], attributes={text[:90]: text})
    campaign = CampaignFactory(
        name=text,
        subject=text,
        body_html=text,
        from_name=tag,
        paused=True,
        pause_reason=text,
        audience={"include_tags": [tag]},
        created_by=short,
    )
    times = {"occurred_at": now, "received_at": now}
    event = {"fingerprint": text[:64], "event_type": text[:64], "message_id": text, "send_id": text, "outcome": text[:200]}
    lifted = {"reason": "manual", "suppressed_at": now, "lifted_at": now, "lifted_by": short, "why": text}
    record = ProspectImportFactory(file_name=text, created_by=short, state="done", rows=1, invalid=1)
    RejectedRow.objects.create(prospect_import=record, line=1, email=text, code="x", detail=text)
    return [
        person,
        campaign,
        EmailSendFactory(campaign=campaign, prospect=person, message_id=text, error=text, failed_at=now),
        SuppressionFactory(source=text, note=text),
        SuppressionLift.objects.create(email="l@example.com", **lifted),
        EmailEvent.objects.create(route="sns", body=text.encode(), **times, **event),
        Unsubscribe.objects.create(
            email="u@example.com", method="page", user_agent=text[:20], campaign_key=text[:12], created_at=now
        ),
        record,
        ProspectImportFactory(file_name=text, state="failed", error=text, error_code=text[:50]),
    ]


def page_of(row, name):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


def assert_harmless(text, *pages):
    shown = "".join(page.content.decode() for page in pages)
    assert [danger for danger in DANGEROUS if danger in shown] == []
    assert str(escape(text[:12])) in shown


def test_no_text_from_outside_runs_in_a_list(now):
    for text in PAYLOADS[1:]:
        hostile_rows(text, now)
    client = superuser()

    for row in hostile_rows(PAYLOADS[0], now):
        assert_harmless("", client.get(reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")))
    assert_harmless(PAYLOADS[0], client.get("/admin/"))


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_text_from_outside_runs_on_its_page(text, now):
    client = superuser()
    rows = hostile_rows(text, now)

    for row in rows:
        assert_harmless(text, client.get(page_of(row, "change")))
    assert_harmless(text, client.get(page_of(rows[1], "send")), client.get(page_of(rows[1], "preview")))


def test_no_text_from_outside_runs_where_a_row_is_deleted_or_its_history_is_shown(now):
    client = superuser()
    for row in hostile_rows(PAYLOADS[1], now):
        for name in ("delete", "history"):
            assert_harmless("", client.get(page_of(row, name), follow=True))


@pytest.mark.parametrize("text", PAYLOADS[:4])
def test_no_text_that_was_searched_for_runs(text):
    client = superuser()
    for url in LISTS:
        shown = client.get(url, {"q": text}).content.decode()
        assert [danger for danger in DANGEROUS if danger in shown] == []


ODD = [
    "q=%00",
    "o=999",
    "o=-1.x.2",
    "p=9999999",
    "p=-1",
    "p=0",
    "p=abc",
    "p=" + "9" * 5_000,
    "all=",
    "e=1",
    "_facets=1",
    "_popup=1",
    "_to_field=unsubscribe_token",
    "_to_field=id",
    "email__regex=(a%2B)%2B$",
    "user__password__startswith=p",
    "status=nonsense",
    "status__exact=%ED%A0%80",
    "status__in=a,b",
    "id__in=x",
    "nonsense=1",
    "q=%ED%A0%80%27%22%5C",
    "q=" + "%25_" * 500,
    "q=a&q=b",
    "campaign=x&status=queued&status=sent",
    "tag=%27%3B--",
]


@pytest.mark.parametrize("url", LISTS)
def test_an_odd_query_is_no_error(url):
    ProspectFactory()
    EmailSendFactory()
    client = superuser()

    for query in ODD:
        assert client.get(f"{url}?{query}").status_code in {200, 302, 400}, query


@pytest.mark.parametrize("url", LISTS)
def test_a_row_that_is_not_there_is_no_error(url):
    client = superuser()

    for key in ("0", "-1", "abc", "9" * 40, "1_00", "%2e%2e"):
        for name in ("change", "delete", "history"):
            assert client.get(f"{url}{key}/{name}/").status_code in {302, 403, 404}


@pytest.mark.parametrize("query", ["s=a&page=x", "s=a&page=99", "s=a&page=" + "9" * 5_000, "s=%27&extended=1", "s="])
def test_the_search_of_pages_takes_odd_queries(query):
    assert superuser().get(f"/admin/search/?{query}").status_code in {200, 404}


@pytest.mark.parametrize("url", [*LISTS, "/admin/", "/admin/campaigns/campaign/unfinished/"])
def test_strangers_and_people_who_are_no_staff_are_sent_to_sign_in(url):
    client = Client()
    assert client.get(url).headers["Location"].startswith("/admin/login/")

    client.force_login(User.objects.create_user("eve"))
    assert client.get(url).headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("url", LISTS)
def test_staff_without_permissions_see_nothing(url):
    assert member().get(url).status_code == 403


def test_signing_in_leads_to_the_dashboard():
    User.objects.create_superuser("anna", password="a-long-password-1")

    response = Client().post("/admin/login/", {"username": "anna", "password": "a-long-password-1"})

    assert response.headers["Location"] == "/admin/"


def test_scripts_come_from_our_own_files_only():
    client = superuser()

    for url in ("/admin/", *LISTS):
        policy = client.get(url).headers["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert "frame-ancestors 'self'" in policy
    assert "script-src 'self'" in Client().get("/admin/login/").headers["Content-Security-Policy"]


def test_the_menu_shows_what_somebody_may_open():
    shown = member("view_campaign").get("/admin/").content.decode()

    assert "/admin/campaigns/campaign/" in shown
    assert "/admin/prospects/prospect/" not in shown
    assert "/admin/auth/user/" not in shown


@pytest.mark.parametrize(("mode", "words"), [("log", "Log mode"), ("ses", "SES")])
def test_every_page_says_whether_mail_leaves(settings, mode, words):
    settings.EMAIL_MODE = mode

    assert words in superuser().get("/admin/").content.decode()


def test_every_page_says_that_ses_is_only_simulated(settings):
    settings.EMAIL_MODE, settings.SES_IS_SIMULATED = "ses", True

    assert "SES simulator" in superuser().get("/admin/").content.decode()


def test_the_dashboard_tells_what_goes_on(now):
    campaign = CampaignFactory(name="Spring fair", sending=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)
    SuppressionFactory()
    EmailEvent.objects.create(
        fingerprint="f", route="sns", event_type="Bounce", occurred_at=now, received_at=now, body=b"{}", state="parked"
    )

    response = superuser().get("/admin/")

    assert {title: count for title, count, _ in response.context["cards"]} == {
        "Sent in 24 hours": "1",
        "Waiting to be sent": "2",
        "Suppressed in 24 hours": "1",
        "Events to apply": "0",
        "Parked events": "1",
        "No word from SES": "0",
    }
    assert "Spring fair" in response.content.decode()
    assert "1 / 3" in response.content.decode()


def test_the_dashboard_shows_nobody_more_than_they_may_see():
    CampaignFactory(name="Secret fair", sending=True)

    shown = member("view_prospect").get("/admin/")

    assert shown.context["cards"] == []
    assert "Secret fair" not in shown.content.decode()


def test_a_list_is_read_once_and_only_as_far_as_anybody_leafs(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr("outreach.staff_pages.LONGEST_LIST", 5)
    people = [ProspectFactory() for _ in range(7)]
    paginator = CappedPaginator(Prospect.objects.order_by("-pk"), 3)

    with django_assert_num_queries(2) as captured:
        assert (paginator.count, paginator.num_pages, paginator.has_more) == (5, 2, True)
        assert [person.pk for person in paginator.page(2).object_list] == [people[3].pk, people[2].pk]
    assert "LIMIT 6" in captured[0]["sql"]


def test_a_list_that_ends_says_how_long_it_is():
    ProspectFactory()
    paginator = CappedPaginator(Prospect.objects.order_by("pk"), 3)

    assert (paginator.count, paginator.has_more) == (1, False)
    assert LONGEST_LIST == 10_000
