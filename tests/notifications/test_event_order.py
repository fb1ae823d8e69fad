"""Order cannot matter: whatever comes, however often, in whatever batches and by whatever route, one result follows."""

import random
import re

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from campaigns import tracking
from campaigns.models import EmailSend
from notifications import meaning, recording, soft_bouncing, suppressing
from notifications.models import EmailEvent, Suppression
from prospects import consent
from prospects.models import Prospect
from tests import events
from tests.stories import apply_all, mails_to_one_person, post, sends, shapes, soft_stories, stories, world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _three_in_a_row(settings):
    settings.SOFT_BOUNCE_LIMIT = 3


def outcome(*batches, limit=500):
    """The world after these batches, which is then undone."""
    with transaction.atomic():
        for batch in batches:
            post(batch)
            apply_all(limit)
        after = world()
        transaction.set_rollback(True)
    return after


def check_that_order_cannot_matter(stories_told, *, examples, phases=tuple(Phase)):
    """Any choice of stories, each in any shape: told in any order, repeated, and cut into any batches."""
    told = [(story, shape) for story in stories_told for shape in shapes(story)]

    # A mutant is looked for with the same choices every time: it is caught always, or never.
    always = phases == (Phase.generate,)
    checks = list(HealthCheck)

    @settings(
        max_examples=examples, deadline=None, database=None, phases=phases, suppress_health_check=checks, derandomize=always
    )
    @given(
        st.lists(st.sampled_from(range(len(told))), min_size=4, max_size=20),
        st.randoms(use_true_random=False),
        st.sampled_from([2, 5, 500]),
    )
    def holds(chosen, chance, limit):
        expected = outcome([told[n] for n in sorted(set(chosen))])
        chance.shuffle(chosen)
        cuts = sorted(chance.randrange(len(chosen) + 1) for _ in range(3))
        batches = [[told[n] for n in chosen[start:end]] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
        assert outcome(*batches, limit=limit) == expected

    holds()


def test_order_repetition_batches_and_routes_cannot_matter():
    check_that_order_cannot_matter([story for send in sends() for story in stories(send)], examples=40)


def test_order_cannot_matter_to_soft_bounces():
    check_that_order_cannot_matter(soft_stories(mails_to_one_person()), examples=50)


def last_write_wins(sql):
    return re.sub(r"least\((\w+\.\w+), (\w+\.\w+)\)", r"coalesce(\2, \1)", sql)


def last_error_wins(sql):
    return re.sub(r"OR \(t\.\w+, t.error COLLATE \"C\"\) < \(s\.\w+, s.error\)", "OR true", sql)


MUTANTS = {
    "the last fact about a mail wins": (tracking, "_RECORD", last_write_wins),
    "the last bounce words the error": (tracking, "_RECORD", last_error_wins),
    "the last fact about a person wins": (
        consent,
        "_RECORD",
        lambda sql: last_write_wins(sql).replace("AND (l.", "AND (true OR l."),
    ),
    "the last fact of a batch wins": (tracking, "min", lambda _: lambda *values: values[0] if len(values) > 1 else min(*values)),
    "whoever is parked stays so": (recording, "unpark", lambda _: lambda **_kwargs: 0),
    "the first copy is kept, tag or not": (recording, "_ENRICH", lambda sql: sql + " AND false"),
    "the last loss of an address dates it": (
        suppressing,
        "_UPSERT",
        lambda sql: sql.replace("least(old.suppressed_at, excluded.suppressed_at)", "excluded.suppressed_at").replace(
            "excluded.suppressed_at < old.suppressed_at", "true"
        ),
    ),
}
SOFT_MUTANTS = {
    "what soft bounces took is never given back": (soft_bouncing, "_later", lambda _: lambda _end, _was: False),
    "bounces are judged as they come": (soft_bouncing, "sorted", lambda _: list),
    "only deliveries told before count": (soft_bouncing, "_with_deliveries", lambda _: lambda known, _told: known),
}


def break_with(mutant, monkeypatch):
    module, name, change = mutant
    changed = change(getattr(module, name, None))
    assert changed != getattr(module, name, None)
    monkeypatch.setattr(module, name, changed, raising=False)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_check_of_order_catches_mutants(mutant, monkeypatch):
    break_with(MUTANTS[mutant], monkeypatch)
    _, unknown, _ = sends()
    told = stories(unknown)
    if mutant == "the first copy is kept, tag or not":
        # Any other event with our tag would make the mail known: with one story there often is none.
        told = told[1:2]

    with pytest.raises(AssertionError):
        check_that_order_cannot_matter(told, examples=400, phases=(Phase.generate,))


@pytest.mark.parametrize("mutant", SOFT_MUTANTS)
def test_the_check_of_soft_bounces_catches_mutants(mutant, monkeypatch):
    break_with(SOFT_MUTANTS[mutant], monkeypatch)
    # A hard bounce, which is most often among many stories, would hide what the soft ones come to.
    told = soft_stories(mails_to_one_person()[:3])[2:-1]

    with pytest.raises(AssertionError):
        check_that_order_cannot_matter(told, examples=400, phases=(Phase.generate,))


def test_a_fact_never_becomes_later_and_a_suppression_never_weaker():
    told = [story for send in sends() for story in stories(send)]
    random.Random(7).shuffle(told)
    before: dict = {}
    for story in told:
        events.post(story)
        apply_all()
        after: dict = {}
        for send in EmailSend.objects.values():
            after |= {(send["id"], fact): value for fact, value in send.items() if fact.endswith("_at") and value}
        after |= {row.email: row.reason for row in Suppression.objects.all()}

        assert set(before) <= set(after)
        assert all(after[key] <= value for key, value in before.items() if isinstance(key, tuple))
        before = after


def test_a_complaint_is_the_last_word_whatever_comes_after():
    send, *_ = sends()

    events.post(*(story for story in stories(send) if story["detail"]["eventType"] != "Complaint"))
    apply_all()
    events.post(*stories(send))
    apply_all()

    assert EmailSend.objects.get(pk=send.pk).status == "complained"
    assert Suppression.objects.get(email=send.email).reason == "complaint"


def test_a_replay_of_everything_changes_nothing():
    events.post(*(story for send in sends() for story in stories(send)))
    apply_all()
    before = world(), list(Prospect.objects.values_list("updated_at")), list(Suppression.objects.values_list("suppressed_at"))

    EmailEvent.objects.update(state="pending", applied_at=None, outcome="")
    apply_all()

    assert (
        world(),
        list(Prospect.objects.values_list("updated_at")),
        list(Suppression.objects.values_list("suppressed_at")),
    ) == before


def test_every_story_is_told_apart():
    told = [story for send in sends() for story in stories(send)]

    events.post(*told)

    assert EmailEvent.objects.count() == len(told)
    assert {meaning.decide(recording.read(row)) for row in EmailEvent.objects.all()} == set(meaning.Effect)
