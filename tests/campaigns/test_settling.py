"""What a person decides about unknown sends, and what the events of both mails then do."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from campaigns import claiming, dispatching, lifecycle, reporting, settling, tracking
from campaigns.models import EmailSend, SendAttempt, SendDecision
from notifications.ledgers import Settled
from notifications.transports.base import Outcome, Verdict
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def send():
    return EmailSendFactory(unsettled=True, campaign=CampaignFactory(sending=True), error="ReadTimeoutError")


def retry(send, now, **words):
    settling.retry([send.pk], **{"by": "ada", "why": "asked them by phone"} | words, now=now)
    send.refresh_from_db()


def tell(send, name, *, attempt=1, message_id="first", **changes):
    tag = f"{send.campaign.key}-{send.pk}" + (f"-{attempt}" if attempt > 1 else "")
    tracking.record([events.event(name, to=send.email, message_id=message_id, send_id=tag, **changes)])
    send.refresh_from_db()


def claim(send):
    """Claim the row, as a worker does."""
    slice_id = uuid.uuid4()
    rows, _ = claiming.claim(send.campaign_id, slice_id=slice_id, limit=10, lease=60)
    assert [row.id for row in rows] == [send.pk]
    return claiming.CampaignLedger(send.campaign_id, slice_id=slice_id)


def call(send):
    """Claim the row and start its call."""
    ledger = claim(send)
    assert ledger.start([send.pk]) == {send.pk}
    return ledger


def accept(ledger, send, message_id):
    ledger.record([Settled(send.pk, Outcome(Verdict.ACCEPTED, message_id=message_id), time.monotonic())])
    send.refresh_from_db()


def test_a_retried_send_waits_again_and_its_first_attempt_is_kept_in_full(send, now):
    before = send.call_started_at, send.unknown_at

    retry(send, now)

    old = SendAttempt.objects.get()
    assert (send.status, send.attempt, send.error, send.call_started_at) == ("queued", 2, "", None)
    assert (old.attempt, old.call_started_at, old.unknown_at, old.error) == (1, *before, "ReadTimeoutError")


def test_who_decided_what_when_and_why_is_kept_with_what_it_was_before(send, now):
    unknown_at = send.unknown_at

    retry(send, now)

    decision = SendDecision.objects.get()
    assert (decision.verb, decision.attempt, decision.decided_by, decision.decided_at) == ("retry", 1, "ada", now)
    assert (decision.why, decision.unknown_at, decision.error) == ("asked them by phone", unknown_at, "ReadTimeoutError")


def test_a_send_that_is_given_up_has_failed_and_says_who_and_why(send, now):
    settling.give_up([send.pk], by="ada", why="not worth it", now=now)

    send.refresh_from_db()
    assert (send.status, send.error) == ("failed", "Given up by ada: not worth it")
    assert SendDecision.objects.get().verb == "give_up"


def test_a_mail_that_was_given_up_and_had_left_counts_as_sent(send, now):
    settling.give_up([send.pk], by="ada", why="not worth it", now=now)

    tell(send, "delivery")

    assert (send.status, send.message_id) == ("delivered", "first")


@pytest.mark.parametrize("decide", [settling.retry, settling.give_up])
@pytest.mark.parametrize(
    "state",
    [{}, {"accepted": True}, {"failed": True}, {"skipped": True}, {"claimed": True}, {"unsettled": True, "accepted": True}],
)
def test_only_an_unknown_send_can_be_decided(decide, state, now):
    facts = {
        "failed": {"failed_at": now},
        "skipped": {"skipped_at": now, "skip_reason": "bounced"},
        "claimed": {"claimed_by": uuid.uuid4(), "lease_until": now, "call_started_at": now},
    }
    traits = {name: value for name, value in state.items() if name not in facts}
    send = EmailSendFactory(**traits, **{k: v for name in state for k, v in facts.get(name, {}).items()})

    with pytest.raises(settling.SendNotUnknown):
        decide([send.pk], by="ada", why="why", now=now)


def test_of_several_sends_all_are_decided_or_none(send, now):
    waiting = EmailSendFactory(campaign=send.campaign)

    with pytest.raises(settling.SendNotUnknown, match=str(waiting.pk)):
        settling.retry([send.pk, waiting.pk], by="ada", why="why", now=now)

    send.refresh_from_db()
    assert (send.status, SendDecision.objects.count()) == ("unknown", 0)


@pytest.mark.parametrize("why", ["", "  \n"])
@pytest.mark.parametrize("decide", [settling.retry, settling.give_up])
def test_a_decision_needs_a_reason(send, decide, why, now):
    with pytest.raises(settling.DecisionNeedsReason):
        decide([send.pk], by="ada", why=why, now=now)


def test_a_draft_takes_nothing_up_again(now):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory())

    with pytest.raises(lifecycle.WrongStatus):
        retry(send, now)

    assert not SendDecision.objects.exists()


def test_a_sent_campaign_sends_again_and_plans_nobody_new(now, published, django_capture_on_commit_callbacks):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(done=True))
    EmailSendFactory()  # a person who was added since

    with django_capture_on_commit_callbacks(execute=True):
        retry(send, now)

    send.campaign.refresh_from_db()
    assert (send.campaign.status, send.campaign.finished_at, send.campaign.enrolled_through) == ("sending", None, None)
    assert published == [("campaigns.tasks.send_chunk", (send.campaign_id, send.campaign.generation))]


def test_a_sent_campaign_that_may_not_send_any_more_takes_nothing_up(now, settings):
    settings.SES_FROM = ""
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(done=True, from_email=""))

    with pytest.raises(lifecycle.CampaignNotSendable):
        retry(send, now)

    assert EmailSend.objects.get().status == "unknown"


def test_a_paused_campaign_keeps_them_waiting(now):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(paused=True))

    retry(send, now)

    send.campaign.refresh_from_db()
    assert (send.status, send.campaign.status) == ("queued", "paused")


def test_the_second_mail_has_a_tag_of_its_own_and_leaves_once(send, now, run_all, transport):
    retry(send, now)

    run_all(send.campaign)

    (message,) = transport.sent
    assert dict(message.tags)["send_id"] == f"{send.campaign.key}-{send.pk}-2"
    send.refresh_from_db()
    assert (send.status, send.send_id) == ("sent", f"{send.campaign.key}-{send.pk}-2")


def test_who_said_no_meanwhile_is_skipped(send, now, run_all, transport):
    retry(send, now)
    type(send.prospect).objects.update(unsubscribed_at=now)

    run_all(send.campaign)

    send.refresh_from_db()
    assert (transport.sent, send.status, send.skip_reason) == ([], "skipped", "unsubscribed")


@pytest.mark.parametrize("name", ["send", "delivery", "delivery_delay", "open", "click", "bounce", "complaint", "subscription"])
def test_an_event_of_the_first_mail_before_the_second_call_settles_the_row(send, now, run_all, transport, name):
    retry(send, now)

    tell(send, name)

    run_all(send.campaign)
    send.refresh_from_db()
    assert (transport.sent, send.message_id) == ([], "first")
    assert send.status in {"sent", "delivered", "opened", "clicked", "bounced", "complained"}


def test_an_event_of_the_first_mail_between_claim_and_call_stops_the_call(send, now):
    retry(send, now)
    ledger = claim(send)

    tell(send, "delivery")

    assert ledger.start([send.pk]) == set()
    assert (send.status, send.message_id) == ("delivered", "first")


def test_a_first_mail_that_ses_rejected_does_not_keep_the_second_from_leaving(send, now, run_all, transport):
    retry(send, now)

    tell(send, "reject")

    assert (send.status, SendAttempt.objects.get().message_id) == ("queued", "first")
    run_all(send.campaign)
    assert len(transport.sent) == 1


def test_both_mails_keep_their_ids_and_find_their_row(send, now):
    retry(send, now)
    ledger = call(send)
    tell(send, "send")  # the first mail, while the second is on its way
    accept(ledger, send, "second")

    tell(send, "open", message_id="first", tags=False)
    tell(send, "delivery", message_id="second", tags=False)

    assert (send.message_id, SendAttempt.objects.get().message_id) == ("second", "first")
    assert (send.opened_at is not None, send.delivered_at is not None) == (True, True)
    assert reporting.stats(send.campaign_id)["sent"] == 1


def test_a_first_mail_that_left_counts_although_the_second_call_was_refused(send, now):
    retry(send, now)
    ledger = call(send)
    ledger.record([Settled(send.pk, Outcome(Verdict.REFUSED, error="bad content"), time.monotonic())])

    tell(send, "delivery")

    assert (send.status, SendAttempt.objects.get().message_id) == ("delivered", "first")


def test_a_worker_that_wakes_with_the_first_mails_answer_takes_nothing_from_the_second(send, now):
    EmailSend.objects.update(unknown_at=None, call_started_at=None)
    sleeper = call(send)
    EmailSend.objects.update(unknown_at=now, claimed_by=None, lease_until=None)
    retry(send, now)
    worker = call(send)

    accept(sleeper, send, "first")
    accept(worker, send, "second")
    tell(send, "bounce", attempt=2, message_id="second")
    tell(send, "open", message_id="second", tags=False)

    assert (send.status, send.opened_at is not None, send.message_id) == ("bounced", True, "first")
    assert list(SendAttempt.objects.filter(message_id="second").values_list("attempt", flat=True)) == [2]


def test_a_late_message_id_fills_an_empty_one_of_an_attempt_and_never_overwrites(send, now):
    retry(send, now)
    tell(send, "reject", message_id="first")

    tell(send, "delivery", message_id="another")

    assert (send.status, SendAttempt.objects.get().message_id) == ("queued", "first")


@pytest.mark.parametrize("tag", ["{key}-{pk}-3", "{key}-{pk}-0", "{key}-{pk}-1", "{key}-{pk}-2-1", "{key}-{pk}-x", "{key}-{pk}-"])
def test_a_tag_of_an_attempt_that_was_never_made_names_nobody(send, now, tag):
    retry(send, now)

    found = tracking.look_up([events.event("delivery", send_id=tag.format(key=send.campaign.key, pk=send.pk))])

    assert found == {}


def test_an_unknown_retry_can_be_retried_once_more(send, now, run_all, transport):
    retry(send, now)
    transport.answer = lambda _m: Outcome(Verdict.UNKNOWN, error="ReadTimeoutError")
    run_all(send.campaign)

    retry(send, now + timedelta(hours=1))

    assert (send.status, send.attempt) == ("queued", 3)
    assert list(SendAttempt.objects.order_by("attempt").values_list("attempt", flat=True)) == [1, 2]


def test_the_account_balances_through_all_of_it(send, now, run_all):
    EmailSendFactory(campaign=send.campaign, unsettled=True)
    settling.retry(settling.unknown_of(send.campaign), by="ada", why="why", now=now)

    run_all(send.campaign)

    stats = reporting.stats(send.campaign_id)
    assert (stats["planned"], stats["sent"], stats["unknown"]) == (2, 2, 0)


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_decide_at_once_one_does(send, now):
    def decide(verb):
        try:
            verb([send.pk], by="ada", why="why", now=now)
            return 1
        except settling.SendNotUnknown:
            return 0
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(decide, [settling.retry, settling.give_up] * 2)) == 1

    assert SendDecision.objects.count() == 1


def test_the_first_call_of_a_retried_send_still_counts_towards_the_daily_limit(send, now):
    assert dispatching.left_today(2, now=now) == 1

    retry(send, now)

    assert dispatching.left_today(2, now=now) == 1
