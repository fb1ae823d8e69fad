from datetime import UTC, datetime, timedelta

import pytest

from notifications import listing
from notifications.meaning import Effect
from notifications.models import SuppressionReason
from notifications.signals import Loss, addresses_lost
from prospects import consent, editing
from prospects.models import Prospect, Unsubscribe
from tests.factories import ProspectFactory

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def loss(email, effect, at=AT, fingerprint="f1", **more):
    return Loss(
        email=email, effect=effect, occurred_at=at, fingerprint=fingerprint, **{"campaign_key": "", "user_agent": ""} | more
    )


@pytest.mark.parametrize(
    ("effect", "status", "column"),
    [
        (Effect.BOUNCE, "bounced", "bounced_at"),
        (Effect.COMPLAINT, "complained", "complained_at"),
        (Effect.UNSUBSCRIBE, "unsubscribed", "unsubscribed_at"),
    ],
)
def test_a_loss_gives_the_person_its_status_and_the_events_time(effect, status, column, now):
    person = ProspectFactory()

    consent.record_losses([loss(person.email, effect)], now=now)
    person.refresh_from_db()

    assert (person.status, getattr(person, column), person.updated_at) == (status, AT, now)


@pytest.mark.parametrize(("effect", "method"), [(Effect.COMPLAINT, "complaint"), (Effect.UNSUBSCRIBE, "ses")])
def test_a_no_is_audited_with_its_event(effect, method, now):
    person = ProspectFactory()

    consent.record_losses([loss(person.email, effect, campaign_key="0123456789ab", user_agent="YahooMail/1")], now=now)

    audit = Unsubscribe.objects.get()
    assert (audit.prospect, audit.email, audit.method) == (person, person.email, method)
    assert (audit.campaign_key, audit.user_agent, audit.event_fingerprint) == ("0123456789ab", "mailbox_provider", "f1")
    assert audit.created_at == AT


def test_a_bounce_is_no_no(now):
    consent.record_losses([loss(ProspectFactory().email, Effect.BOUNCE)], now=now)

    assert not Unsubscribe.objects.exists()


def test_telling_twice_changes_nothing(now):
    person = ProspectFactory()

    for _ in range(2):
        consent.record_losses([loss(person.email, Effect.COMPLAINT)], now=now)
        now += timedelta(hours=1)
    person.refresh_from_db()

    assert Unsubscribe.objects.count() == 1
    assert person.updated_at == now - timedelta(hours=2)


def test_of_several_losses_each_fact_keeps_its_earliest_time(now):
    person = ProspectFactory()
    times = [AT + timedelta(hours=hours) for hours in (3, 1, 2)]

    consent.record_losses([loss(person.email, Effect.BOUNCE, at, str(at)) for at in times], now=now)
    consent.record_losses([loss(person.email, Effect.COMPLAINT, AT, "c")], now=now)
    person.refresh_from_db()

    assert (person.status, person.bounced_at, person.complained_at) == ("complained", min(times), AT)


def test_who_is_no_prospect_any_more_is_audited_by_address(now):
    consent.record_losses([loss("gone@example.com", Effect.COMPLAINT)], now=now)

    assert (Unsubscribe.objects.get().email, Unsubscribe.objects.get().prospect) == ("gone@example.com", None)


def test_nobody_else_is_touched(now):
    other = ProspectFactory()

    consent.record_losses([loss(ProspectFactory().email, Effect.BOUNCE)], now=now)

    assert Prospect.objects.get(pk=other.pk).status == "active"


def test_a_batch_takes_few_statements(django_assert_max_num_queries, now):
    losses = [loss(ProspectFactory().email, Effect.COMPLAINT, fingerprint=str(n)) for n in range(30)]

    with django_assert_max_num_queries(4):
        consent.record_losses(losses, now=now)


def test_prospects_listen_to_lost_addresses(now):
    person = ProspectFactory()

    addresses_lost.send(sender=None, losses=[loss(person.email, Effect.BOUNCE)], now=now)
    person.refresh_from_db()

    assert person.status == "bounced"


@pytest.mark.parametrize(
    ("reason", "status"),
    [("unsubscribe", "unsubscribed"), ("bounce", "bounced"), ("complaint", "complained"), ("manual", "active")],
)
def test_what_staff_put_on_the_list_shows_in_the_status_as_it_does_for_a_new_person(reason, status, now):
    ProspectFactory(email="ada@example.com")
    other = ProspectFactory()

    listing.put({"ada@example.com": ""}, reason=SuppressionReason(reason), source="anna", now=now)

    assert Prospect.objects.get(email="ada@example.com").status == status
    assert Prospect.objects.get(pk=other.pk).status == "active"
    ada = Prospect.objects.get(email="ada@example.com")
    facts = (ada.unsubscribed_at, ada.bounced_at, ada.complained_at)
    ada.delete()
    anew = editing.create_prospect({"email": "ada@example.com"}, by="anna", now=now)
    assert (anew.unsubscribed_at, anew.bounced_at, anew.complained_at) == facts


def test_what_is_known_of_a_person_stays_when_the_list_says_it_again(now):
    ada = ProspectFactory(email="ada@example.com", unsubscribed_at=AT)

    listing.put({"ada@example.com": ""}, reason=SuppressionReason.UNSUBSCRIBE, source="anna", now=now)

    before = (ada.unsubscribed_at, ada.updated_at)
    ada.refresh_from_db()
    assert (ada.unsubscribed_at, ada.updated_at) == before
