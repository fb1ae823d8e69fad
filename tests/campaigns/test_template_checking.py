"""What is wrong with a campaign's words is said before anyone receives them."""

import pytest

from campaigns.rendering import find_problems
from campaigns.template_checking import LONGEST_BODY


def codes(subject="Hello", body_html="<p>x</p>", body_text=""):
    found = find_problems(subject=subject, body_html=body_html, body_text=body_text)
    return {field: [problem.code for problem in problems] for field, problems in found.items()}


def details(body_html):
    return [problem.detail for problem in find_problems(subject="s", body_html=body_html)["body_html"]]


@pytest.mark.parametrize(
    "html",
    [
        "<p>Dear {{ first_name }} {{LAST_NAME}} of {{ attributes.R&amp;D }},</p>",
        "{{&nbsp;first_name&nbsp;}}",
        "<p title=\"{{ first_name }}\" data-x='{{ email }}'>x</p>",
        '<a href="{{ unsubscribe_url }}">x</a><a href="https://x.example?u={{ unsubscribe_url }}">x</a>',
        "<title>For {{ company }}</title><textarea>{{ company }}</textarea>",
        "<style>@media screen{p{color:red}}</style>}}",
        "<!--[if mso]><table><![endif]--><p>{{ first_name }}</p><!--[if !mso]><!--><p>{{ email }}</p><!--<![endif]-->",
        "1 < 2 {{ first_name }} 3 > 2 {% x %} { y }",
        "<!DOCTYPE html><html><body>{{ first_name }}</body></html>",
    ],
)
def test_good_words_have_no_problems(html):
    assert codes("Hi {{ first_name }}", html, "Hi {{ email }}") == {}


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("", "blank"),
        (" \t", "blank"),
        ("a" * 251, "too_long"),
        ("a" * 999, "too_long"),
        ("\U0001f600" * 250, "too_long"),  # 1,000 bytes, 1,700 octets encoded
        ("\U0001f600" * 500, "too_long"),
        ("a\rb", "invalid_characters"),
        ("a\nBcc: x@example.com", "invalid_characters"),
        ("a\0b", "invalid_characters"),
        ("a\u2028b", "invalid_characters"),
        ("a\x85b", "invalid_characters"),
        ("a\ud800b", "invalid_characters"),
        ("{{ frist_name }}", "unknown_placeholder"),
        ("{{ first_name", "unclosed_placeholder"),
    ],
)
def test_bad_subjects(subject, code):
    assert codes(subject=subject) == {"subject": [code]}


@pytest.mark.parametrize("subject", ["a" * 250, "é" * 250, "\U0001f600" * 130, "{{ attributes.x }}"])
def test_long_but_possible_subjects(subject):
    assert codes(subject=subject) == {}


def test_one_body_is_enough():
    assert codes(body_html="", body_text="x") == {}
    assert codes(body_html="x", body_text=" ") == {}


def test_no_body_is_not():
    assert codes(body_html=" \n", body_text="") == {"body_html": ["blank"]}


