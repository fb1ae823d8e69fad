"""A person's rights: what goes, what stays without them, what is told; and that nobody hears from us again by it."""

import json
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection

from campaigns import claiming, enrolling, reporting, settling
from campaigns.models import EmailSend
from notifications import recording, suppressing
from notifications.models import EmailEvent, Suppression, SuppressionLift, SuppressionReason
from outreach import keyed_hashes
from prospects import editing, erasing, unsubscribing
from prospects.models import PersonRequest, Prospect, ProspectImport, RejectedRow, RetiredToken, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory, ProspectImportFactory, SuppressionFactory
from tests.prospects.files import import_text
from tests.staff import member, superuser

pytestmark = pytest.mark.django_db

ADA = "ada.lovelace@example.com"
STATUSES = [("unsubscribe", "unsubscribed"), ("bounce", "bounced"), ("complaint", "complained")]
SECTIONS = (
    "unsubscribes",
    "suppressions",
    "suppression_lifts",
    "events",
    "rejected_import_rows",
    "admin_log",
)


@pytest.fixture(params=["address", "hash"])
def keep(request, settings):
    settings.SUPPRESSION_KEEP = request.param
    return request.param


def erase(now, address=ADA):
    return erasing.erase_person(address, by="anna", why=f"{ADA} asked for it", now=now)


def everything_about_ada(now):
    """Ada in every table that can hold her; returns her send."""
    ada = ProspectFactory(email=ADA, first_name="Ada", last_name="Lovelace", attributes={"town": "London"})
    send = EmailSendFactory(accepted=True, prospect=ada, campaign=CampaignFactory(done=True))
    events.post(
        events.envelope("bounce", **events.about(send)),
        events.envelope("open", message_id=send.message_id, send_id=send.send_id, to=ADA.upper()),
        events.envelope("delivery", message_id="of-somebody-else", to=ADA.title(), tags=False),
    )
    recording.apply_events(now=now)
    EmailSend.objects.update(error=f"550 <{ADA}> unknown")
    unsubscribing.unsubscribe(
        ada.unsubscribe_token, method=Unsubscribe.Method.PAGE, campaign_key=send.campaign.key, user_agent="Firefox", now=now
    )
    suppressing.lift(SuppressionFactory(email="x@example.com"), by="anna", why="no", now=now)
    SuppressionLift.objects.create(
        email=ADA, reason="manual", suppressed_at=now, lifted_at=now, lifted_by="anna", why=f"{ADA} asked"
    )
    RejectedRow.objects.create(
        prospect_import=ProspectImportFactory(state=ProspectImport.State.DONE),
        line=2,
        email=ADA.title(),
        code="duplicate",
        detail=ADA,
    )
    LogEntry.objects.log_actions(User.objects.create_user("anna").pk, [ada], 2, change_message="changed")
    LogEntry.objects.create(
        user=User.objects.get(),
        content_type=ContentType.objects.get_for_model(Suppression),
        object_id="9",
        object_repr=f"{ADA} (bounce)",
        action_flag=1,
    )
    return send


def whole_database():
    """Every row of every table of ours, as text."""
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name != "django_migrations"]
        for name in tables:
            cursor.execute(f'SELECT t::text FROM "{name}" t')  # noqa: S608
            for (row,) in cursor.fetchall():
                yield name, row
        cursor.execute("SELECT encode(body, 'escape') FROM email_events")
        for (body,) in cursor.fetchall():
            yield "bodies", body


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


def test_the_export_holds_everything(now):
    send = everything_about_ada(now)
    out = StringIO()

    call_command("export_person", ADA.upper(), stdout=out)

    held = json.loads(out.getvalue())
    assert held["prospects"][0]["attributes"] == {"town": "London"}
    assert held["sends"][0]["message_id"] == send.message_id
    assert held["sends"][0]["status"] == "bounced"
    for section in SECTIONS:
        assert held[section], section
    assert PersonRequest.objects.get().kind == "export"


def test_the_export_of_somebody_unknown_is_empty(now):
    held = erasing.export_person("nobody@example.com", by="anna", now=now)

    assert not any(rows for rows in held.values() if isinstance(rows, list))


def test_the_command_asks_first(now, monkeypatch):
    ProspectFactory(email=ADA)
    monkeypatch.setattr("builtins.input", lambda: "yes")
    with pytest.raises(CommandError, match="Nothing"):
        call_command("erase_person", ADA, reason="asked", stdout=StringIO())
    assert Prospect.objects.exists()

    monkeypatch.setattr("builtins.input", lambda: ADA)
    call_command("erase_person", ADA, reason="asked", stdout=StringIO())
    assert not Prospect.objects.exists()


@pytest.mark.parametrize(("address", "reason", "said"), [("no address", "x", "Not an e-mail"), (ADA, " ", "needs a reason")])
def test_the_command_says_what_is_wrong(address, reason, said):
    with pytest.raises(CommandError, match=said):
        call_command("erase_person", address, reason=reason, yes=True)


def test_staff_erase_with_the_address_typed_a_reason_and_the_permission(now):
    path = f"/admin/prospects/prospect/{ProspectFactory(email=ADA).pk}/erase/"
    assert member("view_prospect", "change_prospect", "delete_prospect").get(path).status_code == 403
    staff = superuser()

    assert staff.get(path).status_code == 200
    staff.post(path, {"address": "bob@example.com", "why": "asked"})
    staff.post(path, {"address": ADA, "why": ""})
    assert Prospect.objects.exists()
    staff.post(path, {"address": ADA, "why": "asked"})

    assert not Prospect.objects.exists()
    assert PersonRequest.objects.get().requested_by == "anna"
    assert staff.get("/admin/prospects/personrequest/", {"q": ADA}).content.decode().count("asked") >= 1


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


def test_decisions_about_a_send_lose_the_address_and_stay(now):
    send = EmailSendFactory(
        unsettled=True, prospect=ProspectFactory(email=ADA), campaign=CampaignFactory(done=True), error=f"to {ADA}"
    )
    settling.give_up([send.pk], by="anna", why="too old", now=now)

    erase(now)

    decision = send.decisions.get()
    assert (decision.error, decision.why) == ("to (erased)", "too old")
