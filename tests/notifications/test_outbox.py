"""From the outbox to the transport: at most once, and nobody who must not be written to."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection

from notifications import claiming, delivering, dispatching, ledgers, pacing, posting, recording
from notifications.models import TransactionalContent, TransactionalEmail
from notifications.transports.base import Account, Outcome, Verdict
from notifications.transports.log import LogTransport
from notifications.transports.memory import MemoryTransport
from tests import events
from tests.factories import SuppressionFactory
from tests.notifications import outbox

pytestmark = pytest.mark.django_db


def answering(verdict, **more):
    return MemoryTransport(lambda _message: Outcome(verdict, **more))


def fresh(mail):
    return TransactionalEmail.objects.get(pk=mail.pk)


def set_columns(mail, sql):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE transactional_emails SET {sql} WHERE id = %s", [mail.pk])  # noqa: S608


def test_a_mail_leaves_with_its_tags_and_without_list_headers(settings):
    settings.SES_CONFIGURATION_SET = "events"
    mail = outbox.posted()

    (message,) = outbox.send().sent

    assert (message.to, message.template_name, message.configuration_set) == (
        "ada@example.com",
        "issuer-onboarding-invite",
        "events",
    )
    assert dict(message.tags) == {"send_id": mail.send_id, "kind": "transactional"}
    assert message.headers == ()
    assert mail.send_id.startswith("t-")
    assert "You are invited to Engines &amp; Co" in message.html
    assert fresh(mail).status == "sent"


def test_nothing_is_sent_twice():
    outbox.posted()

    assert len(outbox.send().sent) == 1
    assert outbox.send().sent == []


def test_in_log_mode_the_row_and_the_log_line_agree_and_the_id_is_marked(caplog):
    mail = outbox.posted()
    with caplog.at_level("INFO", logger="notifications"):
        outbox.send(LogTransport())

    (line,) = [r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "email_sent"]
    row = fresh(mail)
    assert row.message_id.startswith("log-")
    assert (line["message_id"], line["to"], line["subject"], line["template_name"]) == (
        row.message_id,
        row.email,
        row.subject,
        row.template_name,
    )


def test_who_is_suppressed_before_the_claim_is_skipped():
    mail = outbox.posted()
    SuppressionFactory(email=mail.email, reason="bounce")

    assert outbox.send().sent == []
    assert (fresh(mail).status, fresh(mail).skip_reason) == ("skipped", "suppressed")


def test_who_left_the_outreach_after_the_post_still_gets_it():
    mail = outbox.posted()
    SuppressionFactory(email=mail.email, reason="unsubscribe")

    assert [message.to for message in outbox.send().sent] == [mail.email]


def test_who_is_suppressed_between_claim_and_call_is_not_called(monkeypatch):
    mail = outbox.posted()
    make = posting.message_of

    def suppressed_meanwhile(email_id):
        SuppressionFactory(email=mail.email, reason="complaint")
        return make(email_id)

    monkeypatch.setattr(posting, "message_of", suppressed_meanwhile)

    assert outbox.send().sent == []
    assert fresh(mail).status == "skipped"


def test_the_call_is_committed_as_started_before_it_is_made():
    mail, seen = outbox.posted(), []
    ids, _ = claiming.claim(slice_id=(slice_id := uuid.uuid4()), limit=5, lease=30)
    ledger = claiming.TransactionalLedger(slice_id=slice_id, call_lease=80)

    seen.append(fresh(mail).call_started_at)
    assert ledger.start(ids) == {mail.pk}
    assert seen == [None]
    assert fresh(mail).call_started_at is not None
    assert ledger.start(ids) == set()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(Verdict.REFUSED, error="bad address"), "failed"),
        (Outcome(Verdict.UNKNOWN, error="timed out"), "unknown"),
        (Outcome(Verdict.WAIT, error="throttled", retry_after=60), "queued"),
        (Outcome(Verdict.HALT, error="paused"), "queued"),
    ],
)
def test_what_ses_answered_is_stored(outcome, status):
    mail = outbox.posted()

    outbox.send(MemoryTransport(lambda _message: outcome))

    assert (fresh(mail).status, fresh(mail).error) == (status, outcome.error)
    assert fresh(mail).call_started_at is None if status == "queued" else fresh(mail).call_started_at


def test_an_unknown_mail_is_never_sent_again_by_itself():
    mail = outbox.posted()
    outbox.send(answering(Verdict.UNKNOWN, error="timed out"))

    assert outbox.send().sent == []
    assert fresh(mail).status == "unknown"


def test_after_a_halt_everything_rests_and_a_new_mail_tries_at_once():
    first, second = outbox.posted(), outbox.posted("bob@example.com")
    outbox.send(answering(Verdict.HALT, error="account paused"))

    assert outbox.send().sent == []
    assert {fresh(first).error, fresh(second).error} == {"account paused"}
    third = outbox.posted("carl@example.com")
    assert [message.to for message in outbox.send().sent] == [third.email]


def test_what_rested_leaves_when_its_time_has_come(now):
    mail = outbox.posted()
    outbox.send(answering(Verdict.HALT, error="account paused"))
    set_columns(mail, "retry_at = clock_timestamp()")

    assert len(outbox.send().sent) == 1
    assert (fresh(mail).status, fresh(mail).error) == ("sent", "")


def test_a_lease_that_ends_before_the_call_waits_again_and_after_it_is_unknown():
    waiting, called = outbox.posted(), outbox.posted("bob@example.com")
    ids, _ = claiming.claim(slice_id=(slice_id := uuid.uuid4()), limit=5, lease=30)
    claiming.TransactionalLedger(slice_id=slice_id, call_lease=80).start([called.pk])
    for mail in (waiting, called):
        set_columns(mail, "lease_until = clock_timestamp() - interval '1 second'")

    assert claiming.reclaim_expired() == {"queued": 1, "unknown": 1}
    assert (fresh(waiting).status, fresh(called).status) == ("queued", "unknown")
    assert len(ids) == 2


def test_a_lease_given_by_a_clock_that_was_set_back_ends():
    mail = outbox.posted()
    claiming.claim(slice_id=uuid.uuid4(), limit=5, lease=30)
    set_columns(mail, "lease_until = clock_timestamp() + interval '1 hour'")

    assert claiming.reclaim_expired() == {"queued": 1}


def test_a_late_answer_of_a_worker_that_lost_its_lease_counts_only_when_it_is_an_acceptance():
    mail = outbox.posted()
    ids, _ = claiming.claim(slice_id=(slice_id := uuid.uuid4()), limit=5, lease=30)
    ledger = claiming.TransactionalLedger(slice_id=slice_id, call_lease=80)
    ledger.start(ids)
    set_columns(mail, "lease_until = clock_timestamp() - interval '1 second'")
    claiming.reclaim_expired()

    ledger.record([ledgers.Settled(mail.pk, Outcome(Verdict.REFUSED, error="no"), 0.0)])
    assert fresh(mail).status == "unknown"
    ledger.record([ledgers.Settled(mail.pk, Outcome(Verdict.ACCEPTED, message_id="m-1"), 0.0)])
    assert (fresh(mail).status, fresh(mail).message_id) == ("sent", "m-1")


def test_an_event_settles_an_unknown_mail_by_its_tag(now):
    mail = outbox.posted()
    outbox.send(answering(Verdict.UNKNOWN, error="timed out"))
    events.post(events.envelope("delivery", to=mail.email, send_id=mail.send_id, message_id="0102-x"))

    recording.apply_events(now=now)

    assert (fresh(mail).status, fresh(mail).message_id) == ("delivered", "0102-x")


def test_a_bounce_marks_the_mail_and_suppresses_the_address(now):
    mail = outbox.posted()
    outbox.send()
    mail = fresh(mail)
    events.post(events.envelope("bounce", to=mail.email, send_id=mail.send_id, message_id=mail.message_id))

    recording.apply_events(now=now)

    assert fresh(mail).status == "bounced"
    assert fresh(mail).error
    with pytest.raises(posting.EmailSuppressed):
        outbox.posted()


def test_an_event_that_comes_before_the_answer_of_ses_is_not_lost(now):
    mail = outbox.posted()
    events.post(events.envelope("delivery", to=mail.email, message_id="memory-1", tags=False))
    recording.apply_events(now=now)

    outbox.send()
    recording.apply_events(now=now)

    assert fresh(mail).status == "delivered"


def test_a_tag_never_moves_an_event_to_a_mail_with_another_message_id(now):
    mail = outbox.posted()
    outbox.send()
    events.post(events.envelope("bounce", to=mail.email, send_id=mail.send_id, message_id="somebody-elses"))

    recording.apply_events(now=now)

    assert fresh(mail).status == "sent"


def test_what_a_mail_said_is_forgotten_when_it_is_settled():
    outbox.posted()
    assert TransactionalContent.objects.count() == 1

    outbox.send()

    assert not TransactionalContent.objects.exists()


def test_what_a_mail_said_is_kept_as_long_as_configured(settings, now):
    settings.EMAIL_CONTENT_DAYS = 30
    outbox.posted()
    outbox.send()

    assert claiming.forget_contents(days=30, now=now + timedelta(days=29)) == 0
    assert claiming.forget_contents(days=30, now=now + timedelta(days=31)) == 1


def test_what_an_unknown_mail_said_stays_for_somebody_who_must_decide(now):
    outbox.posted()
    outbox.send(answering(Verdict.UNKNOWN, error="timed out"))

    assert claiming.forget_contents(days=0, now=now + timedelta(days=6)) == 0
    assert claiming.forget_contents(days=0, now=now + timedelta(days=8)) == 1


def test_what_could_not_leave_for_a_day_fails_and_says_so(now):
    mail = outbox.posted()

    assert claiming.give_up(hours=24, now=now + timedelta(hours=23)) == 0
    assert claiming.give_up(hours=24, now=now + timedelta(hours=25)) == 1
    assert fresh(mail).status == "failed"
    assert "24 hours" in fresh(mail).error


def test_the_sweep_sends_what_nobody_took_and_says_when_something_waits(now):
    transport = MemoryTransport()
    assert not dispatching.sweep(transport=transport, clock=lambda: now)
    outbox.posted(now=now)

    assert dispatching.sweep(transport=transport, clock=lambda: now + timedelta(seconds=5))
    assert transport.sent == []
    dispatching.sweep(transport=transport, clock=lambda: now + timedelta(seconds=11))
    assert len(transport.sent) == 1


def test_when_slots_are_out_of_reach_the_claims_go_back_and_the_sweep_looks_again(monkeypatch):
    mail = outbox.posted()
    monkeypatch.setattr(delivering, "deliver", lambda *_args, **_more: delivering.Report(held=True))

    assert not dispatching.send_waiting(transport=MemoryTransport(), clock=None)
    assert (fresh(mail).status, fresh(mail).claimed_by) == ("queued", None)


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_woken_after_the_commit(monkeypatch):
    woken = []
    monkeypatch.setattr("notifications.waking.send_transactional_soon", lambda: woken.append(TransactionalEmail.objects.count()))

    outbox.posted()

    assert woken == [1]


def test_it_has_a_queue_of_its_own():
    from celery import current_app

    route = current_app.amqp.router.route({}, "notifications.tasks.send_transactional")
    assert route["queue"].name == "transactional"


def test_without_campaigns_too_the_rate_of_the_account_is_heeded(settings, now):
    settings.EMAIL_MODE, settings.SES_MAX_SEND_RATE = "ses", 50.0
    transport = MemoryTransport()
    transport.allows = Account(1.0, 200.0, 0.0, sending_enabled=True, in_sandbox=True)

    dispatching.sweep(transport=transport, clock=lambda: now)

    assert pacing.allowed_rate() == 1.0
