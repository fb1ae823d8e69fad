import pytest

from campaigns import reporting
from notifications import recording
from notifications.models import Suppression
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign(now):
    """Ten mails: two bounces and a complaint of our own, and one of each that SES did not attempt."""
    campaign = CampaignFactory()
    sends = [EmailSendFactory(campaign=campaign, accepted=True) for _ in range(10)]
    told = [
        events.envelope("bounce", **events.about(sends[0])),
        events.envelope("bounce", **events.about(sends[1]), bounceSubType="Suppressed"),
        events.envelope("bounce", **events.about(sends[2]), bounceSubType="OnAccountSuppressionList"),
        events.envelope("complaint", **events.about(sends[3])),
        events.envelope("complaint", **events.about(sends[4]), complaintSubType="OnAccountSuppressionList"),
        events.envelope("complaint", **events.about(sends[5]), complaintFeedbackType="not-spam"),
        events.envelope("bounce", **events.about(sends[6]), bounceType="Transient"),
    ]
    events.post(*told)
    recording.apply_events(now=now)
    return campaign


def test_the_rates_leave_out_what_ses_did_not_attempt(campaign):
    counts = reporting.stats(campaign.pk)

    assert {name: counts[name] for name in ("sent", "bounced", "complained", "not_attempted", "soft_bounced")} == {
        "sent": 10,
        "bounced": 3,
        "complained": 2,
        "not_attempted": 2,
        "soft_bounced": 1,
    }
    assert reporting.rates(counts) == {"bounce_rate": 0.25, "complaint_rate": 0.125}


def test_what_ses_did_not_attempt_is_mirrored_into_our_list(campaign):
    assert sorted(Suppression.objects.values_list("reason", flat=True)) == ["bounce"] * 3 + ["complaint"] * 2


def test_nothing_sent_is_no_rate():
    assert reporting.rates(reporting.stats(CampaignFactory().pk)) == {"bounce_rate": 0.0, "complaint_rate": 0.0}


def test_the_api_tells_the_rates(campaign, client, settings):
    settings.PROXY_SHARED_SECRET = "s" * 40

    stats = client.get(f"/api/campaigns/{campaign.pk}", headers={"X-Proxy-Secret": "s" * 40}).json()["stats"]

    assert (stats["bounce_rate"], stats["complaint_rate"], stats["not_attempted"]) == (0.25, 0.125, 2)
