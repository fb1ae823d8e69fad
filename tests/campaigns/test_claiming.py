import time
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns import claiming
from campaigns.models import Campaign, CampaignStatus, EmailSend
from notifications.ledgers import Settled
from notifications.transports.base import Outcome, Verdict
from tests import sessions
from tests.factories import CampaignFactory, EmailSendFactory, SuppressionFactory

pytestmark = pytest.mark.django_db


def claim(campaign, limit=100, lease=60.0):
    ledger = claiming.CampaignLedger(campaign.pk, slice_id=uuid.uuid4())
    rows, skipped = ledger.claim(limit=limit, lease=lease)
    return rows, skipped, ledger


def reclaim(call_lease=60.0):
    return claiming.reclaim_expired(call_lease=call_lease)


def lose_worker():
    """Let every lease end."""
    EmailSend.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))


def record(ledger, row, verdict, **fields):
    ledger.record([Settled(row.id, Outcome(verdict, **fields), time.monotonic())])


def test_a_claim_takes_the_oldest_rows_with_what_they_are_rendered_from():
    campaign = CampaignFactory(sending=True, waiting=3)
    first = EmailSend.objects.order_by("pk").first()

    rows, _, _ = claim(campaign, limit=2)

    assert len(rows) == 2
    assert (rows[0].id, rows[0].first_name) == (first.pk, first.prospect.first_name)
    assert EmailSend.objects.get(pk=first.pk).status == "sending"


@pytest.mark.parametrize("status", [CampaignStatus.DRAFT, CampaignStatus.PAUSED, CampaignStatus.SENT])
def test_nothing_is_claimed_unless_the_campaign_sends(status):
    campaign = CampaignFactory(sending=True, waiting=1)
    Campaign.objects.update(status=status, finished_at=timezone.now())

    assert claim(campaign)[0] == []


@pytest.mark.parametrize("fact", ["unsubscribed", "bounced", "complained"])
def test_who_said_no_after_enrolment_is_skipped_with_the_reason(fact):
    send = EmailSendFactory(campaign=CampaignFactory(sending=True), **{f"prospect__{fact}": True})

    rows, skipped, _ = claim(send.campaign)

    send.refresh_from_db()
    assert (rows, skipped) == ([], 1)
    assert (send.status, send.skip_reason) == ("skipped", fact)


def test_a_suppressed_address_is_skipped():
    send = EmailSendFactory(campaign=CampaignFactory(sending=True))
    SuppressionFactory(email=send.email)

    claim(send.campaign)

    send.refresh_from_db()
    assert (send.status, send.skip_reason) == ("skipped", "suppressed")


def test_a_deleted_prospect_is_skipped():
    send = EmailSendFactory(campaign=CampaignFactory(sending=True))
    send.prospect.delete()

    claim(send.campaign)

    send.refresh_from_db()
    assert send.skip_reason == "deleted"


def test_a_prospect_with_a_new_address_is_skipped():
    send = EmailSendFactory(campaign=CampaignFactory(sending=True), email="old@example.com")

    claim(send.campaign)

    send.refresh_from_db()
    assert send.skip_reason == "address_changed"


def test_a_no_between_claim_and_call_stops_the_call():
    campaign = CampaignFactory(sending=True, waiting=2)
    rows, _, ledger = claim(campaign)
    SuppressionFactory(email=rows[0].email)

    assert ledger.start([row.id for row in rows]) == {rows[1].id}


@pytest.mark.parametrize("fact", ["unsubscribed_at", "bounced_at", "complained_at"])
def test_an_unsubscribe_between_claim_and_call_stops_the_call(fact):
    send = EmailSendFactory(campaign=CampaignFactory(sending=True))
    rows, _, ledger = claim(send.campaign)
    type(send.prospect).objects.update(**{fact: timezone.now()})

    assert ledger.start([rows[0].id]) == set()


def test_a_pause_between_claim_and_call_stops_the_call():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    Campaign.objects.update(status=CampaignStatus.PAUSED)

    assert ledger.start([rows[0].id]) == set()


def test_a_worker_whose_lease_ended_may_not_call():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign, lease=-1.0)

    assert ledger.start([rows[0].id]) == set()


def test_a_worker_may_not_call_for_rows_that_another_has_claimed():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, sleeper = claim(campaign, lease=-1.0)
    reclaim()
    _, _, _other = claim(campaign)

    assert sleeper.start([rows[0].id]) == set()


def test_a_call_is_started_once():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])

    assert ledger.start([rows[0].id]) == set()


def test_a_lease_that_ends_before_the_call_goes_back_to_waiting():
    campaign = CampaignFactory(sending=True, waiting=1)
    claim(campaign, lease=-1.0)

    assert reclaim() == {"queued": 1}


