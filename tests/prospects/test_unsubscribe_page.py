"""`/api/unsubscribe` as browsers, scanners, mailbox providers and attackers meet it."""

from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.test import Client

from notifications.models import Suppression
from prospects import unsubscribing
from prospects.models import Prospect, Unsubscribe

pytestmark = pytest.mark.django_db
URL = "/api/unsubscribe"
KEY = "0123456789ab"
FORM = "application/x-www-form-urlencoded"
ONE_CLICK = "List-Unsubscribe=One-Click"
MULTIPART = '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.fixture(autouse=True)
def sender(settings):
    settings.SES_FROM = "hello@northwind.example"
    settings.POSTAL_ADDRESS = "1 Harbour Street"


@pytest.fixture
def browser():
    """No cookie, no CSRF token: nothing but the link."""
    return Client(enforce_csrf_checks=True, headers={"accept": "text/html,*/*"})


@pytest.fixture
def provider():
    """A mailbox provider's one-click request."""
    return Client(enforce_csrf_checks=True, headers={"user-agent": "YahooMailProxy; see help"})


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com")


@pytest.fixture
def link(dana):
    return f"{URL}?token={dana.unsubscribe_token}&c={KEY}"


def status_of(prospect):
    prospect.refresh_from_db()
    return prospect.status


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_changes_nothing(browser, dana, link, method):
    for _ in range(10):
        answer = getattr(browser, method)(link, headers={"sec-purpose": "prefetch"})

    assert answer.status_code == 200
    assert status_of(dana) == "active"
    assert not Suppression.objects.exists()
    assert not Unsubscribe.objects.exists()


def test_the_page_says_who_stops_what_and_hides_the_address(browser, link):
    page = browser.get(link).content.decode()

    assert "<title>Unsubscribe from northwind.example</title>" in page
    assert "d•••@e•••.com" in page
    assert "1 Harbour Street" in page
    assert page.count("<button") == 1
    assert "dana" not in page


def test_the_button_unsubscribes(browser, dana, link):
    answer = browser.post(link, {"confirm": "1"})

    assert answer.status_code == 200
    assert "You are unsubscribed" in answer.content.decode()
    assert answer.content.decode().count("<button") == 1  # Undo
    assert status_of(dana) == "unsubscribed"
    assert Unsubscribe.objects.values_list("method", "campaign_key").get() == ("page", KEY)


@pytest.mark.parametrize(
    ("body", "content_type"), [(ONE_CLICK, FORM), (MULTIPART, "multipart/form-data; boundary=x")], ids=["urlencoded", "multipart"]
)
def test_one_click_unsubscribes(provider, dana, link, body, content_type):
    answer = provider.post(link, body, content_type=content_type)

    assert (answer.status_code, answer.content) == (200, b"You are unsubscribed.\n")
    assert status_of(dana) == "unsubscribed"
    assert Unsubscribe.objects.values_list("method", "user_agent").get() == ("one_click", "mailbox_provider")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b'{"List-Unsubscribe": "One-Click"}', "application/json"),
        (b"\xff\x00\xfe", FORM),
        (b"a=b", FORM + "; charset=utf-16"),
        (b"no boundary", "multipart/form-data"),
        (b"--x\r\ncut off", "multipart/form-data; boundary=x"),
        (b"&".join([b"a=b"] * 5000), FORM),
        (b"x" * 5_000_000, FORM),
        (b"x" * 5_000_000, "multipart/form-data; boundary=x"),
    ],
)
def test_a_post_to_a_valid_link_is_a_no_whatever_its_body(provider, dana, link, body, content_type):
    answer = provider.post(link, body, content_type=content_type)

    assert answer.status_code == 200
    assert status_of(dana) == "unsubscribed"


def test_the_token_may_come_in_the_form(browser, dana):
    answer = browser.post(URL, {"confirm": "1", "token": str(dana.unsubscribe_token)})

    assert answer.status_code == 200
    assert status_of(dana) == "unsubscribed"


