"""A campaign's words filled in for one person."""

import re
import string
from html import escape
from html.parser import HTMLParser

import django.template
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns import rendering
from notifications import messages

ANN = {
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@example.com",
    "company": "Lee & Sons",
    "attributes": {"City": "Köln", "Job Title": "CEO", "empty": None},
    "unsubscribe_url": "https://example.com/api/unsubscribe?token=1&x=2",
}
LINK = ' <a ses:no-track href="{{ unsubscribe_url }}">Stop</a>'
POSTAL = "Acme Ltd, 1 Road\n12345 Town"

anything = st.text(st.characters(codec=None), max_size=60)
printable = st.text(st.characters(exclude_categories=["C"]), max_size=60)


def render(subject="Hello", body_html="", body_text="", postal_address="", **values):
    compiled = rendering.compile_template(
        subject=subject, body_html=body_html, body_text=body_text, postal_address=postal_address
    )
    return compiled.render(ANN | values)


def text_only(template, **values):
    return render(body_text=template + "{{ unsubscribe_url }}", **values).text.removesuffix(ANN["unsubscribe_url"])


class Reader(HTMLParser):
    """What a reader sees, and the attributes on the way."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(html)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ first_name }}", "Ann"),
        ("{{first_name}}", "Ann"),
        ("{{ first_name}}", "Ann"),
        ("{{  FIRST_NAME\n\t }}", "Ann"),
        ("{{\u00a0last_name\u00a0}}", "Lee"),
        ("{{ email }} at {{ Company }}", "ann@example.com at Lee & Sons"),
        ("{{ attributes.City }}", "Köln"),
        ("{{ Attributes . city }}", "Köln"),
        ("{{ attributes.job title }}", "CEO"),
        ("{{ attributes.empty }}|{{ attributes.absent }}", "|"),
        ("{{{ first_name }}}", "{Ann}"),
        ("{ first_name } }}{{", "{ first_name } }}{{"),
        ("{{ {{ email }} }}", "{{ ann@example.com }}"),
        ("{{ first_name", "{{ first_name"),
        ("{{ first_name|upper }}", "{{ first_name|upper }}"),
        ("{{ first_name.__class__ }}", "{{ first_name.__class__ }}"),
        ("{{ attributes. }}", "{{ attributes. }}"),
        ("{% load x %}{# c #}${email} %(email)s {email}", "{% load x %}{# c #}${email} %(email)s {email}"),
    ],
)
def test_the_exact_bytes_of_placeholders(template, expected):
    assert text_only(template) == expected


def test_an_attribute_is_looked_up_exactly_before_without_case():
    attributes = {"CITY": "second", "city": "first"}

    assert text_only("{{ attributes.city }} {{ attributes.City }}", attributes=attributes) == "first second"


@pytest.mark.parametrize("missing", [None, ""])
@pytest.mark.parametrize("name", ["first_name", "last_name", "email", "company", "attributes"])
def test_what_is_missing_becomes_nothing(name, missing):
    template = "<p>[{{ first_name }}{{ last_name }}{{ email }}{{ company }}{{ attributes.city }}]</p>"

    mail = render(template, template, template, **{name: missing})

    assert "None" not in mail.subject + mail.html + mail.text


def test_no_values_at_all_are_fine_too():
    compiled = rendering.compile_template(subject="Hi {{ first_name }}!", body_html="<p>{{ attributes.x }}</p>")

    assert compiled.render({}).subject == "Hi !"


def test_values_are_escaped_in_the_html_only():
    words = "{{ first_name }}"

    mail = render(words, words, words, first_name='<b>"O\'Neil" & Co</b>')

    assert mail.html.startswith("&lt;b&gt;&quot;O&#x27;Neil&quot; &amp; Co&lt;/b&gt;")
    assert mail.text.startswith('<b>"O\'Neil" & Co</b>\n')
    assert mail.subject == '<b>"O\'Neil" & Co</b>'


def test_the_unsubscribe_url_is_never_escaped():
    mail = render(body_html=LINK)

    assert f'href="{ANN["unsubscribe_url"]}"' in mail.html


@given(anything)
@example("<script>alert(1)</script>")
@example("&amp;&#60;\r\n\x00\ud800")
def test_no_value_becomes_markup(value):
    mail = render(
        body_html="<p>{{ first_name }}</p><i title='{{ first_name }}' lang=\"{{ first_name }}\"></i>" + LINK, first_name=value
    )

    read = Reader(mail.html)

    clean = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "", re.sub("\r\n?", "\n", value))
    assert read.text == clean + " Stop"
    assert read.tags[1] == ("i", {"title": clean, "lang": clean})
    assert [tag for tag, _ in read.tags] == ["p", "i", "a"]


@given(printable)
def test_a_value_is_plain_in_the_text(value):
    assert text_only("[{{ company }}]", company=value) == f"[{value}]"


@given(st.sampled_from(["{{ email }}", "{{email}}", "{{ unsubscribe_url }}", "{{ attributes.City }}", "}}{{", "{{ x"]))
def test_placeholders_inside_a_value_stay_literal(value):
    mail = render("{{ company }}", "<p>{{ company }}{{ email }}</p>", "{{ company }}{{ email }}", company=value)

    assert mail.subject == value
    assert f"<p>{value}ann@example.com</p>" in mail.html
    assert mail.text.startswith(f"{value}ann@example.com\n")


@given(anything)
@example("x\r\nBcc: victim@example.com")
@example("\u2028\u2029\x85\x00\x1b")
@example("\U0001f600" * 400)
@example("a" * 5000)
def test_the_subject_is_always_one_short_line(value):
    subject = render("Hi {{ first_name }}", "x", first_name=value).subject

    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", subject)
    assert subject == subject.strip()
    assert messages.subject_octets(subject) <= messages.LONGEST_LINE


def test_control_characters_in_a_subject_become_spaces():
    assert render("{{ first_name }} & co", "x", first_name="\nA\tB\r\u2028").subject == "A B   & co"


def test_a_subject_that_grew_too_long_is_cut_as_late_as_possible():
    subject = render("{{ first_name }}", "x", first_name="a" * 2000).subject

    assert subject == "a" * (messages.LONGEST_LINE - len("Subject: ...")) + "..."


def naive(template, values, escaped):
    """The same rules, as slowly and plainly as they can be said."""
    result, rest = "", template
    while (begin := rest.find("{{")) >= 0:
        inner = re.match(r"\{\{([^{}]*)\}\}", rest[begin:])
        if not inner:
            result, rest = result + rest[: begin + 1], rest[begin + 1 :]
            continue
        value = naive_value(inner[1].strip(), values)
        result += rest[:begin] + (inner[0] if value is None else escape(value) if escaped else value)
        rest = rest[begin + len(inner[0]) :]
    return result + rest


def naive_value(inside, values):
    head, _, key = inside.partition(".")
    if head.strip().lower() == "attributes" and key.strip():
        return values["attributes"].get(key.strip(), "")
    return values.get(inside.lower(), None) if inside.lower() != "attributes" else None


fragments = st.sampled_from(
    [
        "{{ first_name }}",
        "{{LAST_NAME}}",
        "{{ attributes.a b }}",
        "{{ attributes.no }}",
        "{{ nope }}",
        "{{",
        "}}",
        "{",
        "}",
        "{{ {{",
    ]
)
template_words = st.lists(st.one_of(fragments, st.text("ab \n{}.", max_size=5)), max_size=12).map("".join)


@given(template_words, printable, printable)
@settings(max_examples=300)
def test_compiling_and_filling_equals_the_naive_way(template, first_name, attribute):
    values = {"first_name": first_name, "last_name": "Lee", "attributes": {"a b": attribute}}
    body = f"[{template}] "

    mail = render(body_html=body + LINK, body_text=body + "{{ unsubscribe_url }}", **values)

    assert mail.text == naive(body, values, escaped=False) + ANN["unsubscribe_url"]
    assert mail.html == naive(body, values, escaped=True) + LINK.replace("{{ unsubscribe_url }}", ANN["unsubscribe_url"])


html_words = st.lists(
    st.one_of(
        fragments,
        st.sampled_from(
            ["<p>", "</p>", "<a href='{{ unsubscribe_url }}'>", "</a>", "</body>", "<b", ">", "<!--", "-->", "<script>", '"']
        ),
        st.text(max_size=5),
    ),
    max_size=15,
).map("".join)


@given(subject=html_words, body_html=html_words, body_text=html_words, value=anything)
@settings(max_examples=300)
def test_rendering_never_fails_and_what_passes_the_check_makes_a_sendable_mail(subject, body_html, body_text, value):
    mail = render(subject, body_html, body_text, POSTAL, first_name=value, attributes={"a b": value})

    if not rendering.find_problems(subject=subject, body_html=body_html, body_text=body_text):
        messages.OutgoingMessage(
            to="a@example.com", from_email="b@example.com", subject=mail.subject, html=mail.html, text=mail.text
        )
        assert "{{ nope }}" not in mail.html.replace(value, "")


def test_no_template_engine_is_ever_used(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a template engine saw user text")

    monkeypatch.setattr(django.template.Template, "__init__", refuse)
    monkeypatch.setattr(django.template.Engine, "from_string", refuse)
    monkeypatch.setattr(string.Template, "substitute", refuse)
    monkeypatch.setattr(string.Formatter, "vformat", refuse)
    rendering._compiled.cache_clear()

    mail = render("{{ first_name }}", "<p>{{ first_name }} {% debug %} {{ settings.SECRET_KEY }} {0.__class__}</p>")

    assert "<p>Ann {% debug %} {{ settings.SECRET_KEY }} {0.__class__}</p>" in mail.html


def test_the_same_words_are_compiled_once():
    words = {"subject": "s", "body_html": "<p>once</p>", "body_text": "", "postal_address": ""}

    assert rendering.compile_template(**words) is rendering.compile_template(**words)


def test_other_words_are_another_template():
    one = rendering.compile_template(subject="s", body_html="<p>x</p>", postal_address="")

    assert one is not rendering.compile_template(subject="s", body_html="<p>x</p>", postal_address=POSTAL)


def test_an_empty_text_is_made_from_the_html():
    mail = render(body_html='<h1>Hi {{ first_name }}</h1><p>See <a href="https://a.example/?b=1&amp;c=2">this</a></p>' + LINK)

    assert mail.text == f"Hi Ann\n\nSee this (https://a.example/?b=1&c=2)\n\nStop ({ANN['unsubscribe_url']})"


def test_an_empty_html_is_made_from_the_text():
    mail = render(body_text="Hi {{ first_name }} <3\r\nyou\n \nBye: {{ unsubscribe_url }}", first_name="A&B")

    read = Reader(mail.html)
    assert "<p>Hi A&amp;B &lt;3<br>\nyou</p>" in mail.html
    assert ("a", {"ses:no-track": None, "href": ANN["unsubscribe_url"], "style": "color:inherit"}) in read.tags
    assert mail.html.count(ANN["unsubscribe_url"]) == 2


def test_braces_that_are_no_placeholder_in_the_html_are_none_in_its_text():
    mail = render(body_html="<p>&#123;{ email }} {<b></b>{ email }}</p>")

    assert mail.text.startswith("{{ email }} {{ email }}\n")


def test_a_key_may_hold_what_looks_like_markup():
    mail = render(
        body_html="""<p title="{{ attributes.a>"b }}">{{ attributes.R&amp;D }}</p>""", attributes={'a>"b': "1", "R&D": "2"}
    )

    assert mail.html.startswith('<p title="1">2</p>')
