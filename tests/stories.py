"""Everything that SES may tell about a mail, in every shape; and the world that follows from it."""

from datetime import UTC, datetime

from campaigns import reporting
from campaigns.models import Campaign, EmailSend
from notifications import recording
from notifications.models import EmailEvent, Suppression
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
# The identity's feedback tells of these only, by SNS, without a tag.
_FEEDBACK = {"Bounce", "Complaint", "Delivery"}


def sends():
    """A known mail, one whose outcome is unknown, and a rehearsal's."""
    campaign = CampaignFactory()
    rehearsal = ProspectFactory(email="complaint@simulator.amazonses.com")
    return [
        EmailSendFactory(campaign=campaign, accepted=True),
        EmailSendFactory(campaign=campaign, unsettled=True, error="ReadTimeout"),
        EmailSendFactory(campaign=campaign, accepted=True, prospect=rehearsal),
    ]


def stories(send):
    """Everything that may be told about one mail, several times over and at odds with itself."""
    about = events.about(send)
    words = [{"bouncedRecipients": [{"emailAddress": send.email, "diagnosticCode": word}]} for word in ("b", "a")]
    forwarded = {"bouncedRecipients": [{"emailAddress": "third@example.com"}]}
    early, late, later = ({"timestamp": f"2026-11-01T1{hour}:00:00Z"} for hour in (3, 4, 5))
    return [
        events.envelope("send", **about),
        events.envelope("delivery", **about, **early),
        events.envelope("delivery", **about, **late),
        events.envelope("delivery_delay", **about),
        events.envelope("open", **about, **early),
        events.envelope("open", **about, **late),
        events.envelope("open", **about, **later, mailed_at="2026-11-01T11:00:00Z", tags=False),
        events.envelope("delivery_delay", **about, **later, tags=False),
        events.envelope("click", **about, **later, tags=False),
        events.envelope("click", **about, link="https://example.com/1"),
        events.envelope("click", **about, link="https://example.com/2"),
        events.envelope("bounce", **about, **early, **words[0], feedbackId="1"),
        events.envelope("bounce", **about, **early, **words[1], feedbackId="2"),
        events.envelope("bounce", **about, **late, **forwarded, feedbackId="3"),
        events.envelope("bounce", **about, bounceType="Transient", feedbackId="4"),
        events.envelope("bounce", **about, bounceSubType="UnsubscribedRecipient", feedbackId="5"),
        events.envelope("complaint", **about, **early, feedbackId="6"),
        events.envelope("complaint", **about, **late, feedbackId="7"),
        events.envelope("complaint", **about, complaintFeedbackType="not-spam", feedbackId="8"),
        events.envelope("reject", **about),
        events.envelope("rendering_failure", **about, mailed_at="2026-11-01T11:30:00Z"),
        events.envelope("subscription", **about),
    ]


def soft_stories(sends):
    """Mails to one address that bounce for now, and one that arrives after all; and what may happen to it besides."""
    told = [events.envelope("bounce", **events.about(sends[0]), feedbackId="hard", timestamp="2026-11-01T15:30:00Z")]
    told.append(events.envelope("subscription", **events.about(sends[0])))
    for hour, send in enumerate(sends, 12):
        about = events.about(send)
        soft = {"bounceType": "Transient", "bounceSubType": "MailboxFull", "timestamp": f"2026-11-01T{hour}:00:00Z"}
        told.append(events.envelope("bounce", **about, **soft, feedbackId=f"soft-{hour}"))
        told.append(events.envelope("delivery", **about, timestamp=f"2026-11-01T{hour}:30:00Z"))
    policy = {"bouncedRecipients": [{"emailAddress": sends[0].email, "status": "5.7.1"}], "bounceType": "Transient"}
    told.append(events.envelope("bounce", **events.about(sends[0]), **policy, feedbackId="policy"))
    return told


def mails_to_one_person():
    person = ProspectFactory()
    return [EmailSendFactory(accepted=True, prospect=person) for _ in range(5)]


def shapes(story):
    """Every way in which this story may reach us."""
    return ["eventbridge", "sns", *(["identity"] if story["detail"]["eventType"] in _FEEDBACK else [])]


def post(told):
    for story, shape in told:
        events.tell(story, shape=shape)


def apply_all(limit=500):
    while recording.apply_events(now=NOW, limit=limit):
        pass


def world():
    """Every row that events may change."""
    facts = [field.name for field in EmailSend._meta.fields if field.name.endswith("_at")]
    return {
        "sends": list(EmailSend.objects.order_by("pk").values_list("status", "message_id", "error", *facts)),
        "people": list(Prospect.objects.order_by("pk").values_list("status", "bounced_at", "complained_at", "unsubscribed_at")),
        "list": list(Suppression.objects.order_by("email").values_list("email", "reason", "suppressed_at", "unsubscribed_at")),
        "counters": [
            tuple(sorted(reporting.stats(pk).items())) for pk in Campaign.objects.order_by("pk").values_list("pk", flat=True)
        ],
        "audit": list(Unsubscribe.objects.order_by("event_fingerprint").values_list("email", "method", "created_at")),
        "events": list(EmailEvent.objects.order_by("fingerprint").values_list("fingerprint", "state", "outcome")),
    }
