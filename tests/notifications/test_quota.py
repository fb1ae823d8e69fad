from datetime import timedelta

import pytest
from django.utils import timezone

from notifications import quota
from notifications.models import SendPace
from notifications.transports.base import Account
from notifications.transports.memory import MemoryTransport

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ses(settings):
    settings.EMAIL_MODE = "ses"


def allowing(quota=1000.0, sent=0.0, rate=14.0):
    transport = MemoryTransport()
    transport.allows = Account(rate, quota, sent, sending_enabled=True, in_sandbox=False)
    return transport


def left(sent_since=0, rate=14.0):
    return quota.left_for_outreach(rate=rate, now=timezone.now(), sent_since=lambda _moment: sent_since)


def test_what_the_account_allows_is_kept_for_everybody(now):
    quota.refresh(allowing(), now=now)

    pace = SendPace.objects.get()
    assert (pace.account_rate, pace.account_quota) == (14.0, 1000.0)


def test_the_account_is_asked_once_a_minute(now):
    quota.refresh(allowing(rate=14.0), now=now)

    quota.refresh(allowing(rate=20.0), now=now + timedelta(seconds=59))
    assert SendPace.objects.get().account_rate == 14.0
    quota.refresh(allowing(rate=20.0), now=now + timedelta(seconds=61))
    assert SendPace.objects.get().account_rate == 20.0


def test_an_account_that_cannot_be_asked_changes_nothing(now):
    quota.refresh(allowing(), now=now)
    broken = MemoryTransport()
    broken.account = lambda: 1 / 0

    quota.refresh(broken, now=now + timedelta(minutes=5))

    assert SendPace.objects.get().account_rate == 14.0


def test_a_share_of_the_quota_is_kept_for_transactional_mail(now):
    quota.refresh(allowing(quota=1000.0, sent=100.0), now=now)

    assert left() == 850


def test_mails_since_the_account_was_asked_count(now):
    quota.refresh(allowing(quota=1000.0, sent=100.0), now=now)

    assert left(sent_since=50) == 800
    assert left(sent_since=5000) == 0


def test_own_mails_are_counted_only_when_they_may_matter(now):
    quota.refresh(allowing(quota=1_000_000.0, sent=0.0), now=now)

    assert 940_000 < quota.left_for_outreach(rate=14.0, now=timezone.now(), sent_since=lambda _moment: 1 / 0) < 950_000


@pytest.mark.parametrize("known", [None, 0])
def test_without_a_known_quota_nothing_limits(now, known):
    if known is not None:
        quota.refresh(allowing(quota=None), now=now)

    assert left() is None


def test_in_log_mode_no_quota_limits(now, settings):
    quota.refresh(allowing(), now=now)
    settings.EMAIL_MODE = "log"

    assert left() is None


def test_what_ses_counted_a_day_ago_has_left_the_window(now):
    quota.refresh(allowing(quota=200.0, sent=195.0), now=now)
    SendPace.objects.update(account_seen_at=now - timedelta(days=3))
    asked = []

    def sent_since(moment):
        asked.append(moment)
        return 7

    assert quota.usage(now=now, sent_since=sent_since) == quota.Usage(used=7, limit=200)
    assert quota.left_for_outreach(rate=14.0, now=now, sent_since=sent_since) == 183
    assert asked == [now - timedelta(hours=24)] * 2


def test_a_clock_that_is_set_back_makes_no_room(now):
    quota.refresh(allowing(quota=1000.0, sent=940.0), now=now)
    SendPace.objects.update(account_seen_at=now + timedelta(hours=1))

    assert left() == 10


def test_an_account_that_was_asked_in_the_future_is_asked_again(now):
    quota.refresh(allowing(rate=14.0), now=now + timedelta(hours=1))

    quota.refresh(allowing(rate=20.0), now=now)

    assert SendPace.objects.get().account_rate == 20.0


def test_a_call_that_begins_while_ses_answers_is_counted(now):
    transport, begun = allowing(quota=100.0), []
    transport.account = lambda: begun.append(timezone.now()) or transport.allows

    quota.refresh(transport, now=now)

    assert SendPace.objects.get().account_seen_at < begun[0]
