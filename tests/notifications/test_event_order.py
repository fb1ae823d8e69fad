"""Order cannot matter: whatever comes, however often, in whatever batches, one result follows."""

import random
import re
import threading
import uuid
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from campaigns import reporting, tracking
from campaigns.models import Campaign, EmailSend
from notifications import meaning, recording, soft_bouncing, suppressing
from notifications.models import EmailEvent, SoftBounce, Suppression
from prospects import consent, unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
# The identity's feedback tells of these only, by SNS, without a tag.
_FEEDBACK = {"Bounce", "Complaint", "Delivery"}


@pytest.fixture(autouse=True)
def _three_in_a_row(settings):
    settings.SOFT_BOUNCE_LIMIT = 3


def sends():
    """A known mail, one whose outcome is unknown, and a rehearsal's."""
    campaign = CampaignFactory()
    rehearsal = ProspectFactory(email="complaint@simulator.amazonses.com")
    return [
        EmailSendFactory(campaign=campaign, accepted=True),
        EmailSendFactory(campaign=campaign, unsettled=True, error="ReadTimeout"),
        EmailSendFactory(campaign=campaign, accepted=True, prospect=rehearsal),
    ]


def stories(send):
    """Everything that may be told about one mail, several times over and at odds with itself."""
    about = events.about(send)
    words = [{"bouncedRecipients": [{"emailAddress": send.email, "diagnosticCode": word}]} for word in ("b", "a")]
    forwarded = {"bouncedRecipients": [{"emailAddress": "third@example.com"}]}
    early, late, later = ({"timestamp": f"2026-11-01T1{hour}:00:00Z"} for hour in (3, 4, 5))
    return [
        events.envelope("send", **about),
        events.envelope("delivery", **about, **early),
        events.envelope("delivery", **about, **late),
        events.envelope("delivery_delay", **about),
        events.envelope("open", **about, **early),
        events.envelope("open", **about, **late),
        events.envelope("open", **about, **later, mailed_at="2026-11-01T11:00:00Z", tags=False),
        events.envelope("delivery_delay", **about, **later, tags=False),
        events.envelope("click", **about, **later, tags=False),
        events.envelope("click", **about, link="https://example.com/1"),
        events.envelope("click", **about, link="https://example.com/2"),
        events.envelope("bounce", **about, **early, **words[0], feedbackId="1"),
        events.envelope("bounce", **about, **early, **words[1], feedbackId="2"),
        events.envelope("bounce", **about, **late, **forwarded, feedbackId="3"),
        events.envelope("bounce", **about, bounceType="Transient", feedbackId="4"),
        events.envelope("bounce", **about, bounceSubType="UnsubscribedRecipient", feedbackId="5"),
        events.envelope("complaint", **about, **early, feedbackId="6"),
        events.envelope("complaint", **about, **late, feedbackId="7"),
        events.envelope("complaint", **about, complaintFeedbackType="not-spam", feedbackId="8"),
        events.envelope("reject", **about),
        events.envelope("rendering_failure", **about, mailed_at="2026-11-01T11:30:00Z"),
        events.envelope("subscription", **about),
    ]


def soft_stories(sends):
    """Mails to one address that bounce for now, and one that arrives after all; and what may happen to it besides."""
    told = [events.envelope("bounce", **events.about(sends[0]), feedbackId="hard", timestamp="2026-11-01T15:30:00Z")]
    told.append(events.envelope("subscription", **events.about(sends[0])))
    for hour, send in enumerate(sends, 12):
        about = events.about(send)
        soft = {"bounceType": "Transient", "bounceSubType": "MailboxFull", "timestamp": f"2026-11-01T{hour}:00:00Z"}
        told.append(events.envelope("bounce", **about, **soft, feedbackId=f"soft-{hour}"))
        told.append(events.envelope("delivery", **about, timestamp=f"2026-11-01T{hour}:30:00Z"))
    policy = {"bouncedRecipients": [{"emailAddress": sends[0].email, "status": "5.7.1"}], "bounceType": "Transient"}
    told.append(events.envelope("bounce", **events.about(sends[0]), **policy, feedbackId="policy"))
    return told


def mails_to_one_person():
    person = ProspectFactory()
    return [EmailSendFactory(accepted=True, prospect=person) for _ in range(5)]


def shapes(story):
    """Every way in which this story may reach us."""
    return ["eventbridge", "sns", *(["identity"] if story["detail"]["eventType"] in _FEEDBACK else [])]


def post(told):
    for story, shape in told:
        events.tell(story, shape=shape)


