import threading
import time

import pytest
from django.db import OperationalError

from notifications import calling, delivering, pacing
from notifications.messages import UnsendableMessage
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from tests.notifications.deliveries import FakeLedger, mails, message

pytestmark = pytest.mark.django_db


def test_every_mail_is_sent_once_and_recorded():
    ledger, transport = FakeLedger(), MemoryTransport()

    delivering.deliver(mails(50), ledger=ledger, transport=transport, rate=1000)

    assert sorted(m.to for m in transport.sent) == sorted(f"p{i}@example.com" for i in range(50))
    assert {o.verdict for o in ledger.outcomes.values()} == {Verdict.ACCEPTED}
    assert len(ledger.outcomes) == 50


def test_a_mail_that_the_ledger_does_not_start_is_not_sent():
    ledger, transport = FakeLedger(allowed={0, 2}), MemoryTransport()

    delivering.deliver(mails(3), ledger=ledger, transport=transport, rate=1000)

    assert {m.to for m in transport.sent} == {"p0@example.com", "p2@example.com"}


def test_a_ledger_that_starts_nothing_ends_the_delivery():
    ledger = FakeLedger(allowed=set())

    delivering.deliver(mails(500), ledger=ledger, transport=MemoryTransport(), rate=1000)

    assert not ledger.outcomes


def test_a_halt_stops_the_rest_and_says_why():
    transport = MemoryTransport(lambda _message: Outcome(Verdict.HALT, error="account paused"))
    ledger = FakeLedger()

    report = delivering.deliver(mails(20), ledger=ledger, transport=transport, rate=20)

    assert report.halted == "account paused"
    assert len(ledger.started) < 20


def test_a_throttle_holds_the_pace_of_all_workers():
    transport = MemoryTransport(lambda _message: Outcome(Verdict.WAIT, error="throttled", retry_after=60))

    report = delivering.deliver(mails(2), ledger=FakeLedger(), transport=transport, rate=5)

    assert not report.halted
    assert pacing.reserve(1, rate=5).wait > 50


def test_a_message_that_cannot_be_made_fails_without_a_call():
    def broken():
        raise UnsendableMessage("subject", "holds a line break")

    ledger, transport = FakeLedger(), MemoryTransport()

    delivering.deliver([delivering.Mail(7, broken), *mails(1)], ledger=ledger, transport=transport, rate=1000)

    assert ledger.outcomes[7].verdict is Verdict.REFUSED
    assert [m.to for m in transport.sent] == ["p0@example.com"]


def test_what_left_is_recorded_even_when_the_ledger_breaks_meanwhile():
    class Breaking(FakeLedger):
        def start(self, ids):
            if self.started:
                raise ConnectionError("the database went away")
            return super().start(ids)

    ledger = Breaking()

    with pytest.raises(ConnectionError):
        delivering.deliver(mails(2), ledger=ledger, transport=MemoryTransport(), rate=5)

    assert ledger.outcomes[0].verdict is Verdict.ACCEPTED


def test_a_transport_that_answers_slowly_does_not_lower_the_pace():
    class Slow(MemoryTransport):
        def send(self, message):
            # Answers come when five calls wait for theirs.
            together.wait()
            return super().send(message)

    ledger, together = FakeLedger(), threading.Barrier(5, timeout=60)

    delivering.deliver(mails(20), ledger=ledger, transport=Slow(), rate=20)

    assert {outcome.verdict for outcome in ledger.outcomes.values()} == {Verdict.ACCEPTED}
    assert len(ledger.outcomes) == 20


def test_further_mails_are_fetched_until_there_are_none():
    chunks = [mails(3), [delivering.Mail(9, lambda: message("nine@example.com"))], []]
    ledger = FakeLedger()

    delivering.deliver(chunks.pop(0), ledger=ledger, transport=MemoryTransport(), rate=1000, more=lambda: chunks.pop(0))

    assert sorted(ledger.outcomes) == [0, 1, 2, 9]


def test_nothing_is_fetched_after_a_stop():
    def more():
        raise AssertionError

    ledger = FakeLedger(allowed=set())

    delivering.deliver(mails(3), ledger=ledger, transport=MemoryTransport(), rate=1000, more=more)


def test_a_rate_throttle_lowers_the_pace_and_other_troubles_do_not(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    for throttled in (False, True):
        answer = Outcome(Verdict.WAIT, error="later", throttled=throttled)
        delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(lambda _m, a=answer: a), rate=40)

        assert (pacing.allowed_rate() < 30) is throttled


def test_answers_are_recorded_although_the_pace_cannot_be_lowered(monkeypatch):
    def cut_off(_seconds):
        raise OperationalError("terminating connection due to administrator command")

    monkeypatch.setattr(pacing, "hold", cut_off)
    ledger = FakeLedger()
    transport = MemoryTransport(lambda _message: Outcome(Verdict.WAIT, error="out of reach", retry_after=5))

    with pytest.raises(OperationalError):
        delivering.deliver(mails(1), ledger=ledger, transport=transport, rate=5)

    assert ledger.outcomes[0].verdict is Verdict.WAIT


def test_a_run_of_refusals_ends_the_delivery_before_it_has_burnt_the_list():
    transport = MemoryTransport(lambda _message: Outcome(Verdict.REFUSED, error="never"), most_together=50)
    ledger = FakeLedger()

    delivering.deliver(mails(2000), ledger=ledger, transport=transport, rate=2000, most_refused=20)

    refused = [one for one in ledger.outcomes.values() if one.verdict is Verdict.REFUSED]
    assert 20 <= len(refused) <= 200


def test_what_cannot_be_made_counts_as_refused():
    def unsendable():
        raise UnsendableMessage("subject", "it is empty")

    ledger = FakeLedger()
    some = [delivering.Mail(number, unsendable) for number in range(100)]

    delivering.deliver(some, ledger=ledger, transport=MemoryTransport(), rate=100, most_refused=20)

    assert len(ledger.outcomes) == 20


def test_whoever_was_checked_before_a_long_wait_for_the_database_is_not_called(monkeypatch):
    monkeypatch.setattr(calling, "_TOO_LATE", 0.2)

    class Waiting(FakeLedger):
        def start(self, ids):
            time.sleep(0.3)  # for a lock; what it knows is what was true when it began
            return super().start(ids)

    ledger, transport = Waiting(), MemoryTransport()
    delivering.deliver(mails(3), ledger=ledger, transport=transport, rate=100)

    assert transport.sent == []
    assert {one.verdict for one in ledger.outcomes.values()} == {Verdict.WAIT}


def test_a_mail_that_cannot_be_made_has_its_line(caplog):
    def unmakeable():
        raise UnsendableMessage("reply_to", "not an address")

    delivering.deliver([delivering.Mail(7, unmakeable)], ledger=FakeLedger(), transport=MemoryTransport(), rate=1000)

    line = next(r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "email_send_failed")
    assert (line["row_id"], line["error"]) == (7, "reply_to: not an address")


def test_the_log_line_has_the_keys_of_the_mission(caplog):
    with caplog.at_level("INFO", logger="notifications"):
        delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=1000)

    line = next(r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "email_sent")
    assert {"message_id", "to", "subject", "template_name", "duration_ms"} <= set(line)
