"""Every mail ends with a way out."""

import pytest

from campaigns import footers, rendering

URL = "https://example.com/u?token=1"
POSTAL = "Acme Ltd, 1 Road\n12345 Town"


def render(body_html="", body_text="", postal_address=""):
    compiled = rendering.compile_template(subject="s", body_html=body_html, body_text=body_text, postal_address=postal_address)
    return compiled.render({"unsubscribe_url": URL, "email": "ann@example.com"})


def test_bodies_without_a_link_get_reason_address_and_link():
    mail = render("<p>Hi</p>", "Hi", POSTAL)

    assert mail.text == f"Hi\n\n---\n{footers.REASON}\n{POSTAL}\nUnsubscribe: {URL}\n"
    assert footers.REASON in mail.html
    assert "<p>Acme Ltd, 1 Road<br>\n12345 Town</p>" in mail.html
    assert f'<a ses:no-track href="{URL}"' in mail.html


def test_without_a_postal_address_the_footer_has_none():
    mail = render("<p>Hi</p>", "Hi")

    assert mail.text == f"Hi\n\n---\n{footers.REASON}\nUnsubscribe: {URL}\n"
    assert "<p></p>" not in mail.html


def test_each_body_is_judged_by_itself():
    mail = render('<a href="{{ unsubscribe_url }}">Stop</a>', "Hi")

    assert footers.REASON not in mail.html
    assert footers.REASON in mail.text


def test_a_body_with_a_link_but_no_address_gets_the_address_only():
    mail = render('<a href="{{ unsubscribe_url }}">Stop</a>', "Stop: {{ unsubscribe_url }}", POSTAL)

    assert mail.text == f"Stop: {URL}\n\n---\n{POSTAL}\n"
    assert mail.html.count("12345 Town") == 1
    assert footers.REASON not in mail.html
    assert mail.html.count(URL) == 1


@pytest.mark.parametrize("written", ["ACME Ltd<br>1&nbsp;Road, <b>12345</b> Town", "Acme Ltd, 1 Road - 12345 Town"])
def test_an_address_that_is_there_is_not_repeated(written):
    body = f'<p>{written}</p><a ses:no-track href="{{{{ unsubscribe_url }}}}">Stop</a>'

    assert render(body, "x", POSTAL).html == body.replace("{{ unsubscribe_url }}", URL)


def test_an_address_is_escaped_and_never_a_placeholder():
    mail = render("<p>Hi</p>", "Hi", "A & B <c> {{ email }}")

    assert "<p>A &amp; B &lt;c&gt; {{ email }}</p>" in mail.html
    assert "\nA & B <c> {{ email }}\n" in mail.text


@pytest.mark.parametrize(
    ("html", "rest"),
    [
        ("<html><body><p>x</p></body></html>", "</body></html>"),
        ("<html><BODY><p>x</p></BODY ></html>", "</BODY ></html>"),
        ("<html><p>x</p></html>\n", "</html>\n"),
        ("<p>x</p>", ""),
        ("<body><!-- </body> --><p>x</p></body>", "</body>"),
        ("<body>a</body><p>x</p></body>", "</body>"),
        ("<style>/*</body>*/</style><p>x</p>", ""),
    ],
)
def test_the_footer_stands_at_the_end_of_what_is_seen(html, rest):
    rendered = render(html).html

    assert rendered.startswith(html.removesuffix(rest) + "<div")
    assert rendered.endswith("</div>\n" + rest)


@pytest.mark.parametrize(
    "invisible",
    [
        "<!-- {{ unsubscribe_url }} -->",
        "<title>{{ unsubscribe_url }}</title>",
        "<style>{{ unsubscribe_url }}</style>",
        '<img src="{{ unsubscribe_url }}">',
        '<link href="{{ unsubscribe_url }}">',
        '<p title="{{ unsubscribe_url }}">x</p>',
    ],
)
def test_a_link_that_nobody_sees_does_not_count(invisible):
    assert footers.REASON in render(invisible).html


@pytest.mark.parametrize(
    "visible",
    [
        "<p>{{ unsubscribe_url }}</p>",
        "<a href='{{ UNSUBSCRIBE_URL }}&amp;lang=de'>x</a>",
        '<form action="{{unsubscribe_url}}" method=post><button>Stop</button></form>',
    ],
)
def test_a_link_that_is_seen_counts(visible):
    assert footers.REASON not in render(visible).html


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('<a href="{{ unsubscribe_url }}">x</a>', f'<a ses:no-track href="{URL}">x</a>'),
        ('<A\nclass="b>c" HREF="{{ unsubscribe_url }}">x</A>', f'<A ses:no-track\nclass="b>c" HREF="{URL}">x</A>'),
        ('<a ses:no-track href="{{ unsubscribe_url }}">x</a>', f'<a ses:no-track href="{URL}">x</a>'),
        ('<a href="{{ unsubscribe_url }}" SES:NO-TRACK="">x</a>', f'<a href="{URL}" SES:NO-TRACK="">x</a>'),
        ("<a href='https://x.example'>x</a>{{ unsubscribe_url }}", f"<a href='https://x.example'>x</a>{URL}"),
        ('<!-- <a href="{{ unsubscribe_url }}"> -->{{ unsubscribe_url }}', f'<!-- <a href="{URL}"> -->{URL}'),
        (
            '<a href="{{ unsubscribe_url }}">1</a><a href="{{ unsubscribe_url }}">2</a>',
            f'<a ses:no-track href="{URL}">1</a><a ses:no-track href="{URL}">2</a>',
        ),
    ],
)
def test_unsubscribe_links_are_kept_from_click_tracking(written, expected):
    assert render(written).html == expected


def test_the_link_of_the_text_is_made_from_that_of_the_html():
    assert render('<p>Hi</p><a href="{{ unsubscribe_url }}">Stop</a>').text == f"Hi\n\nStop ({URL})"


def test_two_empty_bodies_still_make_a_footer():
    mail = render()

    assert URL in mail.html
    assert URL in mail.text
