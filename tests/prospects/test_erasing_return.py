"""Who comes back after an erasure, and the hash by which they are known: nobody hears from us again by it."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection

from campaigns import claiming, enrolling
from campaigns.models import EmailSend
from notifications import recording, suppressing
from notifications.models import SuppressionReason
from outreach import keyed_hashes
from prospects import editing
from prospects.models import Prospect
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory
from tests.prospects.ada import ADA, erase
from tests.prospects.files import import_text

pytestmark = pytest.mark.django_db

STATUSES = [("unsubscribe", "unsubscribed"), ("bounce", "bounced"), ("complaint", "complained")]


def test_who_comes_back_gets_no_campaign_a_second_time(now):
    campaign = CampaignFactory(sending=True)
    EmailSendFactory(accepted=True, prospect=ProspectFactory(email=ADA), campaign=campaign)
    erase(now)
    ProspectFactory(email=ADA)
    ProspectFactory(email="bob@example.com")
    campaign.enrolled_through = 0
    campaign.save()

    assert enrolling.enrol(campaign.pk, seconds=30)

    assert set(EmailSend.objects.values_list("email", flat=True)) == {keyed_hashes.hash_of(ADA), "bob@example.com"}


def test_who_comes_back_gets_other_campaigns_unless_suppressed(now):
    EmailSendFactory(accepted=True, prospect=ProspectFactory(email=ADA))
    erase(now)
    ProspectFactory(email=ADA)
    other = CampaignFactory(sending=True, enrolled_through=0)

    enrolling.enrol(other.pk, seconds=30)

    assert other.sends.get().email == ADA


@pytest.mark.parametrize("reason", ["unsubscribe", "manual", "bounce", "complaint"])
def test_a_hash_on_the_list_stops_claim_and_call(settings, now, reason):
    settings.SUPPRESSION_KEEP = "hash"
    suppressing.suppress([ADA], reason=SuppressionReason(reason), source="test", now=now)
    erase(now)
    sends = [EmailSendFactory(prospect=ProspectFactory(email=ADA), campaign=CampaignFactory(sending=True))]
    sends.append(EmailSendFactory(campaign=sends[0].campaign))

    claimed, skipped = claiming.claim(sends[0].campaign_id, slice_id=(slice_id := uuid.uuid4()), limit=9, lease=60)

    assert ([row.id for row in claimed], skipped) == ([sends[1].pk], 1)
    EmailSend.objects.filter(pk=sends[0].pk).update(
        skipped_at=None, skip_reason="", claimed_by=slice_id, lease_until=now + timedelta(minutes=1)
    )
    ledger = claiming.CampaignLedger(sends[0].campaign_id, slice_id=slice_id)
    assert ledger.start([send.pk for send in sends]) == {sends[1].pk}


@pytest.mark.parametrize(("reason", "status"), STATUSES)
@pytest.mark.parametrize("how", ["import", "create"])
def test_who_comes_back_while_the_list_has_the_hash_is_not_active(settings, now, reason, status, how):
    settings.SUPPRESSION_KEEP = "hash"
    suppressing.suppress([ADA], reason=SuppressionReason(reason), source="test", now=now)
    erase(now)

    if how == "import":
        record = import_text(f"email\n{ADA}\nbob@example.com\n")
        assert (record.created, record.suppressed) == (2, 1)
    else:
        editing.create_prospect({"email": ADA}, by="anna", now=now)

    assert Prospect.objects.get(email=ADA).status == status


def test_a_complaint_that_comes_after_the_erasure_still_counts(now):
    send = EmailSendFactory(accepted=True, prospect=ProspectFactory(email=ADA), campaign=CampaignFactory(done=True))
    about = events.about(send)
    erase(now)

    events.post(events.envelope("complaint", **about))
    recording.apply_events(now=now)

    send.refresh_from_db()
    assert (send.status, suppressing.is_suppressed(ADA)) == ("complained", True)


@pytest.mark.parametrize("address", [ADA, "x" * 60 + "@example.com", "o'neil+tag@example.com", "a@xn--mnchen-3ya.de"])
def test_the_hash_is_the_same_in_python_and_in_the_database(address):
    with connection.cursor() as cursor:
        given = keyed_hashes.parameters() | {"address": address}
        cursor.execute("SELECT " + keyed_hashes.SQL.format(column="%(address)s::text"), given)

        assert cursor.fetchone()[0] == keyed_hashes.hash_of(address)


def test_another_key_makes_another_hash(settings):
    before = keyed_hashes.hash_of(ADA)
    settings.ERASURE_KEY = "another"

    assert keyed_hashes.hash_of(ADA) != before
    assert keyed_hashes.hash_of(before) == before