def test_a_lease_that_ends_after_the_call_started_is_unknown_and_never_claimed_again():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])
    lose_worker()

    assert reclaim(call_lease=0) == {"unknown": 1}
    assert claim(campaign)[0] == []


def test_a_lease_given_by_a_clock_that_was_set_back_ends():
    campaign = CampaignFactory(sending=True, waiting=1)
    claim(campaign, lease=3600.0)

    assert reclaim() == {"queued": 1}


def test_a_call_started_by_a_clock_that_was_set_back_since_is_given_up():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])
    ahead = timezone.now() + timedelta(hours=1)
    EmailSend.objects.update(call_started_at=ahead, lease_until=ahead)

    assert reclaim() == {"unknown": 1}


def test_a_call_that_may_still_be_answered_is_not_unknown_yet():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])
    lose_worker()

    assert reclaim(call_lease=60) == {}


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.ACCEPTED, "sent"),
        (Verdict.REFUSED, "failed"),
        (Verdict.UNKNOWN, "unknown"),
        (Verdict.WAIT, "queued"),  # not accepted: it goes again
        (Verdict.HALT, "queued"),
    ],
)
def test_an_outcome_settles_the_row(verdict, status):
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])

    record(ledger, rows[0], verdict, message_id="m-1" if verdict is Verdict.ACCEPTED else "", error="why")

    send = EmailSend.objects.get()
    assert send.status == status
    assert (send.claimed_by, send.lease_until) == (None, None)


def test_a_mail_that_left_shows_no_error_of_an_earlier_try():
    campaign = CampaignFactory(sending=True, waiting=1)
    for verdict, fields in ((Verdict.WAIT, {"error": "Throttling"}), (Verdict.ACCEPTED, {"message_id": "m-1"})):
        rows, _, ledger = claim(campaign)
        ledger.start([rows[0].id])
        record(ledger, rows[0], verdict, **fields)

    assert (EmailSend.objects.get().status, EmailSend.objects.get().error) == ("sent", "")


def test_what_postgresql_cannot_hold_is_left_out_of_an_error():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])

    record(ledger, rows[0], Verdict.UNKNOWN, error="half\x00 an \ud800answer\n")

    assert EmailSend.objects.get().error == "half an answer\n"


def test_an_acceptance_that_comes_late_settles_an_unknown_row():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])
    lose_worker()
    reclaim(call_lease=0)

    record(ledger, rows[0], Verdict.ACCEPTED, message_id="m-1")

    assert (EmailSend.objects.get().status, EmailSend.objects.get().message_id) == ("sent", "m-1")


def test_a_late_acceptance_never_overwrites_a_message_id():
    send = EmailSendFactory(campaign=CampaignFactory(sending=True), accepted=True, message_id="m-first")
    ledger = claiming.CampaignLedger(send.campaign_id, slice_id=uuid.uuid4())

    record(ledger, send, Verdict.ACCEPTED, message_id="m-second")

    send.refresh_from_db()
    assert send.message_id == "m-first"


def test_a_late_refusal_of_a_row_that_is_no_longer_ours_changes_nothing():
    campaign = CampaignFactory(sending=True, waiting=1)
    rows, _, sleeper = claim(campaign, lease=-1.0)
    reclaim()
    claim(campaign)

    record(sleeper, rows[0], Verdict.REFUSED, error="too late")

    assert EmailSend.objects.get().status == "sending"


def test_released_claims_wait_again_but_started_calls_do_not():
    campaign = CampaignFactory(sending=True, waiting=2)
    rows, _, ledger = claim(campaign)
    ledger.start([rows[0].id])

    ledger.release()

    statuses = dict(EmailSend.objects.values_list("pk", "status"))
    assert (statuses[rows[0].id], statuses[rows[1].id]) == ("sending", "queued")


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_never_share_a_row():
    campaign = CampaignFactory(sending=True, waiting=40)

    with sessions.sessions_of_their_own(8) as run:
        claims = [run(claim, campaign, 10) for _ in range(8)]

    taken = [row.id for done in claims for row in done.result()[0]]
    assert len(taken) == len(set(taken)) == 40


def test_a_mail_that_waits_for_a_reason_of_its_own_is_left_alone_for_a_while():
    campaign = CampaignFactory(sending=True, waiting=2)
    (first, second), _, ledger = claim(campaign)
    ledger.start([first.id, second.id])
    record(ledger, first, Verdict.WAIT, retry_after=5.0, about_mail=True)
    record(ledger, second, Verdict.WAIT, retry_after=5.0)

    assert [row.id for row in claim(campaign)[0]] == [second.id]
    lose_worker()
    assert reclaim() == {"queued": 2}