@pytest.mark.parametrize("dress", ["{}", " {} ", "<{}>", "{}.", "3D{}", "{}="])
def test_a_link_that_a_mail_program_dressed_up_still_works(provider, dana, dress):
    token = dress.format(str(dana.unsubscribe_token).upper())

    assert provider.post(URL, query_params={"token": token}).status_code == 200
    assert status_of(dana) == "unsubscribed"


def test_a_trailing_slash_is_no_redirect(provider, dana, link):
    assert provider.post(link.replace("?", "/?")).status_code == 200
    assert status_of(dana) == "unsubscribed"


def test_repeating_gives_the_same_page(browser, link):
    first = browser.post(link, {"confirm": "1"})
    second = browser.post(link, {"confirm": "1"})

    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert Unsubscribe.objects.count() == 1


def test_who_has_unsubscribed_is_told_so(browser, link):
    browser.post(link, {"confirm": "1"})

    assert "You are unsubscribed" in browser.get(link).content.decode()


def test_the_link_of_a_deleted_prospect_gives_the_same_pages(browser, dana, link):
    before = browser.get(link).content
    dana.delete()

    assert browser.get(link).content == before
    assert browser.post(link, {"confirm": "1"}).status_code == 200
    assert Suppression.objects.get().email == "dana@example.com"


def test_an_unknown_token_gets_one_neutral_page(browser, dana):
    url = f"{URL}?token={uuid4()}"
    looked, said_no = browser.get(url), browser.post(url, {"confirm": "1"})

    assert looked.status_code == said_no.status_code == 200
    assert looked.content == said_no.content
    assert b"This link is not valid" in looked.content
    assert "@" not in looked.content.decode().replace("@media", "")
    assert status_of(dana) == "active"


@pytest.mark.parametrize("query", ["", "?token=", "?token=1", "?token=1 OR 1=1", "?token=dana@example.com", "?token=%00"])
def test_a_malformed_token_is_a_400(browser, query):
    assert browser.get(URL + query).status_code == 400
    assert browser.post(URL + query, {"confirm": "1"}).status_code == 400


def test_a_huge_body_without_a_valid_token_is_refused_unread(provider, monkeypatch):
    monkeypatch.setattr("django.http.HttpRequest._load_post_and_files", lambda _: pytest.fail("the body was read"))

    assert provider.post(URL, b"x" * 70_000, content_type=FORM).status_code == 413


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(browser, link, method):
    answer = getattr(browser, method)(link)

    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST, OPTIONS")


@pytest.mark.parametrize("query", ["a valid one", f"?token={UUID(int=1)}", "?token=1"])
def test_no_answer_is_kept_indexed_framed_or_leaked(browser, link, query):
    url = link if query == "a valid one" else URL + query
    for answer in (browser.get(url), browser.post(url, {"confirm": "1"})):
        assert answer["Cache-Control"] == "no-store"
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["X-Robots-Tag"].startswith("noindex")
        policy = answer["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
        assert not answer.cookies
        assert answer["Vary"] == "Accept-Language"


def test_no_setting_can_write_into_the_page(browser, link, settings):
    settings.POSTAL_ADDRESS = "<script>alert(1)</script>"

    assert "<script" not in browser.get(link).content.decode()


def test_without_a_configured_sender_the_page_still_reads(browser, link, settings):
    settings.SES_FROM = settings.POSTAL_ADDRESS = ""

    assert "This is about mail to <strong" in browser.get(link).content.decode()


def test_a_deadlock_is_no_reason_to_refuse(provider, dana, link, monkeypatch):
    unsubscribe, calls = unsubscribing.unsubscribe, []

    def fail_once(*args, **words):
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("deadlock detected")
        return unsubscribe(*args, **words)

    monkeypatch.setattr(unsubscribing, "unsubscribe", fail_once)

    assert provider.post(link).status_code == 200
    assert status_of(dana) == "unsubscribed"
