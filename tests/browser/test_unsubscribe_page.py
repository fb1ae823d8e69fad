"""The unsubscribe page in a real browser: without JavaScript, by keyboard, at every width, in both colours."""

from contextlib import contextmanager
from itertools import product

import pytest
from django.utils import timezone
from playwright.sync_api import sync_playwright

from outreach import banning
from prospects.models import Prospect, Unsubscribe
from tests.browser.chromium import CHROMIUM, FLAGS, needs_chromium

# For every element that holds text itself: its words and how far they stand out (WCAG 2.2, 1.4.3).
CONTRASTS = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        const colour = numbers(getComputedStyle(element).backgroundColor);
        return colour[3] === 0 ? behind(element.parentElement) : colour;
    };
    const ownText = element => [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    return [...document.body.querySelectorAll('*')].filter(ownText).map(element => {
        const pair = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
        return [element.textContent.trim(), (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
    });
}"""

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]


@pytest.fixture(autouse=True)
def sender(settings):
    banning.rest.end()
    settings.SES_FROM = "hello@northwind.example"
    settings.POSTAL_ADDRESS = "Northwind Tools Ltd, 1 Harbour Street, Bristol"


@pytest.fixture
def link(live_server):
    dana = Prospect.objects.create(email="dana@example.com")
    return f"{live_server.url}/api/unsubscribe?token={dana.unsubscribe_token}&c=0123456789ab"


@contextmanager
def chromium():
    """A browser. Its event loop lives in this thread: ask the database before or after, not within."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def page_at(url):
    with chromium() as browser:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(url)
        yield page


def test_one_press_of_the_button_unsubscribes(link):
    with page_at(link) as page:
        page.get_by_role("button", name="Unsubscribe", exact=True).click()
        page.get_by_role("heading", name="You are unsubscribed").wait_for()
        assert page.get_by_role("status").count() == 1
        assert page.context.cookies() == []

    assert Prospect.objects.get().status == "unsubscribed"
    assert Unsubscribe.objects.get().method == "page"


def test_the_keyboard_is_enough_and_shows_where_it_is(link):
    with page_at(link) as page:
        page.keyboard.press("Tab")
        focused = page.locator("button:focus-visible")
        assert focused.evaluate("button => getComputedStyle(button).outlineWidth") == "3px"
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="You are unsubscribed").wait_for()

    assert Prospect.objects.get().status == "unsubscribed"


def test_the_page_has_the_landmarks_that_a_screen_reader_reads(link):
    with page_at(link) as page:
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.title() == "Unsubscribe from northwind.example"
        assert page.get_by_role("main").get_by_role("heading", level=1).count() == 1
        described_by = page.get_by_role("button").get_attribute("aria-describedby")
        assert "d•••@e•••.com" in page.locator(f"#{described_by}").inner_text()


def test_the_page_loads_nothing_else_and_breaks_no_policy(link):
    asked, complaints = [], []
    with page_at("about:blank") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(link)
        width = page.locator(".card").evaluate("card => getComputedStyle(card).borderRadius")

    assert asked == [link]
    assert complaints == []
    assert width == "16px"  # the style sheet has been let through


def test_everything_can_be_read(link, live_server):
    gone = Prospect.objects.create(email="gone@example.com", unsubscribed_at=timezone.now())
    links = [link, f"{live_server.url}/api/unsubscribe?token={gone.unsubscribe_token}", f"{live_server.url}/api/unsubscribe"]

    with chromium() as browser:
        page = browser.new_page()
        for width, scheme, url in product((320, 1280), ("light", "dark"), links):
            page.set_viewport_size({"width": width, "height": 640})
            page.emulate_media(color_scheme=scheme)
            page.goto(url)
            contrasts = dict(page.evaluate(CONTRASTS))
            assert len(contrasts) >= 4
            assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_button_is_large_enough_for_a_thumb(link):
    with page_at(link) as page:
        assert page.get_by_role("button").bounding_box()["height"] >= 44
