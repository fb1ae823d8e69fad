import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from notifications.models import TransactionalEmail
from tests.notifications import outbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _our_backend(settings):
    settings.EMAIL_BACKEND = "notifications.backend.EmailBackend"
    settings.PUBLIC_BASE_URL = "https://mail.example.com"


@pytest.fixture
def anna():
    return User.objects.create_user("anna", "anna@example.com", "a-password-of-old", is_staff=True, first_name="Anna")


def ask(email="anna@example.com", **more):
    return Client().post("/admin/password_reset/", {"email": email}, follow=True, **more)


def test_a_forgotten_password_is_replaced_by_way_of_a_mail(anna):
    assert "/admin/password_reset/" in Client().get("/admin/login/").content.decode()
    assert "on its way" in ask().content.decode()

    (mail,) = outbox.send().sent
    assert (mail.to, mail.template_name, mail.subject) == (
        "anna@example.com",
        "password-reset",
        "Choose a new password for Outreach",
    )
    link = re.search(r"https://mail\.example\.com(/admin/reset/\S+/)", mail.text)
    assert link[0] in mail.html
    browser = Client()
    page = browser.get(link[1], follow=True)
    assert "Choose a new password" in page.content.decode()
    chosen = {"new_password1": "another-pass-phrase", "new_password2": "another-pass-phrase"}
    done = browser.post(page.request["PATH_INFO"], chosen, follow=True)

    assert "The new password is set" in done.content.decode()
    assert Client().login(username="anna", password="another-pass-phrase")
    assert "does not work" in Client().get(link[1], follow=True).content.decode()


def test_passwords_that_differ_are_refused_on_the_page(anna):
    ask()
    link = re.search(r"/admin/reset/\S+/", outbox.send().sent[0].text)[0]
    browser = Client()
    page = browser.get(link, follow=True)

    again = browser.post(page.request["PATH_INFO"], {"new_password1": "another-pass-phrase", "new_password2": "x"})

    assert again.status_code == 200
    assert Client().login(username="anna", password="a-password-of-old")


@pytest.mark.parametrize("email", ["nobody@example.com", "customer@example.com"])
def test_who_is_no_staff_gets_the_same_answer_and_no_mail(anna, email):
    User.objects.create_user("customer", "customer@example.com", "a-password-of-old")

    assert ask(email).content == ask("anna@example.com").content
    assert [row.email for row in TransactionalEmail.objects.all()] == ["anna@example.com"]


def test_a_forged_host_does_not_get_into_the_link(anna):
    ask(headers={"host": "evil.example.com"})

    assert "evil" not in outbox.send().sent[0].text


def test_who_asks_too_often_is_sent_away(anna):
    answers = [Client().post("/admin/password_reset/", {"email": "anna@example.com"}).status_code for _ in range(8)]

    assert answers.count(302) == 5
    assert answers[-1] == 429


def test_the_link_is_in_no_log(anna, capsys):
    from outreach.redacting import hide_links

    assert hide_links(None, "", 'GET /admin/reset/MQ/d5k-abcdef0123/ "x"') == 'GET /admin/reset/[hidden] "x"'
