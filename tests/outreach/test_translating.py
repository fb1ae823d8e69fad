"""Translations: complete, compiled, and compiled right."""

import gettext
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation.template import templatize

from outreach import translating

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
CATALOGUES = translating.catalogues(ROOT / "locale")
LANGUAGES = {code for code, _name in settings.LANGUAGES}


def told(catalogue):
    return [entry for entry in translating.entries(catalogue.read_text()) if entry["msgid"]]


def said_in_templates():
    """Every singular that a template asks to be translated."""
    found = set()
    for template in (ROOT / "templates" / "unsubscribe").glob("*.html"):
        calls = re.findall(r"n?gettext\(u?(?P<q>['\"]{1,3})(.*?)(?P=q)[,)]", templatize(template.read_text()), re.DOTALL)
        found |= {text.encode().decode("unicode_escape").encode("latin-1").decode() for _quote, text in calls}
    return found


def test_every_language_that_is_offered_has_a_catalogue():
    assert {path.parts[-3] for path in CATALOGUES} == LANGUAGES - {"en"}


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_the_compiled_file_is_what_the_written_one_says(catalogue):
    assert catalogue.with_suffix(".mo").read_bytes() == translating.compiled(catalogue.read_text()), (
        "run manage.py compile_translations"
    )


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_everything_that_a_page_says_is_translated(catalogue):
    wanted = said_in_templates()

    assert len(wanted) > 30
    assert {
        entry["msgid"] for entry in told(catalogue) if all(entry[name] for name in entry if name.startswith("msgstr"))
    } == wanted


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_has_the_same_values_and_tags_as_the_original(catalogue):
    for entry in told(catalogue):
        for name in (name for name in entry if name.startswith("msgstr")):
            assert set(PLACEHOLDER.findall(entry[name])) == set(PLACEHOLDER.findall(entry["msgid"])), entry
            assert sorted(re.findall(r"<[^>]+>", entry[name])) == sorted(re.findall(r"<[^>]+>", entry["msgid"])), entry


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_gettext_reads_the_compiled_file_with_its_plural(catalogue):
    read = gettext.GNUTranslations(io.BytesIO(catalogue.with_suffix(".mo").read_bytes()))
    one, many = (
        "Pressed by mistake? You can undo this for %(minutes)s more minute.",
        "Pressed by mistake? You can undo this for %(minutes)s more minutes.",
    )

    assert len({read.ngettext(one, many, 1), read.ngettext(one, many, 2), one, many}) == 4
    assert read.gettext("Undo") != "Undo"


# A second opinion where GNU gettext happens to be; that the compiled files are right is tested above without it.
@pytest.mark.skipif(not shutil.which("msgfmt"), reason="GNU gettext is not installed here: only a second opinion")
@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-3])
def test_our_compiler_agrees_with_gnu_gettexts(catalogue, tmp_path):
    subprocess.run(["msgfmt", "-o", tmp_path / "x.mo", catalogue], check=True, stderr=subprocess.DEVNULL)
    theirs, ours = (gettext.GNUTranslations(path.open("rb")) for path in (tmp_path / "x.mo", catalogue.with_suffix(".mo")))

    assert theirs._catalog == ours._catalog


def test_fuzzy_and_empty_entries_are_not_taken_and_contexts_are_kept_apart():
    text = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n#, fuzzy\nmsgid "a"\nmsgstr "x"\n\n'
    text += 'msgid "b"\nmsgstr ""\n\nmsgctxt "c"\nmsgid "a"\nmsgstr ""\n"zwei"\n" Zeilen"\n'
    read = gettext.GNUTranslations(io.BytesIO(translating.compiled(text)))

    assert (read.gettext("a"), read.gettext("b"), read.pgettext("c", "a")) == ("a", "b", "zwei Zeilen")


@pytest.mark.parametrize("text", ['msgid "a"\nnonsense', 'msgid "a" "\nmsgstr "b"', 'msgid "\\"'])
def test_what_cannot_be_read_is_said(text):
    with pytest.raises(translating.BadCatalogue):
        translating.compiled(text)
