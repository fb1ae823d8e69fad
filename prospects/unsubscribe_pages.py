"""What `/api/unsubscribe` answers: the pages in the reader's language, and the headers that shield them."""

import base64
import hashlib
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import patch_vary_headers

from outreach import addresses
from prospects.unsubscribing import Person

# What a program is told; people get the page of the same name.
_SENTENCES = {
    "ask": "Send a POST request to this address to unsubscribe.",
    "done": "You are unsubscribed.",
    "kept": "Your request is stored and will be applied.",
    "unknown": "This link is not valid, or no longer known.",
    "blocked": "Too many requests.",
    "too_large": "The request is too large.",
    "unavailable": "Please try again in a minute.",
}


def page(request: HttpRequest, name: str, status: int, person: Person | None = None, **facts: Any) -> HttpResponse:
    """A page for people, in the first of their browser's languages that we have, else in English."""
    context = facts | {
        "address": addresses.masked(person.email) if person else "",
        "sender": addresses.domain_of(settings.SES_FROM),
        "postal_address": settings.POSTAL_ADDRESS,
    }
    language = translation.get_language_from_request(request)
    with translation.override(language):
        # Without the request, and so without the context processors that look into its session.
        response = HttpResponse(render_to_string(f"unsubscribe/{name}.html", context), status=status)
    response.headers["Content-Language"] = language
    return response


def sentence(name: str, status: int) -> HttpResponse:
    """One line for a program."""
    response = HttpResponse(_SENTENCES[name] + "\n", content_type="text/plain; charset=utf-8", status=status)
    response.headers["Content-Language"] = "en"
    return response


def shielded(response: HttpResponseBase) -> HttpResponseBase:
    """The link is a secret and the page is a deed: not kept, not indexed, not framed, not leaked as referrer."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Content-Security-Policy"] = _content_security_policy()
    patch_vary_headers(response, ["Accept-Language"])
    return response


@lru_cache(maxsize=1)
def _content_security_policy() -> str:
    """Nothing but our own style sheet, which travels inside the page: a no must not hang on a second request."""
    style = base64.b64encode(hashlib.sha256(render_to_string("unsubscribe/style.css").encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
