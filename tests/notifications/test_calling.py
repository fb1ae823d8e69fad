import pytest

from notifications import calling
from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Verdict
from notifications.transports.memory import MemoryTransport


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr(calling, "time", clock)
    return clock


def started(number=1, moment=100.0):
    message = OutgoingMessage(to=f"p{number}@example.com", from_email="b@example.com", subject="s", html="h", text="t")
    return calling.Started(number, message, moment)


def make(calls, *parcel, checked_at=None):
    settled = calls.make(parcel or [started()], interval=0.2, checked_at=checked_at or calling.time.monotonic())
    return [one.outcome for one in settled]


def calls_of(transport, most_refused=20, one_sender=True):
    return calling.Calls(transport, rate=5, most_refused=most_refused, most_unanswered=5, one_sender=one_sender)


def answering(*outcomes):
    answers = iter(outcomes)
    return MemoryTransport(lambda _message: next(answers))


def test_calls_are_not_squeezed_together_after_a_late_one(clock):
    calls, moments = calls_of(MemoryTransport()), []
    for slot in (99.85, 100.05, 100.25, 100.45):  # the first was missed by 0.15 s
        calls.make([started(moment=slot)], interval=0.2, checked_at=slot)
        moments.append(clock.now)

    assert moments == pytest.approx([100.0, 100.1833, 100.3667, 100.55], abs=0.001)


def test_a_call_that_a_stall_held_up_is_not_made_and_the_mail_waits(clock, monkeypatch):
    transport = MemoryTransport()

    monkeypatch.setattr(calling, "_TOO_LATE", 0.9)
    (outcome,) = make(calls_of(transport), checked_at=clock.now - 1)

    assert (outcome.verdict, transport.sent) == (Verdict.WAIT, [])


@pytest.mark.parametrize("verdict", [Verdict.HALT, Verdict.WAIT])
def test_after_an_answer_that_concerns_every_mail_calls_that_wait_for_their_slot_are_not_made(clock, verdict):
    transport = answering(Outcome(verdict, error="paused"))
    calls = calls_of(transport)
    make(calls)

    (outcome,) = make(calls)

    assert (outcome.verdict, outcome.error, len(transport.parcels)) == (Verdict.WAIT, "paused", 1)


def test_only_refusals_in_a_row_are_a_run(clock):
    refused, accepted = Outcome(Verdict.REFUSED, error="no"), Outcome(Verdict.ACCEPTED)
    calls = calls_of(answering(refused, refused, accepted, refused, refused, refused), most_refused=3)

    for _ in range(5):
        make(calls)
    assert calls.enough == ""
    make(calls)

    assert calls.enough == "The last 3 mails were refused."


@pytest.mark.parametrize(("one_sender", "enough"), [(True, "not verified"), (False, "")])
def test_a_sender_that_is_not_accepted_ends_only_what_has_the_same(clock, one_sender, enough):
    calls = calls_of(answering(Outcome(Verdict.HALT, error="not verified", about_sender=True)), one_sender=one_sender)

    make(calls)

    assert (calls.enough, calls.halted) == (enough, enough)


def test_six_calls_without_an_answer_are_enough(clock):
    calls = calls_of(MemoryTransport(lambda _message: Outcome(Verdict.UNKNOWN)))

    for _ in range(9):
        make(calls)

    assert calls.unknown == len(calls.transport.parcels) == 6


def test_five_calls_without_an_answer_are_not_enough_however_many_mails_they_carry(clock):
    calls = calls_of(MemoryTransport(lambda _message: Outcome(Verdict.UNKNOWN), most_together=50))

    for _ in range(5):
        make(calls, started(1), started(2))

    assert (calls.enough, calls.unknown) == ("", 10)


REFUSED_CONNECTION = Outcome(Verdict.WAIT, error="EndpointConnectionError: x", retry_after=5, unreached=True)


@pytest.mark.parametrize(
    ("answers", "reached", "unreached"),
    [
        ([Outcome(Verdict.ACCEPTED)], True, ""),
        ([REFUSED_CONNECTION], False, "EndpointConnectionError: x"),
        ([Outcome(Verdict.UNKNOWN), REFUSED_CONNECTION], True, "EndpointConnectionError: x"),
        ([Outcome(Verdict.WAIT, error="429", throttled=True)], True, ""),
    ],
)
def test_whether_calls_reach_ses_is_known_by_their_answers(clock, answers, reached, unreached):
    calls = calls_of(answering(*answers))

    for _ in answers:
        make(calls)

    assert (calls.reached, calls.unreached) == (reached, unreached)


def test_what_left_is_settled_although_its_log_line_cannot_be_written(clock, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calling, "log_outcomes", full)

    (outcome,) = make(calls_of(MemoryTransport()))

    assert outcome.verdict is Verdict.ACCEPTED


def test_a_transport_that_breaks_leaves_its_mails_unknown(clock):
    class Broken(MemoryTransport):
        def send_many(self, messages):
            raise KeyError("MessageId")

    outcomes = make(calls_of(Broken()), started(1), started(2))

    assert {outcome.verdict for outcome in outcomes} == {Verdict.UNKNOWN}


def test_mails_of_different_keys_do_not_share_a_call():
    transport = MemoryTransport()
    transport.call_key = lambda message: {"p1": "a", "p2": "b", "p3": "a", "p4": None}[message.to[:2]]

    parcels = calling.parcels([started(number) for number in (1, 2, 3, 4)], transport, together=50)

    assert sorted([mail.id for mail in parcel] for parcel in parcels) == [[1, 3], [2], [4]]
