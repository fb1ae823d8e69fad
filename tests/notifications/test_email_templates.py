import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import email_templates
from notifications.email_templates import MissingVariables, UnknownTemplate, UnrenderableData
from tests.notifications.outbox import INVITE


@pytest.fixture
def template(tmp_path, settings):
    """Write a template `t` of the given files and render it."""
    settings.EMAIL_TEMPLATES = tmp_path

    def render(data, *, subject="s", html="<p>h</p>", text="t", **options):
        (tmp_path / "t").mkdir(exist_ok=True)
        for name, words in (("subject.txt", subject), ("body.html", html), ("body.txt", text)):
            (tmp_path / "t" / name).write_text(words)
        return email_templates.render("t", data, **options)

    return render


def missing(template, data, **files):
    with pytest.raises(MissingVariables) as caught:
        template(data, **files)
    return caught.value.names


def test_the_invitation_of_the_mission_is_rendered():
    mail = email_templates.render("issuer-onboarding-invite", INVITE)

    assert mail.subject == "Grace Hopper invites you to issue credentials for Engines & Co"
    assert "You are invited to Engines &amp; Co" in mail.html
    assert 'href="https://issuer.example.com/join?a=1&amp;b=2"' in mail.html
    assert "https://issuer.example.com/join?a=1&b=2\n" in mail.text


def test_every_template_of_ours_compiles():
    assert email_templates.problems() == {}
    assert email_templates.names() == ["issuer-onboarding-invite", "password-reset", "payment-receipt"]


def test_values_are_escaped_in_the_html_only(template):
    files = {"subject": "{{ x }}", "html": "{{ x }}", "text": "{{ x }}"}

    mail = template({"x": "<b>&"}, **files)

    assert (mail.subject, mail.html, mail.text) == ("<b>&", "&lt;b&gt;&amp;", "<b>&")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("{{ a }}", "a"),
        ("{{ a.b }}", "a"),
        ("{% if a %}x{% endif %}", "a"),
        ("{% if 1 == a %}x{% endif %}", "a"),
        ("{% if not a %}x{% endif %}", "a"),
        ("{% for x in a %}x{% endfor %}", "a"),
        ("{% with x=a %}x{% endwith %}", "a"),
        ("{{ a|upper }}", "a"),
        ("{{ a|default:'x' }}", "a"),
        ("{{ 'x'|default:a }}", "a"),
        ("{{ 'x'|add:a.b }}", "a"),
        ("{% firstof a %}", "a"),
        ("{% include a %}", "a"),
        ("{% cycle a 'x' %}", "a"),
        ("{% widthratio a 1 1 %}", "a"),
        ("{% filter default:a %}{% endfilter %}", "a"),
        ("{{ known.b }}", "known.b"),
        ("{{ known.items }}", "known.items"),
        ("{{ known.keys }}", "known.keys"),
        ("{{ known.deep.c }}", "known.deep.c"),
        ("{{ word.upper }}", "word.upper"),
        ("{{ nothing.x }}", "nothing.x"),
        ("{{ list.2 }}", "list.2"),
        ("{{ list.first }}", "list.first"),
        ("{% for one in list %}{{ one.price }}{% endfor %}", "list.1.price"),
        ("{% with one=known.deep %}{{ one.x }}{% endwith %}", "known.deep.x"),
    ],
)
@pytest.mark.parametrize("file", ["subject", "html", "text"])
def test_a_missing_variable_is_named_wherever_it_stands(template, file, words, name):
    data = {"known": {"deep": {}}, "word": "x", "nothing": None, "list": [{"price": 1}, {}]}

    assert missing(template, data, **{file: words}) == [name]


def test_all_missing_variables_of_all_files_are_named_at_once(template):
    files = {"subject": "{{ a }}", "html": "{{ b.c }}{% if d %}{% endif %}", "text": "{{ a }}{{ e }}"}

    assert missing(template, {"b": {}}, **files) == ["a", "b.c", "d", "e"]


def test_also_what_is_included_or_extended_is_strict(template, tmp_path):
    (tmp_path / "base.html").write_text("{{ a }}{% block x %}{% endblock %}{% include 'part.html' with c=1 only %}")
    (tmp_path / "part.html").write_text("{{ b }}{{ c }}")

    assert missing(template, {"b": 1}, html="{% extends '../base.html' %}{% block x %}{{ d }}{% endblock %}") == ["a", "b", "d"]


def test_a_branch_that_is_not_taken_needs_nothing(template):
    assert template({"a": False}, text="{% if a %}{{ b }}{% else %}no{% endif %}").text == "no"


def test_loops_and_blocks_know_their_own_variables(template):
    words = "{% for x in list %}{{ forloop.counter }}{{ x }}{% if not forloop.last %},{% endif %}{% endfor %}"

    assert template({"list": ["a", "b"]}, text=words).text == "1a,2b"


def test_null_prints_nothing_and_is_there(template):
    assert template({"a": None}, text="[{{ a }}]{% if a is None %}!{% endif %}{{ a|default_if_none:'-' }}").text == "[]!-"


def test_a_subject_of_the_caller_replaces_the_templates_own_and_needs_no_variables_of_it(template, tmp_path):
    words = {"subject.txt": "{{ a }}", "body.html": "<title>{{ subject }}</title>", "body.txt": "t"}
    template({"a": 1})
    for name, text in words.items():
        (tmp_path / "t" / name).write_text(text)
    email_templates._engine.cache_clear()

    mail = email_templates.render("t", {}, subject="Mine & yours")

    assert (mail.subject, mail.html) == ("Mine & yours", "<title>Mine &amp; yours</title>")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../emails", "issuer-onboarding-invite/..", "/etc", "base.html", "no", "a\0", "A"]
)
def test_a_name_that_is_no_template_is_refused_with_the_list(name):
    with pytest.raises(UnknownTemplate, match="issuer-onboarding-invite, password-reset, payment-receipt"):
        email_templates.render(name, {})


def test_a_value_of_another_kind_is_an_error_of_the_data(template):
    with pytest.raises(UnrenderableData, match=r"t/body.txt .* 'int' object is not iterable"):
        template({"a": 5}, text="{% for x in a %}{% endfor %}")


def test_a_template_that_lacks_a_file_or_does_not_compile_is_a_problem(tmp_path, settings):
    settings.EMAIL_TEMPLATES = tmp_path
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "subject.txt").write_text("{% if %}")
    (tmp_path / "t" / "body.html").write_text("fine")

    assert email_templates.problems().keys() == {"t/subject.txt", "t/body.txt"}
    assert email_templates.names() == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_whatever_the_data_is_the_answer_is_a_mail_or_an_error_of_ours(value):
    data = {"customer": value, "items": value, "receipt_number": value}
    with pytest.raises((MissingVariables, UnrenderableData)):
        email_templates.render("payment-receipt", data)
