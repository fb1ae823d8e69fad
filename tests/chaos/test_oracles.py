"""Each oracle, shown one good run and one bad one."""

from dataclasses import replace

from tests.chaos import oracles
from tests.chaos.ledger import Entry
from tests.chaos.oracles import Evidence, Row

TAKEN = Entry(at=100.0, accepted=True, fault="", send_id="k-1", campaign=1, to="a@example.com", message_id="m1", call="c1")
SENT = Row(1, "k-1", "a@example.com", "sent", sent=True, message_id="m1", started=99.0)
WAITING = Row(2, "k-2", "b@example.com", "queued", sent=False, message_id="", started=None)
UNKNOWN = replace(SENT, status="unknown", sent=False, message_id="")
GOOD = Evidence(entries=[TAKEN], everybodys=[TAKEN], rows=[SENT], people=["a@example.com"])


def test_a_good_run_is_good():
    assert oracles.broken(GOOD) == {}


def test_a_second_acceptance_is_seen():
    again = replace(TAKEN, at=105.0, message_id="m2")

    assert "nobody_twice" in oracles.broken(replace(GOOD, entries=[TAKEN, again]))


def test_somebody_who_is_nowhere_is_missed():
    assert oracles.nobody_lost(replace(GOOD, people=["a@example.com", "c@example.com"])) == ["c@example.com"]


def test_a_row_that_says_sent_must_be_in_the_ledger():
    assert oracles.sent_is_true(replace(GOOD, entries=[]))
    assert oracles.sent_is_true(replace(GOOD, entries=[replace(TAKEN, message_id="another")]))


def test_a_row_that_denies_it_must_not_be_in_the_ledger():
    assert oracles.denied_is_true(replace(GOOD, rows=[replace(SENT, status="failed", sent=False)]))


def test_unknown_needs_a_kill_or_an_answer_without_meaning():
    unknown = replace(GOOD, rows=[UNKNOWN])

    assert oracles.unknown_has_a_cause(unknown)
    assert not oracles.unknown_has_a_cause(replace(unknown, flying={1}))
    assert not oracles.unknown_has_a_cause(replace(unknown, entries=[replace(TAKEN, fault="close_after")]))


def test_a_call_during_a_pause_is_seen():
    assert oracles.pause_is_kept(replace(GOOD, pauses=[(98.9, 101.0)]))
    assert not oracles.pause_is_kept(replace(GOOD, pauses=[(99.1, 101.0), (90.0, 99.9)]))


def test_a_call_after_a_no_is_seen():
    assert oracles.no_means_no(replace(GOOD, nos={"a@example.com": 98.6}))
    assert not oracles.no_means_no(replace(GOOD, nos={"a@example.com": 98.8}))


def test_seven_in_a_sliding_second_are_more_than_six():
    seven = replace(GOOD, everybodys=[replace(TAKEN, at=100.95 + n * 0.1) for n in range(7)], most_a_second=6)
    six = replace(seven, everybodys=[replace(TAKEN, at=100.0 + n * 0.18) for n in range(60)])

    assert oracles.pace_is_kept(seven) == ["7 in one second"]
    assert not oracles.pace_is_kept(six)


def test_whoever_still_waits_is_not_done():
    assert oracles.end_is_reached(replace(GOOD, rows=[SENT, WAITING]))


def test_only_an_outage_excuses_a_5xx():
    failed = replace(GOOD, failures=[(50.0, 51.0, 500)])

    assert oracles.api_answers(failed)
    assert not oracles.api_answers(replace(failed, outages=[(49.0, 60.0)]))


def test_an_account_out_of_balance_is_seen():
    assert oracles.account_balances(replace(GOOD, unbalanced=[{"planned": 2}]))


def test_a_count_of_rows_that_is_wrong_is_seen():
    assert oracles.rows_are_counted(replace(GOOD, enrolled=2))
    assert not oracles.rows_are_counted(replace(GOOD, enrolled=1))
