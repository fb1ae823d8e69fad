"""When SES refuses one sender, all of them, or says nothing: who waits in the outbox, and for how long."""

from datetime import timedelta

import pytest
from django.utils import timezone

from notifications import claiming, dispatching
from notifications.models import TransactionalEmail
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from notifications.transports.ses_answers import judge_entry
from tests.notifications import outbox

pytestmark = pytest.mark.django_db

NOT_VERIFIED = judge_entry({"Status": "MESSAGE_REJECTED", "Error": "Email address is not verified."})


def refusing(*addresses):
    """SES that accepts all but the mail to these."""
    return MemoryTransport(lambda message: NOT_VERIFIED if message.to in addresses else Outcome(Verdict.ACCEPTED))


def statuses():
    return dict(TransactionalEmail.objects.order_by("id").values_list("email", "status"))


def let_time_pass(seconds):
    for mail in TransactionalEmail.objects.exclude(retry_at=None):
        TransactionalEmail.objects.filter(pk=mail.pk).update(retry_at=mail.retry_at - timedelta(seconds=seconds))


def test_a_sender_that_ses_does_not_accept_holds_up_its_own_mail_only():
    for name in ("stranger", "ada", "grace"):
        outbox.posted(to=f"{name}@example.com")

    outbox.send(refusing("stranger@example.com"))

    assert statuses() == {"stranger@example.com": "queued", "ada@example.com": "sent", "grace@example.com": "sent"}
    assert "not verified" in TransactionalEmail.objects.get(status="queued").error


def test_those_who_wait_behind_many_bad_senders_get_their_turn():
    bad = [f"bad{n}@example.com" for n in range(40)]
    for address in [*bad, "ada@example.com"]:
        outbox.posted(to=address)
    transport = refusing(*bad)

    outbox.send(transport)
    asked = len(transport.parcels)
    outbox.send(transport)

    assert statuses()["ada@example.com"] == "sent"
    assert asked == len(transport.parcels) == 41


def test_a_refused_sender_is_tried_again_after_five_minutes():
    outbox.posted()
    outbox.send(refusing("ada@example.com"))

    let_time_pass(299)
    assert outbox.send().sent == []
    let_time_pass(2)

    assert len(outbox.send().sent) == 1


@pytest.mark.parametrize("rate", [5.0, 20.0])
def test_an_ses_that_says_nothing_is_given_a_rest(settings, monkeypatch, rate):
    settings.SES_MAX_SEND_RATE = rate
    monkeypatch.setattr(dispatching, "_TASK_SECONDS", 60.0)
    for n in range(30):
        outbox.posted(to=f"p{n}@example.com")
    silent = MemoryTransport(lambda _message: Outcome(Verdict.UNKNOWN, error="InternalFailure"))

    again = dispatching.send_waiting(transport=silent, clock=timezone.now)

    unknown = TransactionalEmail.objects.filter(status="unknown").count()
    assert (again, 6 <= unknown < 15) == (False, True)
    assert TransactionalEmail.objects.filter(status="queued", retry_at__gt=timezone.now()).count() == 30 - unknown


def without_an_answer(now, *, mails=6, error="InternalFailure"):
    for n in range(mails):
        mail = outbox.posted(to=f"p{n}@example.com")
        TransactionalEmail.objects.filter(pk=mail.pk).update(call_started_at=now, unknown_at=now, error=error)


def test_a_few_of_many_without_an_answer_are_no_silence(now):
    without_an_answer(now)
    assert claiming.is_silent(now=now)

    TransactionalEmail.objects.bulk_create(
        [TransactionalEmail(email=f"q{n}@example.com", call_started_at=now, sent_at=now) for n in range(600)]
    )

    assert not claiming.is_silent(now=now)


def test_a_silence_is_over_after_a_minute(now):
    without_an_answer(now)

    assert claiming.is_silent(now=now + timedelta(seconds=59))
    assert not claiming.is_silent(now=now + timedelta(seconds=61))


def test_workers_that_died_say_nothing_about_ses(now):
    without_an_answer(now, error=claiming._LOST_DURING_CALL)

    assert not claiming.is_silent(now=now)


def test_an_ses_that_answers_again_gives_nobody_a_rest(settings, monkeypatch, now):
    settings.SES_MAX_SEND_RATE = 5.0  # and so many are claimed at once
    monkeypatch.setattr(dispatching, "_TASK_SECONDS", 60.0)
    without_an_answer(now)
    for n in range(6):
        outbox.posted(to=f"q{n}@example.com")

    dispatching.send_waiting(transport=MemoryTransport(), clock=timezone.now)

    assert [statuses()[f"q{n}@example.com"] for n in range(6)] == ["sent"] * 6


def test_mail_that_does_not_reach_ses_is_tried_once_a_turn_so_that_campaigns_find_slots():
    for n in range(60):
        outbox.posted(to=f"p{n}@example.com")
    away = Outcome(Verdict.WAIT, error="ConnectTimeoutError: x", retry_after=0.01, unreached=True)
    transport = MemoryTransport(lambda _message: away)

    again = dispatching.send_waiting(transport=transport, clock=timezone.now)

    assert not again
    assert TransactionalEmail.objects.filter(status="queued").count() == 60
