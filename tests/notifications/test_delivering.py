import time

import pytest

from notifications import delivering, pacing
from notifications.messages import OutgoingMessage, UnsendableMessage
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport

pytestmark = pytest.mark.django_db


class FakeLedger:
    """Keeps the rows in memory; `allowed` says which may start."""

    def __init__(self, allowed=None):
        self.allowed = allowed
        self.started: list[int] = []
        self.outcomes: dict[int, Outcome] = {}

    def start(self, ids):
        may = [id_ for id_ in ids if self.allowed is None or id_ in self.allowed]
        self.started += may
        return set(may)

    def record(self, settled):
        self.outcomes |= {one.id: one.outcome for one in settled}


def message(to="a@example.com"):
    return OutgoingMessage(to=to, from_email="b@example.com", subject="s", html="h", text="t")


def mails(count):
    return [delivering.Mail(i, lambda i=i: message(f"p{i}@example.com")) for i in range(count)]


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


def test_slots_far_ahead_are_not_waited_for():
    pacing.reserve(1, rate=5)
    pacing.hold(60)

    report = delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=5)

    assert report.held


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
            time.sleep(0.5)
            return super().send(message)

    ledger, began = FakeLedger(), time.monotonic()

    delivering.deliver(mails(20), ledger=ledger, transport=Slow(), rate=20)

    # One after the other they would take ten seconds.
    assert time.monotonic() - began < 5
    assert len(ledger.outcomes) == 20


@pytest.mark.parametrize(("rate", "together"), [(5, 1), (399, 1), (400, 10), (1000, 25), (2000, 50), (100_000, 50)])
def test_mails_share_a_call_when_the_rate_is_worth_it(rate, together):
    assert delivering.mails_together(MemoryTransport(most_together=50), rate) == together


def test_a_transport_that_takes_one_mail_a_call_gets_one():
    assert delivering.mails_together(MemoryTransport(), 100_000) == 1


def test_at_a_high_rate_every_mail_is_sent_once_in_few_calls():
    ledger, transport = FakeLedger(), MemoryTransport(most_together=50)

    delivering.deliver(mails(1000), ledger=ledger, transport=transport, rate=20_000)

    assert len({m.to for m in transport.sent}) == len(transport.sent) == len(ledger.outcomes) == 1000
    assert len(transport.parcels) == 20


def test_the_outcomes_of_a_shared_call_belong_to_their_mails():
    refused = Outcome(Verdict.REFUSED, error="bad")
    transport = MemoryTransport(lambda m: refused if m.to == "p7@example.com" else Outcome(Verdict.ACCEPTED), most_together=50)
    ledger = FakeLedger()

    delivering.deliver(mails(50), ledger=ledger, transport=transport, rate=20_000)

    assert [id_ for id_, outcome in ledger.outcomes.items() if outcome.verdict is Verdict.REFUSED] == [7]


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


def test_an_urgent_mail_goes_ahead_of_reserved_slots():
    pacing.reserve(1000, rate=5)
    ledger = FakeLedger()

    report = delivering.deliver(mails(1), ledger=ledger, transport=MemoryTransport(), rate=5, urgent=True)

    assert not report.held
    assert ledger.outcomes[0].verdict is Verdict.ACCEPTED


def test_a_rate_throttle_lowers_the_pace_and_other_troubles_do_not(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    for throttled in (False, True):
        answer = Outcome(Verdict.WAIT, error="later", throttled=throttled)
        delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(lambda _m, a=answer: a), rate=40)

        assert (pacing.allowed_rate() < 30) is throttled


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_calls_are_not_squeezed_together_after_a_late_one(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr(delivering, "time", clock)
    delivery = delivering._Delivery([], ledger=FakeLedger(), transport=MemoryTransport(), rate=5)

    calls = []
    for slot in (99.85, 100.05, 100.25, 100.45):  # the first was missed by 0.15 s
        delivery._wait_for_slot(slot, 0.2)
        calls.append(clock.now)

    assert calls == pytest.approx([100.0, 100.18, 100.36, 100.54])


def test_a_call_that_a_stall_held_up_is_not_made_and_the_mail_waits(monkeypatch):
    monkeypatch.setattr(delivering, "_TOO_LATE", -1.0)
    ledger, transport = FakeLedger(), MemoryTransport()

    delivering.deliver(mails(1), ledger=ledger, transport=transport, rate=5)

    assert transport.sent == []
    assert ledger.outcomes[0].verdict is Verdict.WAIT


def test_the_log_line_has_the_keys_of_the_mission(caplog):
    with caplog.at_level("INFO", logger="notifications"):
        delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=1000)

    line = next(r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "email_sent")
    assert {"message_id", "to", "subject", "template_name", "duration_ms"} <= set(line)
