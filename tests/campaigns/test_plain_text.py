"""The text part of a mail, made from its HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import plain_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p>Hello  <b>you</b>,\n how <i>are</i> you?</p>", "Hello you, how are you?"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div>two<br>three<br><br><br>four</div>", "one\ntwo\nthree\n\nfour"),
        ("<h1>Title</h1>text<h2>Next</h2>", "Title\n\ntext\n\nNext"),
        ("un<b>brok</b>en a <b> b </b> c", "unbroken a b c"),
        ("2 * 3_4 # [x] \\ ` ~ <br>- 1. +", "2 * 3_4 # [x] \\ ` ~\n- 1. +"),
        ("&lt;b&gt; &amp;amp; &eacute;&nbsp;&#8364;", "<b> &amp; é €"),
        ("1 < 2 > 1", "1 < 2 > 1"),
        ("<ul><li>a</li><li>b<ul><li>c</ul><li>d</ul>e", "- a\n- b\n  - c\n- d\n\ne"),
        ("<ol><li><p>a</p></li><li><p>b</p></li></ol>", "1. a\n\n2. b"),
        ("<li>a<li>b", "- a\n- b"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td><p>c</p></td></tr></table>", "a b\n\nc"),
        ("a<hr>b", "a\n\n--------------------\n\nb"),
        ("<pre>  a\n    b</pre>c", "a\n    b\n\nc"),
        ('<img src="x.png" alt="Our logo"> x <img src="y">', "Our logo x"),
        ("a\u200c&nbsp;\u200c &#847; &zwnj; b", "a\u200c b"),
    ],
)
def test_blocks_and_words(html, text):
    assert plain_text.from_html(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://x.example/?a=1&amp;b=2">us</a>', "us (https://x.example/?a=1&b=2)"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example"),
        ("<p>see <a href='https://x.example'> <b>this</b> </a>.</p>", "see this (https://x.example) ."),
        ("<a href='https://x.example'><p>this</p></a>that", "this (https://x.example)\n\nthat"),
        ("<a href='https://x.example'><img alt='Logo'></a>", "Logo (https://x.example)"),
        ("a <a href='https://x.example'><img></a> b", "a https://x.example b"),
        ("<a href='mailto:a@x.example'>a@x.example</a>", "a@x.example"),
        ("<a href='#top'>up</a> <a>x</a> <a href=''>y</a> <a href='javascript:x()'>z</a>", "up x y z"),
        ("<a href='https://1.example'>one <a href='https://2.example'>two", "one (https://1.example) two (https://2.example)"),
        ("<a href=' https://x.example/\n a '>x</a>", "x (https://x.example/a)"),
        ('<a href="{{ unsubscribe_url }}">Stop</a>', "Stop ({{unsubscribe_url}})"),
    ],
)
def test_links(html, text):
    assert plain_text.from_html(html) == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>x<b></script>",
        "<style>p{}</style>",
        "<title>x</title>",
        "<!-- x -->",
        "<!DOCTYPE html>",
        "<?x?>",
        "<script>x",
        "<!-- x",
        "<p title='x",
        "<o:p></o:p>",
    ],
)
def test_what_nobody_sees_is_dropped(hidden):
    assert plain_text.from_html(f"a{hidden}") == "a"


def test_placeholders_survive():
    assert (
        plain_text.from_html("<p>Dear {{ first_name }} {{ attributes.City }},</p>")
        == "Dear {{ first_name }} {{ attributes.City }},"
    )


@given(st.text())
def test_anything_is_converted(html):
    text = plain_text.from_html(html)

    assert text == text.strip()


@given(
    st.lists(st.sampled_from(["word", "zq12x", "é", "1"]), min_size=1), st.sampled_from(["p", "b", "td", "li", "h1", "a", "span"])
)
def test_no_word_is_lost_or_doubled(words, tag):
    html = " ".join(f"<{tag}>{word}</{tag}>" for word in words)

    assert [word for word in plain_text.from_html(html).split() if word != "-"] == words


@pytest.mark.parametrize(
    "nasty", ["<div>", "<ul><li>", "<a href=x>", "<a ", "<!--", "<b", "<br>", "<pre>", "&", "<td>x", "<p a='", "</div>", "<ol>"]
)
def test_anything_is_converted_in_linear_time_and_at_any_depth(nasty):
    # A quadratic conversion would take minutes to hours here.
    assert plain_text.from_html(nasty * (300_000 // len(nasty))) is not None
