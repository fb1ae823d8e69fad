import math
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from notifications import pacing
from notifications.models import SendPace

pytestmark = pytest.mark.django_db


def moment(slots, index):
    """A slot by the database's clock: `at` adds what the machine stalled between its answer and our clock."""
    return slots.end.timestamp() - (slots.count - index) * slots.interval


def test_slots_lie_one_interval_apart():
    slots = pacing.reserve(3, rate=5)

    assert [round(slots.at(i) - slots.at(0), 6) for i in range(3)] == [0, 0.2, 0.4]


def test_the_next_reservation_follows_the_last_slot():
    first = pacing.reserve(100, rate=10)

    second = pacing.reserve(1, rate=10)

    assert moment(second, 0) - moment(first, 99) == pytest.approx(0.1, abs=0.02)


def test_slots_that_were_not_used_go_back():
    first = pacing.reserve(100, rate=10)

    pacing.give_back(first, used=40)

    assert moment(pacing.reserve(1, rate=10), 0) - moment(first, 39) == pytest.approx(0.1, abs=0.02)


def test_slots_stay_taken_when_somebody_reserved_behind_them():
    first = pacing.reserve(100, rate=10)
    behind = pacing.reserve(1, rate=10)

    pacing.give_back(first, used=0)

    assert moment(pacing.reserve(1, rate=10), 0) - moment(behind, 0) == pytest.approx(0.1, abs=0.02)


def test_nobody_gets_a_slot_while_the_pace_is_held():
    pacing.reserve(1, rate=1000)

    pacing.hold(30)

    assert pacing.reserve(1, rate=1000).wait > 29


def test_a_late_caller_does_not_catch_up():
    pacing.reserve(1, rate=5)
    SendPace.objects.update(next_slot_at="2020-01-01T00:00:00Z")

    assert pacing.reserve(1, rate=5, late=True).wait > -0.05


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(minutes=4)])
def test_slots_left_in_the_future_by_a_clock_that_was_set_back_hold_nobody(ahead):
    pacing.reserve(1, rate=5)
    SendPace.objects.update(next_slot_at=timezone.now() + ahead)

    assert pacing.reserve(1, rate=5).wait < 1


def test_slots_that_ses_asked_to_leave_free_for_long_are_no_clock_that_was_set_back():
    pacing.reserve(1, rate=100)
    pacing.hold(110)

    assert pacing.reserve(1, rate=100).wait > 60


def test_time_that_passed_unused_is_not_saved_up():
    pacing.reserve(1, rate=5)
    SendPace.objects.update(next_slot_at="2020-01-01T00:00:00Z")

    slots = pacing.reserve(10, rate=5)

    assert slots.wait > -0.2
    assert slots.at(9) - slots.at(0) == pytest.approx(1.8)


def test_a_start_after_a_rest_is_not_a_burst():
    pacing.reserve(1, rate=200)
    SendPace.objects.update(next_slot_at="2020-01-01T00:00:00Z")

    assert pacing.reserve(100, rate=200).wait > -0.02


@pytest.mark.parametrize("rate", [0.1, 1, 5, 9.9, 10, 20, 50, 200, 1000])
def test_lateness_squeezes_few_mails_into_a_sliding_second(rate):
    late = pacing.tolerance(1 / rate)

    assert late * rate <= max(0.5, 0.02 * rate)


def test_the_allowed_rate_is_the_lesser_of_ours_and_the_accounts(settings):
    settings.SES_MAX_SEND_RATE, settings.EMAIL_MODE = 50.0, "ses"
    pacing.reserve(1, rate=5)
    SendPace.objects.update(account_rate=14.0)

    assert pacing.allowed_rate() == pytest.approx(14.0)
    settings.SES_MAX_SEND_RATE = 5.0
    assert pacing.allowed_rate() == pytest.approx(5.0)