def apply_all(limit=500):
    while recording.apply_events(now=NOW, limit=limit):
        pass


def world():
    """Every row that events may change."""
    facts = [field.name for field in EmailSend._meta.fields if field.name.endswith("_at")]
    return {
        "sends": list(EmailSend.objects.order_by("pk").values_list("status", "message_id", "error", *facts)),
        "people": list(Prospect.objects.order_by("pk").values_list("status", "bounced_at", "complained_at", "unsubscribed_at")),
        "list": list(Suppression.objects.order_by("email").values_list("email", "reason", "suppressed_at", "unsubscribed_at")),
        "counters": [
            tuple(sorted(reporting.stats(pk).items())) for pk in Campaign.objects.order_by("pk").values_list("pk", flat=True)
        ],
        "audit": list(Unsubscribe.objects.order_by("event_fingerprint").values_list("email", "method", "created_at")),
        "events": list(EmailEvent.objects.order_by("fingerprint").values_list("fingerprint", "state", "outcome")),
    }


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

    @settings(max_examples=examples, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck))
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

    with pytest.raises(AssertionError):
        check_that_order_cannot_matter(stories(unknown), examples=400, phases=(Phase.generate,))


@pytest.mark.parametrize("mutant", SOFT_MUTANTS)
def test_the_check_of_soft_bounces_catches_mutants(mutant, monkeypatch):
    break_with(SOFT_MUTANTS[mutant], monkeypatch)

    with pytest.raises(AssertionError):
        check_that_order_cannot_matter(soft_stories(mails_to_one_person()), examples=400, phases=(Phase.generate,))


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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(2))
def test_many_workers_and_both_routes_at_once_come_to_the_same_result(seed):
    rows = [send for _ in range(3) for send in sends_of_new_people()]
    told = [story for send in rows for story in stories(send)]
    told += [story for _ in range(3) for story in soft_stories(mails_to_one_person())]
    told = [(story, shape) for story in told for shape in shapes(story)]
    untouched = snapshot()
    random.Random(seed).shuffle(told)
    errors = at_once([partial(post, told[n::4]) for n in range(4)] + [partial(apply_until, threading.Event(), 7)] * 4)
    apply_all()
    together = world()

    restore(untouched)
    post(sorted(told, key=str))
    apply_all()

    assert errors == []
    assert world() == together


@pytest.mark.django_db(transaction=True)
def test_workers_and_people_who_leave_at_once_lose_nothing():
    rows = [send for _ in range(4) for send in sends_of_new_people()]
    told = [(story, "eventbridge") for send in rows for story in stories(send)]
    random.Random(11).shuffle(told)
    tokens = list(Prospect.objects.values_list("unsubscribe_token", flat=True))
    post(told)

    def leave():
        for token in random.Random(3).sample(tokens, len(tokens)):
            unsubscribing.unsubscribe(token, method=Unsubscribe.Method.PAGE, campaign_key=rows[0].campaign.key, now=NOW)

    errors = at_once([partial(apply_all, 7)] * 6 + [leave] * 2)
    apply_all()
    together = world()

    assert errors == []
    assert not EmailEvent.objects.filter(state="pending").exists()
    for send in rows:
        assert EmailSend.objects.get(pk=send.pk).status == "complained"
    EmailEvent.objects.update(state="pending", applied_at=None, outcome="")
    apply_all()
    assert world() == together


def at_once(jobs):
    """Run the jobs in threads, each with a connection of its own; returns what went wrong."""
    errors = []

    def run(job):
        try:
            job()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def apply_until(pause, limit):
    """Apply while others post: again and again, also when nothing waits at the moment."""
    for _ in range(40):
        recording.apply_events(now=NOW, limit=limit)
        pause.wait(0.02)


def snapshot():
    return list(EmailSend.objects.values()), list(Prospect.objects.values())


def restore(untouched):
    """Undo by hand whatever events did."""
    for model, rows in zip((EmailSend, Prospect), untouched, strict=True):
        for row in rows:
            model.objects.filter(pk=row["id"]).update(**{name: row[name] for name in row if name not in {"id", "status"}})
    for model in (EmailEvent, Suppression, Unsubscribe, SoftBounce):
        model.objects.all().delete()


def sends_of_new_people():
    campaign = CampaignFactory()
    people = [ProspectFactory(email=f"{uuid.uuid4().hex}@example.com") for _ in range(3)]
    first, *others = (EmailSendFactory(campaign=campaign, accepted=True, prospect=person) for person in people)
    return [first, *others, EmailSendFactory(campaign=campaign, unsettled=True)]
