"""What an erasure takes away, what stays without the person, and what is told of it."""

import pytest

from campaigns import reporting, settling
from campaigns.models import EmailSend
from notifications import recording, suppressing
from notifications.models import EmailEvent, Suppression
from outreach import keyed_hashes
from prospects import erasing, unsubscribing
from prospects.models import PersonRequest, Prospect, ProspectImport, RetiredToken, Unsubscribe
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, ProspectImportFactory
from tests.prospects.ada import ADA, erase, everything_about_ada, whole_database

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["address", "hash"])
def keep(request, settings):
    settings.SUPPRESSION_KEEP = request.param
    return request.param


def test_after_an_erasure_no_table_holds_the_person(keep, now):
    everything_about_ada(now)
    assert len({name for name, row in whole_database() if "lovelace" in row.lower()}) >= 8

    erase(now)

    left = {name for name, row in whole_database() if "lovelace" in row.lower() or "london" in row.lower()}
    assert left == ({"email_suppressions"} if keep == "address" else set())


def test_the_suppression_stays_and_blocks(keep, now):
    everything_about_ada(now)

    erase(now)

    row = Suppression.objects.get()
    assert row.email == (ADA if keep == "address" else keyed_hashes.hash_of(ADA))
    assert (row.reason, row.unsubscribed_at is not None) == ("bounce", True)
    assert suppressing.is_suppressed(ADA)


def test_the_accounts_balance_and_the_facts_stay(now):
    send = everything_about_ada(now)
    before = reporting.stats(send.campaign_id)

    erase(now)

    send.refresh_from_db()
    assert reporting.stats(send.campaign_id) == before
    assert (send.email, send.prospect, send.status) == (keyed_hashes.hash_of(ADA), None, "bounced")
    assert send.error == "550 <(erased)> unknown"


def test_the_proof_of_the_no_stays_without_the_person(now):
    send = everything_about_ada(now)

    erase(now)

    [kept] = Unsubscribe.objects.filter(method="page")
    assert (kept.email, kept.campaign_key, kept.user_agent) == (keyed_hashes.hash_of(ADA), send.campaign.key, "")


def test_a_mail_that_waits_is_skipped_at_once(now):
    send = EmailSendFactory(prospect=ProspectFactory(email=ADA), campaign=CampaignFactory(paused=True))

    erase(now)

    send.refresh_from_db()
    assert (send.status, send.skip_reason) == ("skipped", "deleted")


def test_replaying_redacted_events_changes_nothing(now):
    send = everything_about_ada(now)
    erase(now)
    before = EmailSend.objects.values().get(pk=send.pk)

    recording.apply(EmailEvent.objects.all(), now=now)

    assert EmailSend.objects.values().get(pk=send.pk) == before
    assert Suppression.objects.filter(email__contains="@").count() == 1  # the one that was kept


def test_the_link_in_an_old_mail_still_works(now):
    send = everything_about_ada(now)
    token = send.prospect.unsubscribe_token
    erase(now)

    assert RetiredToken.objects.get().email == keyed_hashes.hash_of(ADA)
    assert unsubscribing.unsubscribe(token, method=Unsubscribe.Method.PAGE, now=now).unsubscribed
    assert suppressing.is_suppressed(ADA)


def test_erasing_is_audited_without_the_address(now):
    everything_about_ada(now)

    counts = erase(now, address=f" {ADA.upper()} ")

    kept = PersonRequest.objects.get()
    assert (kept.kind, kept.email_hash, kept.requested_by) == ("erase", keyed_hashes.hash_of(ADA), "anna")
    assert (kept.why, kept.counts) == ("(erased) asked for it", counts)
    assert counts["sends"] == counts["prospects"] == counts["rejected_import_rows"] == 1
    assert counts["events"] == 3


def test_erasing_again_finds_nothing_and_breaks_nothing(now):
    everything_about_ada(now)
    erase(now)

    assert erase(now)["prospects"] == 0


def test_while_a_file_waits_nobody_is_erased(now):
    ProspectFactory(email=ADA)
    ProspectImportFactory(state=ProspectImport.State.QUEUED)

    with pytest.raises(erasing.ImportsWaiting):
        erase(now)
    assert Prospect.objects.exists()


def test_an_erasure_that_fails_midway_has_done_nothing(now, monkeypatch):
    everything_about_ada(now)
    before = sorted(whole_database())
    monkeypatch.setattr(erasing.erasing, "erase", lambda email: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        erase(now)

    assert sorted(whole_database()) == before


def test_decisions_about_a_send_lose_the_address_and_stay(now):
    send = EmailSendFactory(
        unsettled=True, prospect=ProspectFactory(email=ADA), campaign=CampaignFactory(done=True), error=f"to {ADA}"
    )
    settling.give_up([send.pk], by="anna", why="too old", now=now)

    erase(now)

    decision = send.decisions.get()
    assert (decision.error, decision.why) == ("to (erased)", "too old")
