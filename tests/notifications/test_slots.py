"""The slots of one delivery, and how urgent mail and others who reserve some move them."""

import time

import pytest

from notifications import delivering, pacing, slots
from notifications.models import SendPace
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from tests.notifications.deliveries import FakeLedger, mails, message

pytestmark = pytest.mark.django_db


def test_slots_far_ahead_are_not_waited_for():
    pacing.reserve(1, rate=5)
    pacing.hold(60)

    report = delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=5)

    assert report.held


def test_an_urgent_mail_goes_ahead_of_reserved_slots():
    pacing.reserve(1000, rate=5)
    ledger = FakeLedger()

    report = delivering.deliver(mails(1), ledger=ledger, transport=MemoryTransport(), rate=5, urgent=True)

    assert not report.held
    assert ledger.outcomes[0].verdict is Verdict.ACCEPTED


def test_the_pause_that_ses_asked_for_outlasts_the_slots_that_are_given_back():
    transport = MemoryTransport(lambda _message: Outcome(Verdict.WAIT, error="out of reach", retry_after=5))

    delivering.deliver(mails(40), ledger=FakeLedger(), transport=transport, rate=5)  # eight seconds of slots

    assert pacing.reserve(1, rate=5).wait > 3


def test_a_throttle_that_another_worker_met_ends_a_delivery_at_the_old_pace():
    class BesideAnother(FakeLedger):
        def start(self, ids):
            if 5 in ids:
                pacing.slow_down()
            return super().start(ids)

    ledger = BesideAnother()
    report = delivering.deliver(mails(100), ledger=ledger, transport=MemoryTransport(), rate=50)

    assert len(ledger.started) == 10
    assert not report.held


def test_urgent_mail_that_a_stall_held_up_takes_new_slots():
    ledger, taken = FakeLedger(), pacing.reserve_urgent(1, rate=5).urgent_taken
    ledger.start = lambda ids: time.sleep(0.5 if 0 in ids else 0) or set(ids)

    delivering.deliver(mails(3), ledger=ledger, transport=MemoryTransport(), rate=5, urgent=True)

    assert pacing.reserve_urgent(1, rate=5).urgent_taken - taken >= 3 + 2 + 1


def test_urgent_slots_are_not_lost_while_messages_are_made(monkeypatch):
    order, reserve = [], pacing.reserve_urgent
    monkeypatch.setattr(pacing, "reserve_urgent", lambda *args, **more: order.append("reserved") or reserve(*args, **more))
    mail = delivering.Mail(1, lambda: order.append("made") or message())

    delivering.deliver([mail], ledger=FakeLedger(), transport=MemoryTransport(), rate=5, urgent=True)

    assert order[:2] == ["made", "reserved"]


def test_urgent_mail_that_cannot_leave_soon_moves_nobodys_slots():
    delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=0.05, urgent=True)
    before = SendPace.objects.get()

    report = delivering.deliver(mails(1), ledger=FakeLedger(), transport=MemoryTransport(), rate=0.05, urgent=True)

    after = SendPace.objects.get()
    assert report.held
    assert (after.urgent_slot_at, after.next_slot_at) == (before.urgent_slot_at, before.next_slot_at)


def test_a_delivery_that_finds_no_slot_nearby_takes_none_from_those_that_do(monkeypatch):
    pacing.reserve(50, rate=5)
    # What is given back is lost when others have reserved behind it.
    monkeypatch.setattr(pacing, "give_back", lambda _slots, *, used: None)
    before = SendPace.objects.get().next_slot_at

    report = delivering.deliver(mails(5), ledger=FakeLedger(), transport=MemoryTransport(), rate=5)

    assert report.held
    assert SendPace.objects.get().next_slot_at == before


def test_late_slots_that_cannot_be_replaced_nearby_end_the_delivery():
    ledger = FakeLedger()
    ledger.start = lambda ids: (pacing.reserve(600, rate=10) and time.sleep(1.2)) or set(ids)

    report = delivering.deliver(mails(3), ledger=ledger, transport=MemoryTransport(), rate=10)

    assert report.held


def test_of_a_delivery_that_ends_early_the_slots_that_were_used_are_not_given_back(monkeypatch):
    given, starts, ledger = [], [], FakeLedger()
    monkeypatch.setattr(pacing, "give_back", lambda _slots, *, used: given.append(used))
    ledger.start = lambda ids: starts.append(ids) or (set(ids) if len(starts) == 1 else set())

    delivering.deliver(mails(30), ledger=ledger, transport=MemoryTransport(), rate=100)

    assert sum(given) == len(starts[0]) == 10


def test_slots_that_passed_are_given_back_before_others_are_taken(monkeypatch):
    taken, reserve, ledger = [], pacing.reserve, FakeLedger()
    monkeypatch.setattr(pacing, "reserve", lambda *args, **words: taken.append(reserve(*args, **words)) or taken[-1])
    ledger.start = lambda ids: time.sleep(0.5) or (set(ids) if len(taken) == 1 else set())

    delivering.deliver(mails(60), ledger=ledger, transport=MemoryTransport(), rate=10)

    first, second = taken
    assert second.first < first.at(first.count)


def test_urgent_mail_that_comes_while_a_mail_waits_for_its_slot_goes_first(monkeypatch):
    pacing.reserve(5, rate=10)
    urgent, began, record_until = [], [], delivering._Delivery._record_until

    def and_urgent_mail_comes(self, moment):
        urgent.append(pacing.reserve_urgent(3, rate=10) if not urgent else None)
        record_until(self, moment)

    monkeypatch.setattr(delivering._Delivery, "_record_until", and_urgent_mail_comes)
    transport = MemoryTransport(lambda _message: began.append(time.monotonic()) or Outcome(Verdict.ACCEPTED))

    delivering.deliver(mails(1), ledger=FakeLedger(), transport=transport, rate=10)

    # Three slots later than the half second that was reserved before it.
    assert began[0] - urgent[0].at(0) > 0.6


def test_urgent_mail_does_not_make_room_for_urgent_mail_that_comes_later():
    began, ledger = [], FakeLedger()
    ledger.start = lambda ids: pacing.reserve_urgent(20, rate=5) and set(ids)
    transport = MemoryTransport(lambda _message: began.append(time.monotonic()) or Outcome(Verdict.ACCEPTED))

    delivering.deliver(mails(2), ledger=ledger, transport=transport, rate=5, urgent=True)

    # Those twenty slots are four seconds.
    assert began[1] - began[0] < 2


def test_a_mail_that_urgent_mail_moves_again_and_again_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(slots, "LONGEST_WAIT", 60.0)
    pacing.reserve(300, rate=10)
    signs, record_until, ledger = [], delivering._Delivery._record_until, FakeLedger()
    ledger.give_sign_of_life = lambda: signs.append(time.monotonic())

    def and_urgent_mail_comes(self, moment):
        pacing.reserve_urgent(30, rate=10)
        # Not until the slot, which urgent mail moves by three seconds more each time.
        record_until(self, time.monotonic() + 0.06)

    monkeypatch.setattr(delivering._Delivery, "_record_until", and_urgent_mail_comes)

    report = delivering.deliver(mails(1), ledger=ledger, transport=MemoryTransport(), rate=10)

    assert (report.held, ledger.started) == (True, [])
    assert len(signs) > 5
