from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.urls import reverse

from campaigns import watching_events
from campaigns.models import EmailSend
from campaigns.tasks import watch_events
from notifications import recording
from notifications.models import EmailEvent
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db

ENDS = ["delivered_at", "opened_at", "clicked_at", "bounced_at", "soft_bounced_at", "complained_at", "rejected_at"]


@pytest.fixture(autouse=True)
def _sending(settings):
    settings.EMAIL_MODE = "ses"
    settings.EVENT_GAP_HOURS = 24


@pytest.fixture
def sent(now):
    """A mail that SES accepted so long ago, with these facts besides."""

    def make(ago=timedelta(hours=25), **facts):
        return EmailSendFactory(accepted=True, sent_at=now - ago, call_started_at=now - ago, **facts)

    return make


@pytest.fixture
def alarms(monkeypatch):
    lines = []
    monkeypatch.setattr(watching_events.log, "error", lambda msg, **words: lines.append({"msg": msg} | words))
    return lines


def hear(ago, now):
    events.tell(events.envelope("open", message_id=f"m-{ago}"), received_at=now - ago)


def test_an_accepted_mail_without_a_word_since_is_listed(sent, now):
    overdue = sent()

    assert list(watching_events.without_final_event(now=now)) == [overdue]
    assert watching_events.count_without_final_event(now=now) == 1


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_mail_takes_it_off(sent, now, end):
    sent(**{end: now})

    assert watching_events.count_without_final_event(now=now) == 0


@pytest.mark.parametrize("hint", ["delayed_at", "unsubscribed_at"])
def test_a_delay_is_no_end(sent, now, hint):
    sent(**{hint: now})

    assert watching_events.count_without_final_event(now=now) == 1


def test_there_is_time_for_the_word_to_come(sent, now, settings):
    sent(ago=timedelta(hours=23))
    before = watching_events.count_without_final_event(now=now)

    settings.EVENT_GAP_HOURS = 22

    assert (before, watching_events.count_without_final_event(now=now)) == (0, 1)


def test_nobody_tells_of_what_was_only_logged(sent, now):
    sent(message_id="log-1")

    assert watching_events.count_without_final_event(now=now) == 0


def test_the_count_reads_its_own_index(now):
    with connection.cursor() as cursor:
        # Of a few rows the whole table is read sooner.
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = watching_events.without_final_event(now=now).order_by().explain()

    assert "sends_without_end" in plan


@pytest.mark.parametrize(("value", "found"), [("true", [True]), ("false", [False]), ("", [True, False])])
def test_the_api_lists_them(client, sent, now, settings, value, found):
    settings.PROXY_SHARED_SECRET = "s" * 40
    campaign = CampaignFactory()
    overdue = sent(campaign=campaign)
    sent(campaign=campaign, delivered_at=now)
    url = f"/api/campaigns/{campaign.pk}/sends?without_final_event={value}"

    rows = client.get(url, headers={"X-Proxy-Secret": "s" * 40}).json()["results"]

    assert [row["id"] == overdue.pk for row in rows] == found


def test_the_admin_lists_them(admin_client, sent, now):
    overdue, answered = sent(), sent(delivered_at=now)

    page = admin_client.get(reverse("admin:campaigns_emailsend_changelist"), {"final_event": "missing"}).content.decode()

    assert overdue.email in page
    assert answered.email not in page
    assert "None after 24 h" in page


def test_silence_is_how_long_mail_has_left_unanswered(sent, now):
    for minutes in (40, 20, 1):
        sent(ago=timedelta(minutes=minutes))
    hear(timedelta(minutes=30), now)

    assert watching_events.silence(now=now) == timedelta(minutes=20)


def test_there_is_no_silence_where_nothing_was_sent_since(sent, now):
    sent(ago=timedelta(minutes=40))
    hear(timedelta(minutes=30), now)

    assert watching_events.silence(now=now) is None


def test_who_never_heard_anything_counts_from_the_first_mail(sent, now):
    sent(ago=timedelta(minutes=16))

    assert watching_events.silence(now=now) == timedelta(minutes=16)


def test_mails_of_long_ago_are_no_news(sent, now):
    sent(ago=timedelta(hours=25))

    assert watching_events.silence(now=now) is None


def test_in_log_mode_there_is_nothing_to_hear(sent, now, settings, alarms):
    settings.EMAIL_MODE = "log"
    sent(ago=timedelta(minutes=16))

    watching_events.watch(now=now)

    assert (watching_events.silence(now=now), alarms) == (None, [])


def test_a_silence_is_an_alarm_once(sent, now, alarms):
    sent(ago=timedelta(minutes=15))

    for minute in range(10):
        watching_events.watch(now=now + timedelta(minutes=minute))

    (alarm,) = alarms
    assert (alarm["msg"], alarm["alarm"], alarm["silent_seconds"]) == ("alarm", "no_events", 900)


def test_fourteen_minutes_are_none(sent, now, alarms):
    sent(ago=timedelta(minutes=14, seconds=59))

    watching_events.watch(now=now)

    assert alarms == []


def test_the_next_silence_is_another_alarm(sent, now, alarms):
    sent(ago=timedelta(minutes=60))
    watching_events.watch(now=now)
    hear(timedelta(minutes=30), now)
    sent(ago=timedelta(minutes=20))

    watching_events.watch(now=now)

    assert [alarm["silent_seconds"] for alarm in alarms] == [3600, 1200]


def test_the_alarm_is_one_line_of_the_log(sent, caplog):
    sent(ago=timedelta(minutes=20))

    watch_events()

    (line,) = [record for record in caplog.records if "no_events" in record.getMessage()]
    assert line.levelname == "ERROR"
    assert "check the event destination" in line.getMessage()


def test_events_make_an_end_of_it(sent, now):
    send = sent()
    events.post(events.envelope("bounce", **events.about(send), bounceType="Transient"))
    recording.apply_events(now=now)

    assert EmailSend.objects.get().status == "sent"
    assert EmailEvent.objects.get().state == "applied"
    assert watching_events.count_without_final_event(now=now) == 0


@pytest.fixture(autouse=True)
def _no_alarm_yet():
    cache.clear()