def test_in_log_mode_no_account_limits_the_rate(settings):
    settings.SES_MAX_SEND_RATE = 50.0
    pacing.reserve(1, rate=5)
    SendPace.objects.update(account_rate=14.0)

    assert pacing.allowed_rate() == pytest.approx(50.0)


def test_a_throttle_halves_the_rate_of_all(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=5)

    pacing.slow_down()

    assert pacing.allowed_rate() == pytest.approx(20.0, rel=0.05)


def test_many_throttles_at_one_moment_are_one_sign(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=5)

    for _ in range(10):
        pacing.slow_down()

    assert pacing.allowed_rate() == pytest.approx(20.0, rel=0.05)


def test_a_lowered_rate_grows_by_a_tenth_of_the_full_one_a_minute(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=5)
    SendPace.objects.update(share=0.25, throttled_at=timezone.now() - timedelta(minutes=3))

    assert pacing.allowed_rate() == pytest.approx(22.0, rel=0.02)


def test_a_rate_never_grows_beyond_the_full_one(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=5)
    SendPace.objects.update(share=0.25, throttled_at=timezone.now() - timedelta(hours=3))

    assert pacing.allowed_rate() == pytest.approx(40.0)


def test_throttle_after_throttle_leaves_a_rate_above_nothing(settings):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=5)
    for _ in range(20):
        SendPace.objects.update(throttled_at=timezone.now() - timedelta(seconds=2))
        pacing.slow_down()

    assert pacing.allowed_rate() > 0.3


def test_an_urgent_slot_waits_for_no_campaign():
    pacing.reserve(100, rate=5)

    assert pacing.reserve_urgent(1, rate=5).wait < pacing.LEAD + 0.2


def test_urgent_mail_waits_a_second_at_most_however_slow_the_pace():
    pacing.reserve(3, rate=0.1)

    assert pacing.reserve_urgent(1, rate=0.1).wait < 1.05


def test_urgent_slots_lie_between_those_of_campaigns():
    campaign = pacing.reserve(100, rate=5)
    time.sleep(0.1)  # the first has been used, and half an interval has passed
    urgent = pacing.reserve_urgent(2, rate=5)
    moved = pacing.yield_to_urgent(campaign)

    begun = [campaign.at(n) for n in range(100) if campaign.at(n) < urgent.at(0) - 0.05]
    slots = sorted([*begun, urgent.at(0), urgent.at(1), *(moved.at(n) for n in range(len(begun), 100))])

    assert [later - slot for slot, later in pairwise(slots)] == pytest.approx([0.2] * 101, abs=0.05)


@pytest.mark.parametrize("rate", [50, 200, 1000])
def test_urgent_mail_takes_no_slot_of_a_group_that_is_started_already(rate):
    campaign = pacing.reserve(rate, rate=rate)
    started_until = pacing.LEAD + pacing.GROUP_SECONDS - campaign.interval

    urgent = pacing.reserve_urgent(1, rate=rate)

    assert moment(urgent, 0) > moment(campaign, 0) + started_until - 0.02


def test_where_nobody_reserved_an_urgent_slot_is_now():
    assert pacing.reserve_urgent(1, rate=5).wait < 0.05


def test_slots_far_ahead_are_left_to_others():
    first = pacing.reserve(40, rate=5)

    with pytest.raises(pacing.TooFarAhead):
        pacing.reserve(5, rate=5, longest=7.0)

    assert moment(pacing.reserve(5, rate=5, longest=9.0), 0) == pytest.approx(moment(first, 40), abs=0.05)


def test_urgent_slots_lie_an_interval_apart():
    first = pacing.reserve_urgent(2, rate=5)

    second = pacing.reserve_urgent(1, rate=5)

    assert moment(second, 0) - moment(first, 0) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(minutes=4)])
def test_urgent_slots_left_in_the_future_by_a_clock_that_was_set_back_hold_nobody(ahead):
    pacing.reserve_urgent(1, rate=5)
    SendPace.objects.update(urgent_slot_at=timezone.now() + ahead)

    assert pacing.reserve_urgent(1, rate=5).wait < 1


