import pytest

from campaigns.models import EmailSend
from notifications import recording
from notifications.models import EmailEvent, Suppression, SuppressionReason
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import EmailSendFactory, ProspectFactory, SuppressionFactory

pytestmark = pytest.mark.django_db

BOUNCED = events.event("bounce").occurred_at


@pytest.fixture
def send():
    return EmailSendFactory(accepted=True)


@pytest.fixture
def apply(now):
    def run(*envelopes, limit=500):
        events.post(*envelopes)
        return recording.apply_events(now=now, limit=limit)

    return run


def statuses(send):
    return EmailSend.objects.get(pk=send.pk).status, Prospect.objects.get(pk=send.prospect_id).status


def test_a_permanent_bounce_marks_mail_and_person_and_suppresses_the_address_since_then(send, apply):
    apply(events.envelope("bounce", **events.about(send)))

    assert statuses(send) == ("bounced", "bounced")
    assert list(Suppression.objects.values_list("email", "reason", "suppressed_at")) == [(send.email, "bounce", BOUNCED)]
    assert not Unsubscribe.objects.exists()


def test_a_complaint_marks_mail_and_person_suppresses_and_is_audited(send, apply):
    apply(events.envelope("complaint", **events.about(send)))

    audit = Unsubscribe.objects.get()
    assert statuses(send) == ("complained", "complained")
    assert Suppression.objects.get(email=send.email).reason == SuppressionReason.COMPLAINT
    assert (audit.prospect_id, audit.method, audit.campaign_key) == (send.prospect_id, "complaint", send.campaign.key)


def test_leaving_a_list_of_ses_unsubscribes(send, apply):
    apply(events.envelope("subscription", **events.about(send)))

    assert statuses(send) == ("sent", "unsubscribed")
    assert Suppression.objects.get(email=send.email).reason == SuppressionReason.UNSUBSCRIBE
    assert EmailSend.objects.get(pk=send.pk).unsubscribed_at


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("bounce", {"bounceType": "Transient", "bounceSubType": "General"}),
        ("bounce", {"bounceType": "Undetermined", "bounceSubType": "Undetermined"}),
        ("complaint", {"complaintFeedbackType": "not-spam"}),
        ("delivery_delay", {}),
        ("reject", {}),
    ],
)
def test_a_harmless_event_costs_nobody_anything(send, apply, name, part):
    apply(events.envelope(name, **events.about(send), **part))

    assert statuses(send)[1] == "active"
    assert not Suppression.objects.exists()
    assert EmailEvent.objects.get().state == "applied"


def test_a_third_person_whom_a_bounce_names_is_not_suppressed(send, apply):
    third = ProspectFactory(email="third@example.com")
    envelope = events.envelope("bounce", **events.about(send), bouncedRecipients=[{"emailAddress": third.email}])
    envelope["detail"]["mail"]["destination"] = [send.email, third.email]

    apply(envelope)

    assert statuses(send) == ("sent", "active")
    assert not Suppression.objects.exists()


def test_a_forwarded_mail_bounces_for_the_person_it_was_sent_to(send, apply):
    third = ProspectFactory(email="third@example.com")

    apply(events.envelope("bounce", **events.about(send), bouncedRecipients=[{"emailAddress": third.email}]))

    assert statuses(send) == ("bounced", "bounced")
    assert [row.email for row in Suppression.objects.all()] == [send.email]
    assert Prospect.objects.get(pk=third.pk).status == "active"


def test_a_stronger_reason_replaces_a_weaker_one_and_never_the_reverse(apply):
    weak, strong = EmailSendFactory(accepted=True), EmailSendFactory(accepted=True)
    SuppressionFactory(email=weak.email, reason=SuppressionReason.UNSUBSCRIBE)
    SuppressionFactory(email=strong.email, reason=SuppressionReason.COMPLAINT)

    apply(*(events.envelope("bounce", **events.about(send)) for send in (weak, strong)))

    assert dict(Suppression.objects.values_list("email", "reason")) == {weak.email: "bounce", strong.email: "complaint"}


def test_who_has_another_address_by_now_has_not_bounced(send, apply):
    Prospect.objects.filter(pk=send.prospect_id).update(email="new@example.com")

    apply(events.envelope("bounce", **events.about(send)))

    assert statuses(send) == ("bounced", "active")
    assert [row.email for row in Suppression.objects.all()] == [send.email]


def test_a_complaint_of_somebody_deleted_still_suppresses(send, apply):
    Prospect.objects.all().delete()

    apply(events.envelope("complaint", **events.about(send)))

    assert Suppression.objects.get().email == send.email
    assert Unsubscribe.objects.get().email == send.email


def test_a_rehearsals_address_is_marked_but_never_suppressed(apply):
    person = ProspectFactory(email="bounce+1@simulator.amazonses.com")
    send = EmailSendFactory(accepted=True, prospect=person)

    apply(events.envelope("bounce", **events.about(send)))

    assert statuses(send) == ("bounced", "bounced")
    assert not Suppression.objects.exists()


def test_an_address_that_only_looks_like_a_rehearsals_is_suppressed(apply):
    send = EmailSendFactory(accepted=True, prospect=ProspectFactory(email="a@simulator.amazonses.com.example.org"))

    apply(events.envelope("bounce", **events.about(send)))

    assert Suppression.objects.exists()
