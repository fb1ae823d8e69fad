"""The page in its reader's language, and nothing else in it."""

import re

import pytest
from django.test import Client

from prospects.models import Prospect

pytestmark = pytest.mark.django_db
URL = "/api/unsubscribe"
HEADINGS = {
    "en": "Do you want to unsubscribe?",
    "de": "Möchten Sie die E\u2011Mails abbestellen?",
    "fr": "Souhaitez-vous vous désinscrire\u00a0?",
    "es": "¿Desea darse de baja?",
}


@pytest.fixture
def link():
    return f"{URL}?token={Prospect.objects.create(email='dana@example.com').unsubscribe_token}"


def shown(link, wanted, **headers):
    answer = Client(headers={"accept": "text/html", "accept-language": wanted} | headers).get(link)
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", answer.content.decode())[1]
    language = re.search(r'<html lang="([^"]*)"', answer.content.decode())[1]
    assert answer["Content-Language"] == language
    assert answer["Vary"] == "Accept-Language"
    return language, heading


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr-CA", "fr"),
        ("es-MX,es;q=0.9", "es"),
        ("pl,fr;q=0.5,de;q=0.4", "fr"),
        ("en-GB,de;q=0.9", "en"),
        ("pl", "en"),
        ("*", "en"),
        ("", "en"),
        ("de;q=0, es", "es"),
        ("\x80\xff;;q=nonsense," * 50, "en"),
        ("de" * 5000, "en"),
    ],
)
def test_the_first_language_of_the_browser_that_we_have(link, wanted, language):
    assert shown(link, wanted) == (language, HEADINGS[language])


def test_no_cookie_chooses_the_language(link):
    assert shown(link, "fr", cookie="django_language=de")[0] == "fr"


def test_every_page_is_translated_with_its_values(link, settings):
    settings.SES_FROM = "hello@northwind.example"
    client = Client(headers={"accept": "text/html", "accept-language": "de"})

    done = client.post(link, {"confirm": "1"}).content.decode()

    assert "erhält keine Werbe- und Informationsmails mehr von northwind.example." in done
    assert "d•••@e•••.com" in done
    assert "10 Minuten" in done


def test_a_value_cannot_write_into_a_translated_page(link, settings):
    settings.SES_FROM = "a@<script>alert(1)</script>"
    for language in HEADINGS:
        assert "<script" not in Client(headers={"accept-language": language}).get(link).content.decode()


def test_a_program_is_answered_in_one_language(link):
    answer = Client(headers={"accept-language": "de"}).post(link)

    assert (answer["Content-Language"], answer.content) == ("en", b"You are unsubscribed.\n")


@pytest.mark.parametrize("path", ["/api/prospects", "/admin/login/", "/healthz"])
def test_the_rest_of_the_site_does_not_change_with_the_browser(path):
    german, english = (Client(headers={"accept-language": language}).get(path) for language in ("de", "en"))

    assert not german.has_header("Content-Language")
    assert "Accept-Language" not in german.get("Vary", "")
    assert re.sub(rb'value="[^"]{20,}"', b"", german.content) == re.sub(rb'value="[^"]{20,}"', b"", english.content)
