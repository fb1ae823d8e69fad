"""Which mails share a call to SES, and that each keeps its own outcome."""

from dataclasses import replace
from functools import partial

import pytest

from notifications import delivering, pacing
from notifications.messages import Attachment
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport
from notifications.transports.ses_answers import judge_entry
from tests.notifications.deliveries import FakeLedger, mails, message

pytestmark = pytest.mark.django_db


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


def test_mails_that_may_not_share_a_call_go_alone_and_the_others_together():
    def make(number):
        attachments = (Attachment(name="a.txt", content=b"a", content_type="text/plain"),) if number in {3, 7} else ()
        return replace(message(f"p{number}@example.com"), attachments=attachments)

    ledger, transport = FakeLedger(), MemoryTransport(most_together=50)
    some = [delivering.Mail(number, partial(make, number)) for number in range(52)]

    delivering.deliver(some, ledger=ledger, transport=transport, rate=20_000)

    assert sorted(transport.parcels) == [1, 1, 50]
    assert len(ledger.outcomes) == 52


def test_when_nearly_all_go_alone_they_are_started_in_small_groups():
    groups = []

    class Watching(FakeLedger):
        def start(self, ids):
            groups.append(len(ids))
            return super().start(ids)

    alone = replace(message(), attachments=(Attachment(name="a.txt", content=b"a", content_type="text/plain"),))
    ledger, transport = Watching(), MemoryTransport(most_together=50)

    delivering.deliver([delivering.Mail(n, lambda: alone) for n in range(120)], ledger=ledger, transport=transport, rate=20_000)

    assert (groups, len(ledger.outcomes), set(transport.parcels)) == ([50, 50, 20], 120, {1})


TRANSIENT = judge_entry({"Status": "TRANSIENT_FAILURE", "Error": "try later"})


def test_a_mail_that_waits_for_a_reason_of_its_own_holds_up_nobody():
    transport = MemoryTransport(lambda m: TRANSIENT if m.to == "p7@example.com" else Outcome(Verdict.ACCEPTED), most_together=50)
    ledger = FakeLedger()

    delivering.deliver(mails(1000), ledger=ledger, transport=transport, rate=20_000)

    assert [id_ for id_, outcome in ledger.outcomes.items() if outcome.verdict is not Verdict.ACCEPTED] == [7]
    assert pacing.reserve(1, rate=1000).wait < 1


def test_when_all_mails_of_a_call_must_wait_so_does_everybody():
    transport = MemoryTransport(lambda _m: TRANSIENT, most_together=50)

    delivering.deliver(mails(5000), ledger=FakeLedger(), transport=transport, rate=5000)

    assert len(transport.parcels) < 50
    assert pacing.reserve(1, rate=1000).wait > 3
