"""Faults on demand: what the client sees, and what the ledger says really happened."""

import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from notifications.simulator import faults
from notifications.simulator.account import RateLimit
from notifications.simulator.faults import Faults
from tests.notifications.simulator.webhook import Webhook
from tests.simulator import bulk, entry, mail


@pytest.mark.parametrize(
    ("fault", "error", "accepted"),
    [
        ({"drop": 1}, ConnectionClosedError, 1),
        ({"drop_before": 1}, ConnectionClosedError, 0),
        ({"error_500": 1}, ClientError, 0),
        ({"error_503": 1}, ClientError, 0),
        ({"error_500_after": 1}, ClientError, 1),
        ({"error_503_after": 1}, ClientError, 1),
    ],
)
def test_a_call_can_fail_before_and_after_acceptance(simulator, ses, fault, error, accepted):
    simulator.faults(**fault)

    with pytest.raises(error):
        ses.send_email(**mail())

    assert simulator.ledger()["accepted"] == accepted


def test_a_stalled_call_was_accepted_and_the_others_go_on(simulator):
    simulator.faults(stall=1, stall_seconds=30)

    with pytest.raises(ReadTimeoutError):
        simulator.client(read_timeout=1).send_email(**mail())

    simulator.ask("DELETE", "/faults")
    simulator.client().send_email(**mail())
    assert simulator.ledger()["accepted"] == 2


def test_mail_above_the_rate_is_throttled_in_the_words_of_ses(simulator, ses):
    simulator.faults(max_send_rate=2)
    began, throttled = time.monotonic(), []

    for _ in range(20):
        try:
            ses.send_email(**mail())
        except ses.exceptions.TooManyRequestsException as error:
            throttled.append(error.response["Error"]["Message"])

    seconds = time.monotonic() - began
    assert simulator.ledger()["accepted"] == 20 - len(throttled) <= 2 * (seconds + 1)
    assert set(throttled) == {"Maximum sending rate exceeded."}
    assert ses.get_account()["SendQuota"]["MaxSendRate"] == 2


def test_no_second_has_more_than_the_rate():
    limit = RateLimit(5)

    taken = [n / 100 for n in range(300) if limit.take(1, n / 100)]

    assert len(taken) == 15
    assert all(sum(at <= other < at + 1 for other in taken) <= 5 for at in taken)


def test_a_rate_below_one_a_second_waits_longer():
    limit = RateLimit(0.5)

    assert [limit.take(1, at) for at in (0.0, 1.0, 1.9, 2.0)] == [True, False, False, True]


def test_the_daily_quota_stops_everything_but_the_mailbox_simulator(simulator, ses):
    simulator.faults(daily_quota=2)
    for _ in range(2):
        ses.send_email(**mail())

    with pytest.raises(ses.exceptions.LimitExceededException, match="Daily message quota exceeded"):
        ses.send_email(**mail())

    assert ses.send_email(**mail(Destination={"ToAddresses": ["success@simulator.amazonses.com"]}))["MessageId"]
    assert ses.get_account()["SendQuota"]["SentLast24Hours"] == 2


def test_within_a_bulk_quota_and_rate_fail_entry_by_entry(simulator, ses):
    entries = [entry(f"p{n}@example.com", link="") for n in range(5)]
    simulator.faults(daily_quota=3)
    assert statuses(ses, entries) == ["SUCCESS"] * 3 + ["ACCOUNT_DAILY_QUOTA_EXCEEDED"] * 2

    simulator.faults(daily_quota=1000, max_send_rate=2)
    assert statuses(ses, entries) == ["SUCCESS"] * 2 + ["ACCOUNT_THROTTLED"] * 3

    simulator.faults(max_send_rate=1000, entry_failure=1)
    assert statuses(ses, entries) == ["TRANSIENT_FAILURE"] * 5
    assert simulator.ledger()["accepted"] == 5


def statuses(ses, entries):
    return [one["Status"] for one in ses.send_bulk_email(**bulk(*entries))["BulkEmailEntryResults"]]


def test_a_suspended_account_says_so(simulator, ses):
    simulator.faults(account_suspended=True)

    account = ses.get_account()

    assert (account["EnforcementStatus"], account["SendingEnabled"]) == ("SHUTDOWN", False)


@pytest.mark.parametrize("wanted", [{"rain": 1}, {"drop": 2}, {"drop": "often"}, {"sending_paused": 1}, {"latency": None}, []])
def test_a_fault_that_does_not_exist_is_refused_and_nothing_changes(simulator, wanted):
    status, answer = simulator.ask("POST", "/faults", wanted)

    assert status == 400
    assert answer["message"]
    assert simulator.ask("GET", "/faults")[1] == faults.as_json(Faults())


def test_flags_begin_what_a_request_may_end(start):
    simulator = start("--no-events", "--sending-paused", "--latency", "0.01")

    assert simulator.ask("GET", "/faults")[1]["sending_paused"] is True
    assert simulator.ask("DELETE", "/faults")[1] == faults.as_json(Faults())


def test_hostile_mode_is_a_mix_that_a_flag_can_change(start):
    simulator = start("--no-events", "--hostile", "--drop", "0")

    set_now = simulator.ask("GET", "/faults")[1]

    assert (set_now["drop"], set_now["stall"], set_now["events_duplicated"]) == (0, faults.HOSTILE.stall, 0.3)


@pytest.fixture(scope="module")
def webhook():
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture(scope="module")
def telling(start, webhook):
    return start("--speed", "50", "--eventbridge", webhook.url, "--webhook-secret", "s", "--delay-rate", "1")


def told(telling, webhook, mails, *, at_least):
    """What the webhook got of each of so many mails, in the order of arrival."""
    ses = telling.client()
    ids = [ses.send_email(**mail())["MessageId"] for _ in range(mails)]
    telling.wait_for(lambda: sum(len(webhook.kinds(id_)) for id_ in ids) >= at_least)
    return [webhook.kinds(id_) for id_ in ids]


def test_events_are_published_twice_and_say_the_same_twice(telling, webhook):
    telling.reset()
    telling.faults(events_duplicated=1)

    told(telling, webhook, 1, at_least=6)

    mine = webhook.events()[-6:]
    assert sorted(event["eventType"] for event in mine) == ["Delivery"] * 2 + ["DeliveryDelay"] * 2 + ["Send"] * 2
    deliveries = [event for event in mine if event["eventType"] == "Delivery"]
    assert deliveries[0] == deliveries[1]


def test_events_are_dropped_and_counted(telling, webhook):
    telling.reset()
    telling.faults(events_dropped=1)
    before = telling.ask("GET", "/events")[1].get("dropped", 0)

    telling.client().send_email(**mail())

    assert telling.ask("GET", "/events")[1]["dropped"] == before + 3
    assert telling.ask("GET", "/events")[1]["waiting"] == 0


def test_events_are_shuffled_but_tell_the_same_times(telling, webhook):
    telling.reset()
    telling.faults(events_shuffled=1)

    orders = told(telling, webhook, 30, at_least=90)

    assert {tuple(sorted(kinds)) for kinds in orders} == {("Delivery", "DeliveryDelay", "Send")}
    assert any(kinds.index("Delivery") < kinds.index("Send") for kinds in orders)


def test_events_are_delayed(telling, webhook):
    telling.reset()
    telling.faults(events_delayed=1, events_delayed_seconds=1_000)

    telling.client().send_email(**mail())

    assert telling.ask("GET", "/events")[1]["waiting"] >= 1
    assert telling.ask("DELETE", "/ledger")[1]["forgotten"]["events"] >= 1
