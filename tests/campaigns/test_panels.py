from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser

from campaigns import panels
from campaigns.models import EmailSend
from campaigns.overseeing import Progress
from notifications.models import DeliveryStatus, SendPace
from notifications.transports.base import Outcome, Verdict
from prospects import catching_up
from prospects.spooling import Kept
from tests.factories import CampaignFactory


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (153, "2 min 33 s"),
        (3600, "1 h 0 min"),
        (7384, "2 h 3 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_time_span_is_told_in_the_two_units_that_matter(seconds, words):
    assert panels.duration(seconds) == words


def test_the_bar_is_as_long_as_what_is_done():
    counts = {"planned": 200, "sent": 100, "failed": 10, "unknown": 10, "skipped": 20, "in_flight": 4, "waiting": 56}

    bar = list(panels.segments(counts))

    assert [(one.tone, one.x, one.width) for one in bar] == [
        ("sent", 0, 50),
        ("bad", 50, 10),
        ("skipped", 60, 10),
        ("now", 70, 2),
    ]


def test_a_campaign_without_people_has_an_empty_bar():
    assert panels.short_bar(Progress()) == {"words": "Nobody yet", "segments": []}


def test_every_link_of_the_account_leads_to_a_status_that_exists():
    statuses = {panels._STATUS.get(name, name) for name in panels._LISTED}

    assert statuses <= set(DeliveryStatus.values)


def note(now):
    """What the panel of a campaign that sends nothing says."""
    return panels.panel(CampaignFactory(sending=True, waiting=2), user=AnonymousUser(), now=now)["note"]


@pytest.mark.django_db
@pytest.mark.parametrize(("sent", "words"), [(189, "Starting"), (190, "SES allows 200 mails in 24 hours, and 190 are used")])
def test_a_campaign_that_the_quota_of_ses_holds_says_so(settings, now, sent, words):
    settings.EMAIL_MODE = "ses"
    SendPace.objects.create(pk=1, next_slot_at=now, account_quota=200, account_sent=sent, account_seen_at=now)

    assert words in note(now)


@pytest.mark.django_db
def test_a_campaign_that_waits_for_kept_noes_says_so(now):
    kept = Kept(token=str(uuid4()), method="one_click", campaign_key="", user_agent="", at=now)
    assert "Starting" in note(now)

    catching_up.keep(kept)

    assert "unsubscribe" in note(now)


@pytest.mark.django_db
def test_a_campaign_that_does_not_reach_ses_says_so_and_goes_on_by_itself(run_chunk, transport, now):
    error = "EndpointConnectionError: Could not connect to the endpoint URL"
    transport.answer = lambda _message: Outcome(Verdict.WAIT, error=error, retry_after=0.01, unreached=True)
    campaign = CampaignFactory(sending=True, waiting=2)
    for _ in range(12):
        run_chunk(campaign)
    campaign.refresh_from_db()
    told = panels.panel(campaign, user=AnonymousUser(), now=now)["note"]
    assert (campaign.status, told[: len(error) + 23]) == ("sending", f"SES cannot be reached: {error}")
    assert told.endswith("After 10 tries in a row without success the campaign pauses.")

    transport.answer = None
    run_chunk(campaign)

    assert len(transport.sent) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ConnectTimeoutError: Connect timeout on endpoint URL", "SES cannot be reached: ConnectTimeoutError"),
        ("TooManyRequestsException: Maximum sending rate exceeded", "No mail leaves now: TooManyRequestsException"),
        ("", "Starting"),
    ],
)
def test_the_panel_names_what_the_mails_that_wait_came_back_with(now, error, words):
    campaign = CampaignFactory(sending=True, waiting=2, sending_since=now - timedelta(minutes=1))
    EmailSend.objects.filter(pk=EmailSend.objects.earliest("pk").pk).update(error=error)

    assert panels.panel(campaign, user=AnonymousUser(), now=now)["note"].startswith(words)


@pytest.mark.django_db
def test_what_came_back_before_a_pause_is_no_news_when_the_campaign_is_resumed(now):
    campaign = CampaignFactory(sending=True, waiting=1, sending_since=now - timedelta(seconds=1))
    EmailSend.objects.update(error="ConnectTimeoutError: x")

    assert panels.panel(campaign, user=AnonymousUser(), now=now)["note"].startswith("Starting")
