"""The alarm for an account that does not balance: rows that are lost, that nobody enrolled, or that still wait at the end."""

import pytest

from campaigns import enrolling, reporting, watching
from campaigns.models import Campaign
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

pytestmark = pytest.mark.django_db


def alarms(now):
    return [(alarm.name, alarm.campaign_id) for alarm in watching.find_alarms(now=now)]


def test_an_account_that_does_not_add_up_is_an_alarm(now, monkeypatch):
    campaign = CampaignFactory(sending=True)
    EmailSendFactory(campaign=campaign, accepted=True)
    broken = reporting.ledger(campaign.pk) | {"sent": 0}
    monkeypatch.setattr(reporting, "ledger", lambda _pk: broken)

    assert alarms(now) == [("ledger_out_of_balance", campaign.pk)]


def test_people_who_wait_in_a_finished_campaign_are_an_alarm(now):
    campaign = CampaignFactory(done=True, waiting=1)

    assert alarms(now) == [("ledger_out_of_balance", campaign.pk)]


def enrolled_campaign(people=3):
    ProspectFactory.create_batch(people)
    campaign = CampaignFactory(sending=True, enrolled_through=0, enrolled=0)
    enrolling.enrol_batch(campaign.pk, size=2)
    enrolling.enrol_batch(campaign.pk, size=2)
    return campaign


@pytest.mark.parametrize("lost", [1, 3])
def test_a_row_that_is_lost_is_an_alarm(now, lost):
    campaign = enrolled_campaign()
    assert alarms(now) == []

    for send in campaign.sends.all()[:lost]:
        send.delete()

    (alarm,) = watching.find_alarms(now=now)
    assert (alarm.name, alarm.facts["enrolled"], alarm.facts["planned"]) == ("ledger_out_of_balance", 3, 3 - lost)


def test_people_who_are_enrolled_while_one_looks_are_none(now, monkeypatch):
    campaign, count = enrolled_campaign(), reporting.ledger

    def ledger_a_moment_later(pk):
        ProspectFactory()
        Campaign.objects.update(enrolled_through=0)
        enrolling.enrol_batch(pk)
        return count(pk)

    monkeypatch.setattr(reporting, "ledger", ledger_a_moment_later)

    assert (alarms(now), campaign.sends.count()) == ([], 4)


def test_a_row_that_enrolment_did_not_make_is_an_alarm(now):
    campaign = enrolled_campaign()
    EmailSendFactory(campaign=campaign)

    assert alarms(now) == [("ledger_out_of_balance", campaign.pk)]


def test_who_leaves_with_the_audience_is_not_lost(now):
    campaign = enrolled_campaign()
    Campaign.objects.update(audience={"include_tags": ["nobody"]})

    assert enrolling.let_go(Campaign.objects.get()) == 3
    assert Campaign.objects.get().enrolled == campaign.sends.count() == 0


def test_a_campaign_begun_before_rows_were_counted_is_not_judged(now):
    ProspectFactory()
    enrolling.enrol_batch(CampaignFactory(sending=True, enrolled_through=0).pk)

    assert alarms(now) == []
