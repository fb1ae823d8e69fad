import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from campaigns.models import EmailSend
from notifications import recording, replaying, suppressing
from notifications.models import EmailEvent, SoftBounce, Suppression
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db

# By the time of receipt: every event of these tests came then.
RANGE = {"begin": "2026-11-01", "end": "2026-11-02"}
_TABLES = ("email_sends", "prospects", "email_suppressions", "unsubscribes", "soft_bounces", "email_events")


def rows(*tables):
    """Every column of these tables as text, by table."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables or _TABLES:
            cursor.execute(f"SELECT t::text FROM {table} t ORDER BY id")  # noqa: S608 (a name from the list above)
            found[table] = hashlib.sha256("\n".join(text for (text,) in cursor.fetchall()).encode()).hexdigest()
    return found


def replay(capsys=None, **options):
    call_command("replay_events", **RANGE | options)
    return capsys.readouterr().out if capsys else ""


@pytest.fixture
def story(now, settings):
    """Four people of one campaign, and everything that happened to them."""
    settings.SOFT_BOUNCE_LIMIT = 2
    campaign = CampaignFactory()
    bounced, complained, left, full = (EmailSendFactory(campaign=campaign, accepted=True) for _ in range(4))
    again = EmailSendFactory(accepted=True, prospect=full.prospect)
    soft = {"bounceType": "Transient", "bounceSubType": "MailboxFull"}
    events.post(
        *(events.envelope(name, **events.about(bounced)) for name in ("send", "delivery", "open", "click", "bounce")),
        *(events.envelope(name, **events.about(complained)) for name in ("delivery", "complaint", "delivery_delay")),
        events.envelope("subscription", **events.about(left)),
        *(events.envelope("bounce", **events.about(send), **soft) for send in (full, again)),
        events.envelope("reject", message_id="a-stranger"),
        events.payload("sending_status_disabled"),
    )
    recording.apply_events(now=now)
    return {"bounced": bounced, "complained": complained, "left": left, "full": full}


def damage():
    """What somebody might do by hand to everything that events made."""
    EmailSend.objects.update(
        **dict.fromkeys(
            ["sent_at", "delivered_at", "delayed_at", "opened_at", "clicked_at", "bounced_at", "soft_bounced_at", "complained_at"]
        ),
        unsubscribed_at=None,
        error="",
        message_id="",
    )
    Prospect.objects.update(bounced_at=None, complained_at=None, unsubscribed_at=None)
    for model in (Suppression, Unsubscribe, SoftBounce):
        model.objects.all().delete()


def state():
    return (
        sorted(
            EmailSend.objects.values_list("pk", "status", "message_id", "error", "bounced_at", "complained_at", "soft_bounced_at")
        ),
        sorted(Prospect.objects.values_list("email", "status", "bounced_at", "complained_at")),
        sorted(Suppression.objects.values_list("email", "reason", "suppressed_at", "source")),
        sorted(Unsubscribe.objects.values_list("email", "method", "created_at", "campaign_key")),
    )


def test_a_replay_of_what_is_right_changes_no_byte(story, capsys):
    before = rows()

    told = replay(capsys)

    assert rows() == before
    assert "13 events replayed; changed: 0 mails, 0 people, 0 suppressions" in told


def test_a_replay_rebuilds_what_was_damaged_and_the_second_changes_no_byte(story):
    before = state()
    damage()
    assert state() != before

    replay()
    rebuilt, once = state(), rows()
    replay()

    assert rebuilt == before
    assert rows() == once


def test_a_replay_in_batches_of_one_comes_to_the_same(story, monkeypatch):
    before = state()
    damage()
    monkeypatch.setattr(replaying, "_BATCH", 1)

    replay()

    assert state() == before


def test_a_dry_run_says_what_it_would_do_and_does_nothing(story, capsys, caplog):
    damage()
    before = rows()

    told = replay(capsys, dry_run=True)

    assert rows() == before
    assert "would change: 5 mails, 4 people, 4 suppressions" in told
    assert "1 parked" in told
    assert "2 applied bounce" not in told
    assert "email_suppressed" not in caplog.text


def test_only_the_range_is_replayed(story, now):
    damage()
    EmailEvent.objects.exclude(message_id=story["bounced"].message_id).update(received_at=now)

    replay()

    assert EmailSend.objects.get(pk=story["bounced"].pk).status == "bounced"
    assert [row.email for row in Suppression.objects.all()] == [story["bounced"].email]


def test_what_a_person_has_taken_off_the_list_stays_off(story, now):
    for row in Suppression.objects.all():
        suppressing.lift(row, by="ada", why="they asked", now=now)
    Prospect.objects.update(bounced_at=None, complained_at=None, unsubscribed_at=None)
    before = rows()

    replay()

    assert rows() == before
    assert not Suppression.objects.exists()


def test_a_lift_of_a_weaker_reason_covers_no_stronger_one(story, now):
    complained = Suppression.objects.get(email=story["complained"].email)
    Suppression.objects.filter(pk=complained.pk).update(reason="bounce")
    complained.refresh_from_db()
    suppressing.lift(complained, by="ada", why="mailbox works again", now=now)

    replay()

    assert Suppression.objects.get(email=story["complained"].email).reason == "complaint"


def test_an_event_that_came_after_the_lift_suppresses_again(story, now):
    row = Suppression.objects.get(email=story["bounced"].email)
    suppressing.lift(row, by="ada", why="mailbox works again", now=now)
    told = events.envelope("bounce", **events.about(story["bounced"]), feedbackId="another")

    events.tell(told, received_at=now + timedelta(seconds=1))
    recording.apply_events(now=now)

    assert Suppression.objects.filter(email=story["bounced"].email).exists()


def test_nobody_is_taken_off_the_list(story, now):
    suppressing.suppress([ProspectFactory().email], reason="manual", source="ada", now=now)
    before = set(Suppression.objects.values_list("email", flat=True))
    EmailEvent.objects.all().delete()
    SoftBounce.objects.all().delete()

    replay()

    assert set(Suppression.objects.values_list("email", flat=True)) == before


def test_no_second_audit_row_is_written(story):
    before = rows("unsubscribes")

    for _ in range(2):
        replay()

    assert rows("unsubscribes") == before
    assert Unsubscribe.objects.count() == 2


def test_events_that_were_set_aside_get_another_chance(story):
    EmailEvent.objects.filter(event_type="Complaint").update(state="ignored", outcome="error: DataError: too long")
    damage()

    replay()

    assert EmailEvent.objects.get(event_type="Complaint").state == "applied"
    assert EmailSend.objects.get(pk=story["complained"].pk).status == "complained"


def test_events_that_wait_are_applied_and_so_are_parked_ones_whose_mail_a_replay_names(now):
    send = EmailSendFactory(unsettled=True)
    about = events.about(send)
    events.post(events.envelope("bounce", message_id=about["message_id"], to=send.email, tags=False))
    recording.apply_events(now=now)
    events.post(events.envelope("send", **about))

    replay()

    assert set(EmailEvent.objects.values_list("state", flat=True)) == {"applied"}
    assert EmailSend.objects.get().status == "bounced"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00.5+02:00", datetime(2026, 11, 1, 10, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-11-01 12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_it_is_meant(text, moment):
    assert replaying.parse_moment(text) == moment


def test_a_day_ends_where_the_next_begins():
    assert replaying.parse_moment("2026-11-01", end=True) == datetime(2026, 11, 2, tzinfo=UTC)
    assert replaying.parse_moment("9999-12-31", end=True) == datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30", "1", "9999-12-31T99", "2026-11-01T"])
def test_a_bad_date_is_named(text):
    with pytest.raises(CommandError, match="is not a date") as caught:
        replay(end=text)

    assert repr(text) in str(caught.value)


def test_a_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(CommandError, match="before it begins"):
        replay(begin="2026-11-02", end="2026-11-01")


@pytest.mark.parametrize("missing", ["--from", "--to"])
def test_both_ends_must_be_given(missing):
    given = {"--from": "2026-11-01", "--to": "2026-11-02"}
    del given[missing]

    with pytest.raises(CommandError, match=missing):
        call_command("replay_events", *(word for pair in given.items() for word in pair))


def test_a_replay_beyond_the_retention_says_so(capsys, settings):
    settings.EVENT_RETENTION_DAYS = 30

    assert "note: events received before" in replay(capsys, begin="2020-01-01")


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OperationalError("terminated")])
def test_a_replay_that_breaks_off_says_from_where_to_go_on(story, monkeypatch, trouble):
    before = state()
    damage()
    monkeypatch.setattr(replaying, "_BATCH", 4)
    apply, calls = recording.apply, []

    def break_off(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise trouble
        return apply(*args, **kwargs)

    monkeypatch.setattr(recording, "apply", break_off)
    with pytest.raises(CommandError) as caught:
        replay()
    replay(begin=str(caught.value).rpartition("--from ")[2])

    assert state() == before