def test_campaigns_yield_as_many_slots_as_urgent_mail_took():
    mine, behind = pacing.reserve(10, rate=5), pacing.reserve(10, rate=5)
    pacing.reserve_urgent(3, rate=5)

    moved, moved_behind = pacing.yield_to_urgent(mine), pacing.yield_to_urgent(behind)

    assert moved.at(0) - mine.at(0) == pytest.approx(0.6)
    assert moment(moved_behind, 0) - moment(moved, 9) == pytest.approx(0.2, abs=0.02)
    assert pacing.yield_to_urgent(moved) == moved


@pytest.mark.parametrize("rate", [10, 14, 30, 700])
def test_slots_after_urgent_ones_still_go_back(rate):
    mine = pacing.reserve(3 * rate, rate=rate)
    for _ in range(3):
        pacing.reserve_urgent(1, rate=rate)
    moved = pacing.yield_to_urgent(mine)

    pacing.give_back(moved, used=2 * rate)

    assert moment(pacing.reserve(1, rate=rate), 0) - moment(moved, 2 * rate) == pytest.approx(0, abs=0.1)


def test_after_a_throttle_new_slots_begin_at_once_and_the_void_ones_do_not_go_back(settings):
    settings.SES_MAX_SEND_RATE = 10.0
    void = pacing.reserve(50, rate=10)
    pacing.slow_down()

    first = pacing.reserve(10, rate=5)
    pacing.give_back(pacing.yield_to_urgent(void), used=0)

    assert first.wait < 0.5
    assert moment(pacing.reserve(1, rate=5), 0) == pytest.approx(moment(first, 10), abs=0.05)


@pytest.mark.parametrize(("ahead", "lowered"), [(timedelta(seconds=30), 20), (timedelta(hours=1), 40)])
def test_a_throttle_noted_by_a_clock_that_was_set_back_lowers_the_pace_for_no_hour(settings, ahead, lowered):
    settings.SES_MAX_SEND_RATE = 40.0
    pacing.reserve(1, rate=40)
    SendPace.objects.update(share=0.5, throttled_at=timezone.now() + ahead)

    assert pacing.allowed_rate() == lowered
    pacing.slow_down()
    assert pacing.allowed_rate() == pytest.approx(lowered / 2, abs=0.5)


@pytest.mark.parametrize("rate", [0.5, 0.01])
def test_the_wait_for_an_urgent_slot_is_told_and_nothing_is_reserved(rate):
    assert pacing.urgent_wait(rate=rate) == 0
    pacing.reserve_urgent(1, rate=rate)

    assert pacing.urgent_wait(rate=rate) == pytest.approx(1 / rate, abs=1.5)
    assert pacing.reserve_urgent(1, rate=rate).wait == pytest.approx(1 / rate, abs=1.5)


def most_in_a_second(rate):
    """How many mails a sliding second holds when its first is as late as it may be, and its last takes a whole call along."""
    interval, together = pacing.slot_interval(rate), pacing.most_together(rate)
    lateness = pacing.tolerance(interval) * 0.999
    return math.floor((1 + lateness) / interval) + together


@given(st.floats(50, 20_000))
def test_no_sliding_second_of_a_fast_pace_holds_more_than_the_rate(rate):
    assert most_in_a_second(rate) <= rate


@given(st.floats(2, 49.9))
def test_a_sliding_second_of_a_slow_pace_holds_one_mail_more_at_most(rate):
    assert most_in_a_second(rate) <= math.ceil(rate) + 1
    assert pacing.slot_interval(rate) == 1 / rate


@given(st.floats(50, 20_000))
def test_a_fast_pace_uses_nearly_all_of_the_rate(rate):
    assert 1 / pacing.slot_interval(rate) > 0.95 * rate
