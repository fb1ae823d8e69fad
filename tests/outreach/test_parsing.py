"""Strict JSON: what cannot be stored names its place."""

import json

import pytest

from outreach import parsing


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"email": "a@example.com", "first_name": "Ada\0"}, "first_name"),
        ({"attributes": {"city": "\0"}}, "attributes.city"),
        ({"tags": ["vip", "\0"]}, "tags.1"),
    ],
)
def test_a_nul_character_names_its_field(client, settings, body, attr):
    settings.PROXY_SHARED_SECRET = "s" * 40
    headers = {"X-Proxy-Secret": settings.PROXY_SHARED_SECRET}

    response = client.post("/api/prospects", json.dumps(body), content_type="application/json", headers=headers)

    [error] = response.json()["errors"]
    assert (response.status_code, error["code"], error["attr"]) == (400, "null_characters_not_allowed", attr)


@pytest.mark.parametrize("body", [b'{"na\\u0000me": "x"}', b'{"a": {"\\u0000": "\\u0000"}}', b'"\\u0000"'])
def test_a_nul_character_without_a_field_is_of_the_body(body):
    with pytest.raises(parsing.NulCharacter) as caught:
        parsing.loads(body)

    assert caught.value.field == ""
