"""Order cannot matter: whatever comes, however often, in whatever batches, one result follows."""

import random
import re
import threading
import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from campaigns import tracking
from campaigns.models import EmailSend
from notifications import meaning, recording
from notifications.models import EmailEvent, Suppression
from prospects import consent, unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


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


def apply_all(limit=500):
    while recording.apply_events(now=NOW, limit=limit):
        pass


def world():
    """Every row that events may change."""
    facts = [field.name for field in EmailSend._meta.fields if field.name.endswith("_at")]
    return {
        "sends": list(EmailSend.objects.order_by("pk").values_list("status", "message_id", "error", *facts)),
        "people": list(Prospect.objects.order_by("pk").values_list("status", "bounced_at", "complained_at", "unsubscribed_at")),
        "list": list(Suppression.objects.order_by("email").values_list("email", "reason")),
        "audit": list(Unsubscribe.objects.order_by("event_fingerprint").values_list("email", "method", "created_at")),
        "events": list(EmailEvent.objects.order_by("fingerprint").values_list("fingerprint", "state", "outcome")),
    }


def outcome(*batches, limit=500):
    """The world after these batches, which is then undone."""
    with transaction.atomic():
        for batch in batches:
            events.post(*batch)
            apply_all(limit)
        after = world()
        transaction.set_rollback(True)
    return after


def check_that_order_cannot_matter(about, *, examples, phases=tuple(Phase)):
    told = [story for send in about for story in stories(send)]

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


def test_order_repetition_and_batches_cannot_matter():
    check_that_order_cannot_matter(sends(), examples=60)


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
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_check_of_order_catches_mutants(mutant, monkeypatch):
    module, name, change = MUTANTS[mutant]
    changed = change(getattr(module, name, None))
    assert changed != getattr(module, name, None)
    monkeypatch.setattr(module, name, changed, raising=False)
    _, unknown, _ = sends()

    with pytest.raises(AssertionError):
        check_that_order_cannot_matter([unknown], examples=300, phases=(Phase.generate,))


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
def test_many_workers_at_once_come_to_the_same_result():
    rows = [send for _ in range(4) for send in sends_of_new_people()]
    told = [story for send in rows for story in stories(send)]
    random.Random(11).shuffle(told)
    tokens = list(Prospect.objects.values_list("unsubscribe_token", flat=True))
    events.post(*told)
    errors = []

    def work():
        try:
            apply_all(limit=7)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    def leave():
        try:
            for token in random.Random(3).sample(tokens, len(tokens)):
                unsubscribing.unsubscribe(token, method=Unsubscribe.Method.PAGE, campaign_key=rows[0].campaign.key, now=NOW)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=target) for target in [work] * 6 + [leave] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    apply_all()
    together = world()

    assert errors == []
    assert not EmailEvent.objects.filter(state="pending").exists()
    for send in rows:
        assert EmailSend.objects.get(pk=send.pk).status == "complained"
    EmailEvent.objects.update(state="pending", applied_at=None, outcome="")
    apply_all()
    assert world() == together


def sends_of_new_people():
    campaign = CampaignFactory()
    people = [ProspectFactory(email=f"{uuid.uuid4().hex}@example.com") for _ in range(3)]
    first, *others = (EmailSendFactory(campaign=campaign, accepted=True, prospect=person) for person in people)
    return [first, *others, EmailSendFactory(campaign=campaign, unsettled=True)]