@pytest.mark.parametrize("field", ["body_html", "body_text"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("é" * (LONGEST_BODY // 2) + "a", "too_long"),
        ("a\0", "invalid_characters"),
        ("a\udfff", "invalid_characters"),
        ("{{ nope }}", "unknown_placeholder"),
        ("{{ }}", "unknown_placeholder"),
        ("{{ attributes }}", "unknown_placeholder"),
        ("{{ attributes. }}", "unknown_placeholder"),
        ("{{ first_name|safe }}", "unknown_placeholder"),
        ("{{ first_name.__class__ }}", "unknown_placeholder"),
        ("{{ <b>email</b> }}", "unknown_placeholder"),
        ("x {{ first_name", "unclosed_placeholder"),
        ("{{ first_name }", "unclosed_placeholder"),
        ("}}{{", "unclosed_placeholder"),
        ("{{ {{ email }} }}", "unclosed_placeholder"),
        ("{{ attributes.a{b} }}", "unclosed_placeholder"),
    ],
)
def test_bad_bodies(field, body, code):
    assert codes(**{field: body})[field] == [code]


def test_a_body_of_exactly_the_limit_is_fine():
    assert codes(body_html="a" * LONGEST_BODY) == {}


def test_an_unknown_placeholder_is_named_with_its_line_and_the_known_ones():
    (detail,) = details("<p>\n{{ first_name }}\n{{ frist_name }} {{ frist_name }}</p>")

    assert detail.startswith('Line 3: there is no placeholder "{{ frist_name }}". Known: {{ first_name }},')
    assert detail.endswith("{{ attributes.KEY }}.")


def test_each_unknown_placeholder_is_named_and_no_more_than_twenty():
    assert len(details("".join(f"{{{{ x{number} }}}}" for number in range(1000)))) == 20


@pytest.mark.parametrize(
    ("html", "place"),
    [
        ("<script>x='{{ first_name }}'</script>", "inside <script>"),
        ("<STYLE>p{color:{{ first_name }}}</STYLE>", "inside <style>"),
        ("<script></ script>{{ first_name }}</script>", "inside <script>"),
        ("<iframe>{{ first_name }}</iframe>", "inside <iframe>"),
        ("<!-- {{ first_name }} -->", "inside a comment"),
        ("<!-- > {{ first_name }} -->", "inside a comment"),
        ("<!--[if mso]>{{ first_name }}<![endif]-->", "inside a comment"),
        ("<!DOCTYPE {{ first_name }}>", "inside <!…>"),
        ("<{{ first_name }}>", "in the name of a tag"),  # a value could begin with a letter
        ("<h{{ first_name }}>", "in the name of a tag"),
        ("</h{{ first_name }}>", "inside a closing tag"),
        ("</p {{ first_name }}>", "inside a closing tag"),
        ("<p {{ first_name }}>", "in the name of an attribute"),
        ("<p {{ first_name }}='x'>", "in the name of an attribute"),
        ("<p {{ first_name }}={{ first_name }}>", "in the name of an attribute"),
        ("<p " + "a" * 99 + "={{ first_name }}>", f"in {'a' * 60}…= without quotes around the value"),
        ("<p title={{ first_name }}>", "in title= without quotes around the value"),
        ("<p title=a{{ first_name }}>", "in title= without quotes around the value"),
        ("<p title = {{ first_name }}>", "in title= without quotes around the value"),
        ('<p OnClick="x({{ first_name }})">', "in the code of onclick="),
        ('<p style="color:{{ first_name }}">', "in the code of style="),
        ('<iframe srcdoc="{{ first_name }}"></iframe>', "in the code of srcdoc="),
        ('<a href="{{ first_name }}">', "in the address of href=; only {{ unsubscribe_url }} may"),
        ('<a href="https://x.example/?n={{ first_name }}">', "in the address of href=; only {{ unsubscribe_url }} may"),
        ("<img/src='{{ first_name }}'>", "in the address of src=; only {{ unsubscribe_url }} may"),
        ('<p title="a>b" background="{{ first_name }}">', "in the address of background=; only {{ unsubscribe_url }} may"),
    ],
)
def test_unsafe_places_are_named(html, place):
    assert details(html) == [f'Line 1: "{{{{ first_name }}}}" must not stand {place}.']


@pytest.mark.parametrize(
    "html",
    [
        "<a href={{ unsubscribe_url }}>x</a>",
        "<!-- {{ unsubscribe_url }} -->",
        "<script>'{{ unsubscribe_url }}'</script>",
        '<a onclick="{{ unsubscribe_url }}">x</a>',
        '<p style="background:url({{ unsubscribe_url }})">x</p>',
    ],
)
def test_the_unsubscribe_url_too_has_places_where_it_may_not_stand(html):
    assert codes(body_html=html) == {"body_html": ["unsafe_placeholder"]}


@pytest.mark.parametrize(
    ("html", "what"),
    [
        ("a\n<!-- b", "a comment"),
        ("a\n<p title='b>", "a tag"),
        ("a\n<p", "a tag"),
        ("a\n<script>b", "<script>"),
        ("a\n<style>b</styl>", "<style>"),
        ("a\n<title>b", "<title>"),
        ("a\n</p", "a closing tag"),
        ("a\n<![if x]", "<!…>"),
    ],
)
def test_markup_that_would_swallow_the_footer_is_refused(html, what):
    assert details(html) == [f"Line 2: {what} is never closed and would hide what follows."]


def test_a_text_body_may_hold_any_markup():
    assert codes(body_text="<script>{{ first_name }} <!-- {{ email }} <a href={{ email }}") == {}


def test_details_show_no_control_characters_and_stay_short():
    (detail,) = details("{{ a\u202e\x1b" + "b" * 500 + "}}")

    assert detail.split("Known")[0].isprintable()
    assert len(detail) < 300


@pytest.mark.parametrize(
    "nasty",
    ["<a ", "<a x='", "<!--", "<!--a>", "<b>", "</", "<a", "<script>", "{{", "{{ x", "{{x}}", "{{ attributes.x }}<p {{email}}>"],
)
def test_anything_is_checked_in_linear_time(nasty):
    # A quadratic check would take minutes to hours here; `html.parser` of Python 3.11 does.
    assert codes(body_html=nasty * (300_000 // len(nasty)), body_text="x") is not None
