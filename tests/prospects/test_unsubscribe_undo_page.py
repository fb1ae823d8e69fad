"""The button that takes a no back; what must never press it; and the page while PostgreSQL is away."""

import re
from datetime import timedelta

import pytest
from django.db import InternalError, OperationalError
from django.test import Client
from django.utils import timezone

from notifications.models import Suppression
from prospects import catching_up, undoing, unsubscribe_views, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.spooling import Kept

pytestmark = pytest.mark.django_db
URL = "/api/unsubscribe"
FORM = "application/x-www-form-urlencoded"
MULTIPART = '--x\r\nContent-Disposition: form-data; name="undo"\r\n\r\n1\r\n--x--\r\n'


@pytest.fixture(autouse=True)
def rested():
    unsubscribe_views.database_rest.end()
    yield
    unsubscribe_views.database_rest.end()


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True, headers={"accept": "text/html,*/*", "user-agent": "Mozilla/5.0 Firefox/150"})


@pytest.fixture
def dana():
    return Prospect.objects.create(email="dana@example.com")


@pytest.fixture
def link(dana):
    return f"{URL}?token={dana.unsubscribe_token}&c=0123456789ab"


@pytest.fixture
def outage(monkeypatch):
    """PostgreSQL is away for the unsubscribe page."""

    def fail(*_, **__):
        raise OperationalError("the connection is closed")

    for module, verb in ((unsubscribing, "unsubscribe"), (unsubscribing, "find_person"), (undoing, "undo")):
        monkeypatch.setattr(module, verb, fail)
    return monkeypatch


def status_of(prospect):
    prospect.refresh_from_db()
    return prospect.status


def buttons(answer):
    return re.findall(r'<button[^>]* name="(\w+)"', answer.content.decode())


@pytest.mark.parametrize(("body", "content_type"), [("undo=1", FORM), (MULTIPART, "multipart/form-data; boundary=x")])
def test_the_button_takes_the_no_back(browser, dana, link, body, content_type):
    done = browser.post(link, {"confirm": "1"})
    assert buttons(done) == ["undo"]

    answer = browser.post(link, body, content_type=content_type)

    assert (answer.status_code, buttons(answer)) == (200, ["confirm"])
    assert status_of(dana) == "active"
    assert Unsubscribe.objects.get().undone_by == "the person, on the unsubscribe page (browser)"
    assert not answer.cookies


def test_pressing_it_twice_and_saying_no_again_works(browser, dana, link):
    for field, status in (("confirm", "unsubscribed"), ("undo", "active"), ("undo", "active"), ("confirm", "unsubscribed")):
        assert browser.post(link, {field: "1"}).status_code == 200
        assert status_of(dana) == status


@pytest.mark.parametrize(
    "body", ["List-Unsubscribe=One-Click&undo=1", "undo=1&confirm=1", "List-Unsubscribe=One-Click", "", "UNDO=1", "xundo=1"]
)
def test_nothing_but_the_button_undoes(browser, dana, link, body):
    browser.post(link, {"confirm": "1"})

    browser.post(link, body, content_type=FORM)
    browser.post(link + "&undo=1", body, content_type=FORM)
    browser.get(link + "&undo=1")

    assert status_of(dana) == "unsubscribed"


def test_after_a_one_click_the_page_offers_it_too(browser, dana, link):
    Client().post(link, "List-Unsubscribe=One-Click", content_type=FORM)

    assert buttons(browser.get(link)) == ["undo"]
    browser.post(link, {"undo": "1"})
    assert status_of(dana) == "active"


def test_after_ten_minutes_it_is_not_offered_and_does_nothing(browser, dana, link):
    browser.post(link, {"confirm": "1"})
    earlier = timezone.now() - timedelta(minutes=11)
    for rows, field in ((Prospect, "unsubscribed_at"), (Unsubscribe, "created_at")):
        rows.objects.update(**{field: earlier})
    Suppression.objects.update(suppressed_at=earlier)

    assert buttons(browser.get(link)) == []
    answer = browser.post(link, {"undo": "1"})
    assert (answer.status_code, buttons(answer)) == (409, [])
    assert status_of(dana) == "unsubscribed"


def test_a_made_up_token_undoes_nothing_and_is_counted(browser, dana):
    answers = [browser.post(f"{URL}?token=00000000-0000-0000-0000-000000000009", {"undo": "1"}).status_code for _ in range(31)]

    assert (set(answers[:30]), answers[30]) == ({200}, 429)


def test_while_the_database_is_away_a_no_is_kept(browser, dana, link, outage):
    page, program = browser.post(link, {"confirm": "1"}), Client().post(link, "List-Unsubscribe=One-Click", content_type=FORM)

    assert (page.status_code, program.status_code) == (202, 202)
    assert "We have your request" in page.content.decode()
    assert program.content == b"Your request is stored and will be applied.\n"
    lines = (catching_up.spool().directory / "incoming.jsonl").read_bytes().split()
    kept = [Kept.from_line(line) for line in lines]
    assert [(one.token, one.method, one.campaign_key) for one in kept] == [
        (dana.unsubscribe_token, "page", "0123456789ab"),
        (dana.unsubscribe_token, "one_click", "0123456789ab"),
    ]


@pytest.mark.parametrize("error", [OperationalError, InternalError])
def test_a_database_that_only_reads_loses_no_no(link, monkeypatch, error):
    def fail(*_, **__):
        raise error("cannot execute INSERT in a read-only transaction")

    monkeypatch.setattr(unsubscribing, "unsubscribe", fail)

    assert Client().post(link).status_code == 202


def test_while_the_database_is_away_the_page_shows_its_button_and_no_address(browser, link, outage):
    answer = browser.get(link)

    assert (answer.status_code, buttons(answer)) == (200, ["confirm"])
    assert "@" not in answer.content.decode().replace("@media", "")


def test_an_undo_is_not_kept(browser, link, outage):
    answer = browser.post(link, {"undo": "1"})

    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert catching_up.spool().is_empty()


def test_a_malformed_token_is_never_kept(browser, outage):
    assert browser.post(f"{URL}?token=1", {"confirm": "1"}).status_code == 400
    assert catching_up.spool().is_empty()


def test_a_full_spool_is_a_503_that_says_when_to_come_back(browser, link, outage, settings):
    settings.UNSUBSCRIBE_SPOOL_MAX_BYTES = 10

    answer = browser.post(link, {"confirm": "1"})

    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "Please try again" in answer.content.decode()


def test_an_unusable_directory_is_a_503_too(browser, link, outage, settings, tmp_path):
    (tmp_path / "file").write_text("not a directory")
    settings.UNSUBSCRIBE_SPOOL = tmp_path / "file" / "spool"

    assert browser.post(link, {"confirm": "1"}).status_code == 503


def test_after_a_long_wait_the_next_are_kept_at_once(link, monkeypatch):
    calls = []

    def hang(*_, **__):
        calls.append(1)
        later = unsubscribe_views.time.monotonic() + 4
        monkeypatch.setattr(unsubscribe_views.time, "monotonic", lambda: later)
        raise OperationalError("connection timeout expired")

    monkeypatch.setattr(unsubscribing, "unsubscribe", hang)

    assert {Client().post(link).status_code for _ in range(5)} == {202}
    assert len(calls) == 1


def test_a_session_cookie_asks_nobody_who_it_is(django_assert_num_queries):
    client = Client(headers={"cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345; csrftoken=x"})

    with django_assert_num_queries(0):
        assert client.get(f"{URL}?token=1").status_code == 400
