"""The admin in a real browser: a campaign leaves before one's eyes, hostile mail does nothing, and all of it without scripts."""

import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect, sync_playwright

from campaigns import dispatching
from campaigns.models import Campaign, EmailSend
from notifications.transports.memory import MemoryTransport
from prospects.models import Prospect
from tests.browser.chromium import CHROMIUM, FLAGS, needs_chromium
from tests.factories import CampaignFactory
from tests.staff import PAYLOADS

# So slow that there is something to see while the machine stalls, and so fast that the rest is soon done.
PEOPLE, RATE, REST = 2_000, 50.0, 1_000.0

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]


@pytest.fixture
def signed_in(live_server):
    """The cookie of a member of staff who may do everything, for this site."""
    client = Client()
    client.force_login(User.objects.create_superuser("anna", "anna@example.com"))
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}


@contextmanager
def browser_page(cookie, **options):
    """A page of a signed-in browser, with what it complained about, the dialogs it opened and what it asked for."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(**options)
        context.add_cookies([cookie])
        page = context.new_page()
        page.complaints, page.dialogs, page.asked = [], [], []
        page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request))
        yield page
        browser.close()


def elsewhere(page, live_server):
    """What was asked of other hosts: its kind, and whether they were told a cookie or the address of our page."""
    strangers = [one for one in page.asked if urlsplit(one.url).hostname != urlsplit(live_server.url).hostname]
    return [(one.resource_type, any(map(one.headers.get, ("cookie", "referer")))) for one in strangers]


@pytest.fixture
def worker(settings, monkeypatch):
    """A worker in a thread: runs a campaign's chunks until it is told to stop."""
    settings.SES_MAX_SEND_RATE = RATE
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *_: True)
    transport, stop = MemoryTransport(), threading.Event()

    def work():
        while not stop.wait(0.05):
            for campaign in Campaign.objects.filter(status="sending"):
                dispatching.send_chunk(campaign.pk, campaign.generation, transport=transport, clock=timezone.now)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield transport
    stop.set()
    thread.join()


def test_a_campaign_of_two_thousand_people_leaves_before_ones_eyes(live_server, signed_in, worker, settings):
    Prospect.objects.bulk_create(Prospect(email=f"person{n}@example.com") for n in range(PEOPLE))
    campaign = CampaignFactory(name="Spring fair")
    seen = set()

    with browser_page(signed_in) as page:
        page.goto(f"{live_server.url}/admin/campaigns/campaign/{campaign.pk}/change/")
        page.get_by_role("link", name="Send …").click()
        page.get_by_role("button", name="Send to 2,000 people").click()
        headline = page.locator(".o-headline")
        expect(page.locator(".o-progress-words")).to_contain_text("a second, about")
        while len(seen) < 3:
            seen.add(headline.inner_text())
            page.wait_for_timeout(200)
            assert headline.inner_text() != "2,000 of 2,000 sent"
        page.get_by_role("link", name="Pause …").click()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".o-panel .o-label")).to_have_text("Paused")
        expect(page.locator(".o-note-warn")).to_contain_text("Paused by anna.")
        settings.SES_MAX_SEND_RATE = REST
        page.get_by_role("link", name="Resume …").click()
        page.locator("button.o-button-main").click()
        # The page notices the end by itself, and then shows what can be done now.
        expect(headline).to_have_text("2,000 of 2,000 sent", timeout=60_000)
        expect(page.get_by_role("link", name="Send to people added since …")).to_be_visible()
        complaints = page.complaints

    assert complaints == []
    assert len({message.to for message in worker.sent}) == len(worker.sent) == PEOPLE
    assert EmailSend.objects.filter(sent_at__isnull=False).count() == PEOPLE


def test_hostile_mail_does_nothing_in_its_preview(live_server, signed_in):
    body = "".join(f"<div>{text}</div>" for text in PAYLOADS)
    body += "<form action='/admin/logout/' method=post><button>x</button></form><meta http-equiv=refresh content='0;url=/admin/'>"
    campaign = CampaignFactory(body_html="<p>harmless</p>")
    Campaign.objects.update(body_html=body)

    with browser_page(signed_in) as page:
        page.goto(f"{live_server.url}/admin/campaigns/campaign/{campaign.pk}/preview/")
        page.wait_for_timeout(1_000)
        mail = page.frames[1]
        # A page of nobody's: neither our cookie nor our other pages are within its reach.
        assert mail.evaluate("window.origin") == "null"
        dialogs, strangers = page.dialogs, elsewhere(page, live_server)

    assert dialogs == []
    # A mail may show pictures; whoever serves them learns neither who looks nor where.
    assert set(strangers) <= {("image", False)}


def test_hostile_names_do_nothing_on_the_pages_that_show_them(live_server, signed_in):
    for number, text in enumerate(PAYLOADS):
        names = {"first_name": text, "company": text, "tags": [text], "attributes": {"x": text}}
        Prospect.objects.create(email=f"p{number}@example.com", **names)
    CampaignFactory(name=PAYLOADS[1], paused=True, pause_reason=PAYLOADS[2], audience={"include_tags": list(PAYLOADS)})
    person, campaign = Prospect.objects.first(), Campaign.objects.get()
    pages = ("prospects/prospect/", f"prospects/prospect/{person.pk}/change/", f"campaigns/campaign/{campaign.pk}/change/", "")

    with browser_page(signed_in) as page:
        for url in pages:
            page.goto(f"{live_server.url}/admin/{url}")
            page.wait_for_timeout(300)
        dialogs, strangers, complaints = page.dialogs, elsewhere(page, live_server), page.complaints

    assert (dialogs, strangers, complaints) == ([], [], [])


def test_tags_are_chips_that_the_keyboard_adds_and_removes(live_server, signed_in):
    campaign = CampaignFactory(audience={"include_tags": ["vip", "old"]})

    with browser_page(signed_in) as page:
        page.goto(f"{live_server.url}/admin/campaigns/campaign/{campaign.pk}/change/")
        page.get_by_role("button", name="Remove old").first.click()
        page.keyboard.type("berlin mitte")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_url("**/campaigns/campaign/")

    campaign.refresh_from_db()
    assert campaign.audience["include_tags"] == ["vip", "berlin mitte"]


def test_everything_works_without_scripts(live_server, signed_in, monkeypatch):
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *_: True)
    Prospect.objects.create(email="ada@example.com")
    campaign = CampaignFactory()

    with browser_page(signed_in, java_script_enabled=False) as page:
        page.goto(f"{live_server.url}/admin/campaigns/campaign/{campaign.pk}/send/")
        page.get_by_role("button", name="Send", exact=True).click()
        headline = page.locator(".o-headline").inner_text()

    assert headline == "0 of 1 sent"
    assert Campaign.objects.get().status == "sending"


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_window(live_server, signed_in, width):
    campaign = CampaignFactory(name="A campaign with quite a long name " * 4, paused=True, waiting=3)
    urls = ["", "campaigns/campaign/", f"campaigns/campaign/{campaign.pk}/change/", f"campaigns/campaign/{campaign.pk}/preview/"]

    with browser_page(signed_in, viewport={"width": width, "height": 800}) as page:
        for url in [*urls, "campaigns/emailsend/", "prospects/prospect/", "notifications/emailevent/"]:
            page.goto(f"{live_server.url}/admin/{url}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, url
