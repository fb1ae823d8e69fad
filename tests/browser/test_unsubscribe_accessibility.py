"""Every state of the unsubscribe page in every language, before axe-core, in small windows and in strange colours."""

from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.utils import timezone
from playwright.sync_api import sync_playwright

from outreach import banning
from prospects import unsubscribing
from prospects.models import Prospect
from tests.browser.chromium import CHROMIUM, FLAGS, needs_chromium
from tests.browser.states import STATES, Outage, Site

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
LANGUAGES = [code for code, _name in site_settings.LANGUAGES]
# WCAG 2.2 AA, all that comes before it, and what axe calls best practices.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECK = """async rules => {
    const found = await axe.run(document, {runOnly: {type: 'tag', values: rules}});
    return found.violations.map(one => one.id + ': ' + one.nodes.map(node => node.html).join(' | '));
}"""

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]


@pytest.fixture
def site(live_server, settings, monkeypatch):
    banning.rest.end()
    settings.SES_FROM = "hello@northwind.example"
    settings.POSTAL_ADDRESS = "Northwind Tools Ltd, 1 Harbour Street, Bristol"
    settings.TRUSTED_PROXY_COUNT = 1
    outage = Outage(unsubscribing.unsubscribe)
    monkeypatch.setattr(unsubscribing, "unsubscribe", outage)
    people = Prospect.objects.bulk_create(Prospect(email=f"dana{n}@example.com") for n in range(400))
    old = Prospect.objects.create(email="old@example.com", unsubscribed_at=timezone.now() - timedelta(hours=1))
    return Site(live_server.url, [one.unsubscribe_token for one in people], old.unsubscribe_token, outage, settings)


@contextmanager
def visits(**every):
    """A function that opens a page of a new visitor; its event loop forbids asking the database within."""
    numbers = count(1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def visit(**options):
            context = browser.new_context(**every | options)
            # Each from an address of its own, as the limit counts.
            context.set_extra_http_headers({"X-Forwarded-For": f"192.0.2.{next(numbers)}"})
            return context.new_page()

        yield visit
        browser.close()


def violations_of(page):
    page.evaluate(AXE.read_text())
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found[scheme] = page.evaluate(CHECK, RULES)
    return [f"{scheme}: {one}" for scheme, violations in found.items() for one in violations]


def cut_off(page):
    # 640 pixels at 200 % are 320 pixels of CSS (WCAG 2.2, 1.4.10); and text alone may grow to twice its size (1.4.4).
    page.set_viewport_size({"width": 320, "height": 640})
    found = []
    for size in ("100%", "200%"):
        page.evaluate("size => document.documentElement.style.fontSize = size", size)
        if (width := page.evaluate("document.documentElement.scrollWidth")) != 320:
            found.append(f"{width} pixels wide at {size}")
    page.set_viewport_size({"width": 1280, "height": 720})
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_in_any_state_and_nothing_is_cut_off_at_twice_the_size(site, language):
    found = {}
    with visits(locale=language, bypass_csp=True) as visit:
        # One page for all states: in a new one for each, a browser is busy with itself most of the time.
        page = visit()
        for number, state in enumerate(STATES, 101):
            page.context.set_extra_http_headers({"X-Forwarded-For": f"192.0.2.{number}"})
            site.show(page, state)
            assert page.locator("html").get_attribute("lang") == language
            found[state] = violations_of(page) + cut_off(page)

    assert {state: problems for state, problems in found.items() if problems} == {}


def test_axe_would_have_found_something(site):
    with visits(bypass_csp=True) as visit:
        page = site.show(visit(), "ask")
        page.evaluate(AXE.read_text())
        page.evaluate("document.querySelector('button').textContent = ''; document.documentElement.removeAttribute('lang')")
        violations = page.evaluate(CHECK, RULES)

    assert {one.split(":")[0] for one in violations} >= {"button-name", "html-has-lang"}


def test_a_page_says_the_same_in_the_colours_that_its_reader_forces(site):
    with visits(forced_colors="active") as visit:
        page = site.show(visit(), "done")
        button = page.get_by_role("button")
        assert button.evaluate("b => getComputedStyle(b).borderTopStyle") == "solid"
        border, behind = button.evaluate(
            "b => [getComputedStyle(b).borderTopColor, getComputedStyle(document.body).backgroundColor]"
        )
        assert border != behind
        mark = page.locator(".mark").evaluate("m => getComputedStyle(m).stroke")
        assert mark == page.locator("h1").evaluate("h => getComputedStyle(h).color")


def test_the_keyboard_alone_says_no_and_takes_it_back(site):
    token = None
    with visits(java_script_enabled=False) as visit:
        page = site.show(visit(), "ask")
        token = page.url.split("token=")[1].split("&")[0]
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator("button[name=undo]").wait_for()
        page.keyboard.press("Tab")
        assert page.locator("button[name=undo]:focus-visible").evaluate("b => getComputedStyle(b).outlineStyle") == "solid"
        page.keyboard.press("Space")
        page.locator("button[name=confirm]").wait_for()
        assert page.context.cookies() == []

    assert Prospect.objects.get(unsubscribe_token=token).status == "active"
