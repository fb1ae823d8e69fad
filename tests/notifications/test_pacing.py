import pytest

from notifications import pacing
from notifications.models import SendPace

pytestmark = pytest.mark.django_db


def test_slots_lie_one_interval_apart():
    slots = pacing.reserve(3, rate=5)

    assert [round(slots.at(i) - slots.at(0), 6) for i in range(3)] == [0, 0.2, 0.4]


def test_the_next_reservation_follows_the_last_slot():
    first = pacing.reserve(100, rate=10)

    second = pacing.reserve(1, rate=10)

    assert second.at(0) - first.at(99) == pytest.approx(0.1, abs=0.02)


def test_slots_that_were_not_used_go_back():
    first = pacing.reserve(100, rate=10)

    pacing.give_back(first, used=40)

    assert pacing.reserve(1, rate=10).at(0) - first.at(39) == pytest.approx(0.1, abs=0.02)


def test_slots_stay_taken_when_somebody_reserved_behind_them():
    first = pacing.reserve(100, rate=10)
    behind = pacing.reserve(1, rate=10)

    pacing.give_back(first, used=0)

    assert pacing.reserve(1, rate=10).at(0) - behind.at(0) == pytest.approx(0.1, abs=0.02)


def test_nobody_gets_a_slot_while_the_pace_is_held():
    pacing.reserve(1, rate=1000)

    pacing.hold(30)

    assert pacing.reserve(1, rate=1000).wait > 29


def test_a_late_caller_does_not_catch_up():
    pacing.reserve(1, rate=5)
    SendPace.objects.update(next_slot_at="2020-01-01T00:00:00Z")

    assert pacing.reserve(1, rate=5, late=True).wait > -0.05


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
