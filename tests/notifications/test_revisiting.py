from datetime import timedelta

import pytest

from campaigns.models import EmailSend
from notifications import recording, revisiting, tasks
from notifications.models import EmailEvent
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db

CAME = events.RECEIVED


@pytest.fixture
def parked():
    """An event that was parked before its mail was known, in a process that died before it let it go."""
    send = EmailSendFactory(unsettled=True)
    events.post(events.envelope("bounce", message_id="m-1", to=send.email, tags=False))
    recording.apply_events(now=CAME)
    EmailSend.objects.filter(pk=send.pk).update(message_id="m-1")
    return send


def test_a_parked_event_whose_mail_is_known_is_found_though_nobody_let_it_go(parked):
    looked, freed = revisiting.look_again(now=CAME + timedelta(seconds=10))
    recording.apply_events(now=CAME)

    assert (looked, freed) == (1, 1)
    assert EmailSend.objects.get(pk=parked.pk).status == "bounced"


def test_nobody_looks_before_its_turn(parked):
    assert revisiting.look_again(now=CAME + timedelta(seconds=9)) == (0, 0)


def test_each_look_comes_after_twice_the_time():
    events.post(events.envelope("open", message_id="a-stranger"))
    recording.apply_events(now=CAME)
    looks, moment, end = 0, CAME, CAME + timedelta(days=14)

    while (moment := EmailEvent.objects.get().look_again_at) < end:
        assert revisiting.look_again(now=moment) == (1, 0)
        looks += 1

    assert EmailEvent.objects.get().state == "parked"
    assert 10 < looks < 25


def test_a_look_takes_few_at_a_time_and_few_statements(django_assert_max_num_queries):
    events.post(*(events.envelope("open", message_id=f"stranger-{n}") for n in range(30)))
    recording.apply_events(now=CAME)

    with django_assert_max_num_queries(8):
        assert revisiting.look_again(now=CAME + timedelta(minutes=1), limit=20) == (20, 0)
    assert revisiting.look_again(now=CAME + timedelta(minutes=1), limit=20) == (10, 0)


def test_one_body_that_nobody_can_read_holds_up_no_other(parked):
    events.post(events.envelope("open", message_id="a-stranger"))
    recording.apply_events(now=CAME)
    EmailEvent.objects.filter(message_id="a-stranger").update(body=b"{")

    assert revisiting.look_again(now=CAME + timedelta(minutes=1)) == (2, 1)


def test_the_task_lets_the_worker_apply_what_it_found(parked, redis):
    tasks.look_at_parked_events()

    assert redis.llen("events") == 1


def test_an_event_of_a_test_mail_is_settled_with_that_reason(now):
    campaign = CampaignFactory()
    events.post(events.envelope("delivery", message_id="m-test", send_id=f"{campaign.key}-test"))

    recording.apply_events(now=now)

    row = EmailEvent.objects.get()
    assert (row.state, row.outcome) == ("ignored", "about a test mail")


def test_a_test_mails_untagged_events_are_settled_too_whichever_comes_first(now):
    campaign = CampaignFactory()
    tagged = events.envelope("send", message_id="m-test", send_id=f"{campaign.key}-test")
    early, late = (events.envelope("bounce", message_id="m-test", tags=False, feedbackId=name) for name in "ab")

    for told in (early, tagged, late):
        events.post(told)
        recording.apply_events(now=now)
    recording.apply_events(now=now)

    assert set(EmailEvent.objects.values_list("state", "outcome")) == {("ignored", "about a test mail")}


def test_a_test_mail_of_another_installation_is_a_strangers(now):
    events.post(events.envelope("delivery", message_id="m-test", send_id="0123456789ab-test"))

    recording.apply_events(now=now)

    assert EmailEvent.objects.get().state == "parked"
