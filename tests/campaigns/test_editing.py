"""Another audience on a campaign that has planned people already."""

import time
import uuid

import pytest
from django.db import transaction

from campaigns import claiming, editing, enrolling, lifecycle, reporting
from campaigns.models import Campaign, EmailSend
from notifications.ledgers import Settled
from notifications.transports.base import Outcome, Verdict
from tests import sessions
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory

VIPS = {"include_tags": ["vip"]}


def planned(campaign):
    return set(EmailSend.objects.filter(campaign=campaign).values_list("email", flat=True))


def started(now, **words):
    campaign = CampaignFactory(**words)
    lifecycle.start_campaign(campaign, by="ada", now=now)
    return campaign


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["paused", "draft"])
def test_only_the_new_audience_gets_a_campaign_that_was_paused(now, status, published, run_all, transport):
    vip = ProspectFactory(tags=["vip"])
    ProspectFactory.create_batch(3)
    campaign = started(now)
    editing.change_campaign(campaign, {"status": "paused"}, by="ada")

    campaign = editing.change_campaign(campaign, {"status": status, "audience": VIPS}, by="ada")
    waiting = planned(campaign)
    lifecycle.start_campaign(campaign, by="ada", now=now)
    run_all(campaign)

    assert waiting == {vip.email}
    assert [message.to for message in transport.sent] == [vip.email]


@pytest.mark.django_db
def test_whom_the_new_audience_adds_is_planned_by_the_next_start(now, published):
    vip, other = ProspectFactory(tags=["vip"]), ProspectFactory()
    campaign = started(now, audience=VIPS)
    campaign = editing.change_campaign(campaign, {"status": "paused", "audience": {"exclude_tags": ["vip"]}}, by="ada")
    assert planned(campaign) == set()

    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert vip.email not in planned(campaign)
    assert planned(campaign) == {other.email}


@pytest.mark.django_db
def test_who_got_it_or_is_sent_it_again_stays_in_the_account(now):
    campaign = CampaignFactory(paused=True, waiting=2)
    EmailSendFactory(campaign=campaign, accepted=True)
    EmailSendFactory(campaign=campaign, unsettled=True)
    EmailSendFactory(campaign=campaign, failed_at=now)
    EmailSendFactory(campaign=campaign, skipped_at=now, skip_reason="unsubscribed")
    again = EmailSendFactory(campaign=campaign, attempt=2)

    editing.change_campaign(campaign, {"audience": VIPS}, by="ada")

    account = reporting.ledger(campaign.pk)
    assert account == {"planned": 5, "waiting": 1, "in_flight": 0, "sent": 1, "failed": 1, "unknown": 1, "skipped": 1}
    assert EmailSend.objects.filter(pk=again.pk).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("words", [{"subject": "New"}, {"audience": {"include_tags": ["old"]}}])
def test_whoever_waits_stays_when_the_audience_does(words):
    campaign = CampaignFactory(paused=True, audience={"include_tags": ["old"]}, waiting=2)

    editing.change_campaign(campaign, words, by="ada")

    assert EmailSend.objects.count() == 2


@pytest.fixture
def under_way(now):
    """A paused campaign with a call under way to somebody whom it does not mean any more."""
    campaign = CampaignFactory(sending=True, waiting=1)
    ledger = claiming.CampaignLedger(campaign.pk, slice_id=uuid.uuid4())
    claimed, _ = ledger.claim(limit=1, lease=60)
    ledger.start([row.id for row in claimed])
    editing.change_campaign(campaign, {"status": "paused", "audience": VIPS}, by="ada")
    campaign.refresh_from_db()
    return campaign, ledger, claimed[0].id


@pytest.mark.django_db
def test_whoever_comes_back_from_a_call_unsent_leaves_when_it_is_sent_again(under_way, now, published):
    campaign, ledger, row = under_way
    ledger.record([Settled(row, Outcome(Verdict.WAIT, error="ThrottlingException"), time.monotonic())])

    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert planned(campaign) == set()


@pytest.mark.django_db
def test_whoever_comes_back_while_the_audience_changes_leaves_too(now, published, monkeypatch):
    campaign = CampaignFactory(sending=True, waiting=1)
    ledger = claiming.CampaignLedger(campaign.pk, slice_id=uuid.uuid4())
    ((row,), _) = ledger.claim(limit=1, lease=60)
    ledger.start([row.id])
    let_go, unsent = enrolling.let_go, Settled(row.id, Outcome(Verdict.WAIT, error="out of reach"), time.monotonic())
    # What let_go looked at is older than the answer.
    monkeypatch.setattr(enrolling, "let_go", lambda campaign: (let_go(campaign), ledger.record([unsent]))[0])

    editing.change_campaign(campaign, {"status": "paused", "audience": VIPS}, by="ada")
    monkeypatch.undo()
    campaign.refresh_from_db()
    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert planned(campaign) == set()


@pytest.mark.django_db
def test_it_is_not_sent_again_while_such_a_call_lasts(under_way, now, published):
    campaign, ledger, row = under_way

    with pytest.raises(enrolling.RowsHeld):
        lifecycle.start_campaign(campaign, by="ada", now=now)
    ledger.record([Settled(row, Outcome(Verdict.ACCEPTED, message_id="x"), time.monotonic())])
    lifecycle.start_campaign(campaign, by="ada", now=now)

    assert reporting.ledger(campaign.pk)["sent"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_being_enrolled_leaves_with_the_audience_it_was_for(published):
    ProspectFactory.create_batch(3)
    campaign = CampaignFactory(paused=True, enrolled_through=0)

    with sessions.sessions_of_their_own() as run:
        with transaction.atomic():
            enrolling.enrol_batch(campaign.pk)
            change = run(lambda: editing.change_campaign(campaign, {"audience": VIPS}, by="ada"))
            sessions.wait_for_waiters()
        change.result(30)

    assert planned(campaign) == set()


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_waits_for_the_campaign_holds_nobody_who_leaves_meanwhile():
    campaign = CampaignFactory(sending=True, waiting=2)

    with sessions.sessions_of_their_own() as run:
        with transaction.atomic():
            held = Campaign.objects.select_for_update(no_key=True).get()
            held.audience = VIPS
            claim = run(lambda: claiming.claim(campaign.pk, slice_id=uuid.uuid4(), limit=5, lease=60))
            sessions.wait_for_waiters()
            assert enrolling.let_go(held) == 2
        claimed, _ = claim.result(30)

    assert claimed == []


@pytest.mark.django_db(transaction=True)
def test_rows_that_somebody_holds_leave_when_they_are_free():
    campaign = CampaignFactory(paused=True, waiting=2)

    with sessions.sessions_of_their_own() as run:
        with transaction.atomic():
            list(EmailSend.objects.select_for_update())
            change = run(lambda: editing.change_campaign(campaign, {"audience": VIPS}, by="ada"))
            time.sleep(0.2)
            assert not change.done()
        change.result(30)

    assert planned(campaign) == set()
