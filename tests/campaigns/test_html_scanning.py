"""HTML cut as a browser cuts it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.html_scanning import Attribute, Kind, scan

pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<",
                ">",
                "/",
                "=",
                '"',
                "'",
                "<!--",
                "-->",
                "--!>",
                "<script>",
                "</script>",
                "</title>",
                "<title ",
                "<!",
                "<?",
                "a",
                " ",
                "\n",
            ]
        ),
        st.text(max_size=3),
    ),
    max_size=25,
).map("".join)


def cut(html):
    return [(token.kind.value, html[token.begin : token.end]) for token in scan(html)]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", []),
        ("a < b <3 c<", [("text", "a < b <3 c<")]),
        ("<p>x</p >", [("start", "<p>"), ("text", "x"), ("end", "</p >")]),
        ("<p a='>' b=\">\">x", [("start", "<p a='>' b=\">\">"), ("text", "x")]),
        ("<!-- <p> -- > -->x", [("comment", "<!-- <p> -- > -->"), ("text", "x")]),
        ("<!-->x<!--->y", [("comment", "<!-->"), ("text", "x"), ("comment", "<!--->"), ("text", "y")]),
        ("<!-- a --!>x", [("comment", "<!-- a --!>"), ("text", "x")]),
        (
            "<!doctype html><?xml?></3></>x",
            [("comment", c) for c in ("<!doctype html>", "<?xml?>", "</3>", "</>")] + [("text", "x")],
        ),
        ("<script>a<b></SCRIPT\n>x", [("start", "<script>"), ("raw", "a<b>"), ("end", "</SCRIPT\n>"), ("text", "x")]),
        ("<style></styles></style>", [("start", "<style>"), ("raw", "</styles>"), ("end", "</style>")]),
        ("<scripts>a<b>", [("start", "<scripts>"), ("text", "a"), ("start", "<b>")]),
        ("<p title='a", [("start", "<p title='a")]),
        ("</", [("text", "</")]),
    ],
)
def test_tokens(html, expected):
    assert [token for token in cut(html) if token != ("raw", "")] == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("<p A=1 b='2' C=\"3\" d>", [("a", "1", False), ("b", "2", True), ("c", "3", True), ("d", "", True)]),
        ("<p a = 1/b=2>", [("a", "1/b=2", False)]),
        ("<p/a/b=''>", [("a", "", True), ("b", "", True)]),
        ("<p =a=b a=>", [("=a", "b", False), ("a", "", False)]),
        ("<p a='x'b=y>", [("a", "x", True), ("b", "y", False)]),
        ("<p a=x\"y'z>", [("a", "x\"y'z", False)]),
    ],
)
def test_attributes(tag, expected):
    (token,) = scan(tag)

    assert list(token.attributes) == [Attribute(*attribute) for attribute in expected]


@given(pieces)
def test_tokens_cover_the_html_without_gaps_and_only_the_last_may_be_open(html):
    tokens = list(scan(html))

    assert "".join(html[token.begin : token.end] for token in tokens) == html
    assert all(token.closed for token in tokens[:-1])


@given(pieces)
def test_what_follows_closed_markup_is_cut_the_same_way_alone(html):
    tokens = list(scan(html))

    for before, token in pairwise(tokens):
        if before.kind is Kind.COMMENT:
            assert cut(html[token.begin :]) == cut(html)[tokens.index(token) :]
