"""Unsubscribe links in log lines: hidden wherever they hide; everything else is left as it is."""

import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from outreach import redacting

TOKEN = "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


def hidden(line):
    return redacting.hide_links(None, "info", line)


@pytest.mark.parametrize(
    "line",
    [
        f'{{"request": "GET /api/unsubscribe?token={TOKEN}&c=0123456789ab"}}',
        f"<WSGIRequest: POST '/api/unsubscribe/?c=x&token={TOKEN}'>",
        f"https://mail.example.com/api/unsubscribe?%74oken={TOKEN}",
        f"Not Found: /other?token={TOKEN.upper()}",
        f"/other?token%3D{TOKEN}",
        f"Key (unsubscribe_token)=({TOKEN}) already exists.",
        f"{{'token': '{TOKEN}'}}",
        f"UUID token=UUID('{TOKEN}')",
    ],
)
def test_the_token_is_hidden(line):
    assert TOKEN not in hidden(line).lower()
    assert "[hidden]" in hidden(line)


def test_the_rest_of_the_line_stays_readable():
    line = f'{{"request": "GET /api/unsubscribe?token={TOKEN}", "code": 200}}'

    assert hidden(line) == '{"request": "GET /api/unsubscribe?[hidden]", "code": 200}'


def test_other_ids_stay():
    line = f'{{"request_id": "{TOKEN}", "request": "GET /api/unsubscribe"}}'

    assert hidden(line) == line


@checking(deadline=None)
@given(st.text())
def test_a_line_without_links_is_untouched(text):
    assert hidden(text) == text or "token" in text.lower() or "unsubscribe" in text.lower()
