import pytest

from campaigns import enrolling
from campaigns.models import Campaign, EmailSend
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db


def enrolled(campaign):
    return set(EmailSend.objects.filter(campaign=campaign).values_list("email", flat=True))


def test_every_active_prospect_is_enrolled():
    people = ProspectFactory.create_batch(3)
    campaign = CampaignFactory()

    assert enrolling.enrol_batch(campaign.pk)

    assert enrolled(campaign) == {person.email for person in people}


@pytest.mark.parametrize("state", ["unsubscribed", "bounced", "complained"])
def test_who_is_not_active_is_not_enrolled(state):
    ProspectFactory(**{state: True})
    campaign = CampaignFactory()

    enrolling.enrol_batch(campaign.pk)

    assert enrolled(campaign) == set()


def test_tags_choose_the_audience():
    vip = ProspectFactory(tags=["vip", "uk"])
    ProspectFactory(tags=["vip", "customer"])
    ProspectFactory(tags=["uk"])
    campaign = CampaignFactory(audience={"include_tags": ["vip", "press"], "exclude_tags": ["customer"]})

    enrolling.enrol_batch(campaign.pk)

    assert enrolled(campaign) == {vip.email}


def test_enrolling_again_adds_nobody_twice():
    ProspectFactory.create_batch(3)
    campaign = CampaignFactory()
    enrolling.enrol_batch(campaign.pk)
    Campaign.objects.update(enrolled_through=0)

    enrolling.enrol_batch(campaign.pk)

    assert EmailSend.objects.filter(campaign=campaign).count() == 3


def test_enrolment_goes_on_where_it_stopped():
    people = ProspectFactory.create_batch(5)
    campaign = CampaignFactory()

    steps = [enrolling.enrol_batch(campaign.pk, size=2) for _ in range(3)]

    assert steps == [False, False, True]
    assert enrolled(campaign) == {person.email for person in people}


def test_a_person_who_was_deleted_and_imported_again_is_not_enrolled_again():
    gone = ProspectFactory(email="ada@example.com")
    campaign = CampaignFactory()
    EmailSendFactory(campaign=campaign, prospect=gone, accepted=True)
    gone.delete()
    ProspectFactory(email="ada@example.com")

    enrolling.enrol_batch(campaign.pk)

    assert EmailSend.objects.filter(campaign=campaign).count() == 1
