"""Pausing, editing and saying no while mail leaves: what is asked for acts within a second."""

import threading
import time
import uuid
from contextlib import contextmanager

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns import claiming, dispatching, reporting
from campaigns.models import Campaign, EmailSend
from notifications import suppressing
from notifications.models import UNSETTLED, SuppressionReason
from notifications.transports.memory import MemoryTransport
from prospects import catching_up, erasing, unsubscribing
from prospects.models import Prospect, Unsubscribe
from prospects.spooling import Kept
from tests.factories import CampaignFactory, EmailSendFactory

pytestmark = pytest.mark.prompt_calls

SECRET = "s" * 40
# What the contract allows, and what a machine that eight people share may take to write a moment down.
A_SECOND = 1.0


class Watched(MemoryTransport):
    """Notes when each call started."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds
        self.calls = []

    def send(self, message):
        self.calls.append((time.monotonic(), message.to, message.subject))
        time.sleep(self.seconds)
        return super().send(message)

    def wait_for(self, count):
        until = time.monotonic() + 30
        while len(self.calls) < count:
            assert time.monotonic() < until, "nothing was sent"
            time.sleep(0.01)


@pytest.fixture
def api(settings, published):
    settings.PROXY_SHARED_SECRET = SECRET
    return APIClient(headers={"X-Proxy-Secret": SECRET})


@contextmanager
def sending(campaign, transport):
    """A worker that runs the campaign's chunks until the block ends."""
    over = threading.Event()

    def work():
        try:
            while not over.is_set():
                generation = Campaign.objects.get(pk=campaign.pk).generation
                dispatching.send_chunk(campaign.pk, generation, transport=transport, clock=timezone.now)
                time.sleep(0.02)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def wait_until_nobody_waits():
    """Who said no after the claim is skipped by the next one."""
    until = time.monotonic() + 30
    while EmailSend.objects.filter(status__in=UNSETTLED).exists():
        assert time.monotonic() < until, "somebody waits for ever"
        time.sleep(0.05)


def pause(api, campaign):
    assert api.patch(f"/api/campaigns/{campaign.pk}", {"status": "paused"}).status_code == 200
    return time.monotonic()


def resume(api, campaign):
    at = time.monotonic()
    assert api.post("/api/campaigns/send", {"campaignId": campaign.pk}).status_code == 202
    return at


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("rate", "seconds"), [(5, 0.0), (20, 0.0), (20, 0.4), (300, 0.0)])
def test_no_call_starts_later_than_a_second_after_a_pause_was_answered(api, settings, rate, seconds):
    settings.SES_MAX_SEND_RATE = float(rate)
    transport = Watched(seconds)
    campaign = CampaignFactory(sending=True, waiting=max(30, rate * 2))

    with sending(campaign, transport):
        transport.wait_for(5)
        paused = pause(api, campaign)
        time.sleep(2 * A_SECOND)

    assert max(at for at, *_ in transport.calls) <= paused + A_SECOND
    stats = reporting.stats(campaign.pk)
    assert (stats["in_flight"], stats["sent"], stats["planned"]) == (0, len(transport.calls), max(30, rate * 2))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rate", [5, 300])
def test_a_no_that_is_kept_in_a_file_stops_a_turn_under_way(settings, published, now, rate):
    settings.SES_MAX_SEND_RATE = float(rate)
    transport, campaign = Watched(), CampaignFactory(sending=True, waiting=rate * 4)
    no = Kept(token=uuid.uuid4(), at=now, method="one_click", campaign_key="", user_agent="")

    with sending(campaign, transport):
        transport.wait_for(3)
        catching_up.keep(no)
        kept = time.monotonic()
        time.sleep(2 * A_SECOND)

    assert max(at for at, *_ in transport.calls) <= kept + A_SECOND
    stats = reporting.stats(campaign.pk)
    assert (stats["in_flight"], stats["waiting"]) == (0, rate * 4 - len(transport.calls))


@pytest.mark.django_db(transaction=True)
def test_pausing_and_resuming_again_and_again_mails_everybody_once(api, settings):
    settings.SES_MAX_SEND_RATE = 50.0
    transport = Watched(0.05)
    campaign = CampaignFactory(sending=True, waiting=150)
    still = []

    with sending(campaign, transport):
        for _ in range(4):
            transport.wait_for(len(transport.calls) + 3)
            paused = pause(api, campaign)
            time.sleep(1.3 * A_SECOND)
            still.append((paused + A_SECOND, resume(api, campaign)))
        transport.wait_for(150)

    mailed = [to for _, to, _ in transport.calls]
    assert len(mailed) == len(set(mailed)) == 150
    assert not [at for at, *_ in transport.calls for begin, end in still if begin < at < end]


@pytest.mark.django_db(transaction=True)
def test_words_that_changed_during_a_pause_are_those_of_every_mail_after_it(api, settings):
    settings.SES_MAX_SEND_RATE = 50.0
    transport = Watched()
    campaign = CampaignFactory(sending=True, waiting=200, subject="Old")

    with sending(campaign, transport):
        transport.wait_for(5)
        pause(api, campaign)
        api.patch(f"/api/campaigns/{campaign.pk}", {"subject": "New"})
        resumed = resume(api, campaign)
        transport.wait_for(200)

    assert {subject for at, _, subject in transport.calls if at > resumed + A_SECOND} == {"New"}
    # What had begun before the pause was answered is finished with the words it began with.
    changed = [subject for *_, subject in transport.calls]
    assert changed == sorted(changed, reverse=True)
    assert len({to for _, to, _ in transport.calls}) == 200


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["sending", "done"])
@pytest.mark.parametrize(
    "words",
    [
        {"subject": "New"},
        {"body_html": "<p>New</p>"},
        {"body_text": "New"},
        {"from_email": "new@example.com"},
        {"from_name": "New"},
        {"reply_to": "new@example.com"},
        {"audience": {"include_tags": ["new"]}},
        {"name": "New"},
    ],
)
def test_no_word_changes_while_mail_leaves(api, state, words):
    campaign = CampaignFactory(**{state: True})

    response = api.patch(f"/api/campaigns/{campaign.pk}", words)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "CAMPAIGN_STATUS")
    (name,) = words
    assert getattr(Campaign.objects.get(), name) == getattr(campaign, name)


@pytest.mark.django_db
def test_a_campaign_that_sends_again_after_a_retry_is_frozen_too(api, now):
    send = EmailSendFactory(unsettled=True, campaign=CampaignFactory(done=True))
    api.post(f"/api/campaigns/{send.campaign_id}/sends/{send.pk}/retry", {"reason": "why"})

    assert api.patch(f"/api/campaigns/{send.campaign_id}", {"subject": "New"}).status_code == 409


def _unsubscribe(person):
    unsubscribing.unsubscribe(person.unsubscribe_token, method=Unsubscribe.Method.ONE_CLICK, campaign_key="", now=timezone.now())


def _suppress(person):
    suppressing.suppress([person.email], reason=SuppressionReason.MANUAL, source="test", now=timezone.now())


def _delete(person):
    Prospect.objects.get(pk=person.pk).delete()


def _change(person):
    Prospect.objects.filter(pk=person.pk).update(email=f"new-{person.email}")


def _erase(person):
    erasing.erase_person(person.email, by="test", why="asked", now=timezone.now())


NOES = [_unsubscribe, _suppress, _delete, _change, _erase]


@pytest.mark.django_db
@pytest.mark.parametrize("no", NOES)
def test_a_no_between_claim_and_call_stops_the_call_and_is_accounted_for(now, run_all, transport, no):
    send = EmailSendFactory(campaign=CampaignFactory(sending=True))
    slice_id = uuid.uuid4()
    claiming.claim(send.campaign_id, slice_id=slice_id, limit=1, lease=60)
    no(send.prospect)

    ledger = claiming.CampaignLedger(send.campaign_id, slice_id=slice_id)

    assert ledger.start([send.pk]) == set()
    claiming.release_all(send.campaign_id)
    run_all(send.campaign)
    send.refresh_from_db()
    assert (transport.sent, send.status) == ([], "skipped")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rate", [10, 100])
def test_who_says_no_during_the_run_gets_nothing_from_the_next_second_on(api, settings, rate):
    settings.SES_MAX_SEND_RATE = float(rate)
    transport = Watched()
    campaign = CampaignFactory(sending=True, waiting=5 * rate)
    people = list(EmailSend.objects.order_by("pk").select_related("prospect"))
    said = {}

    with sending(campaign, transport):
        for number, n in enumerate(range(2 * rate, 5 * rate, max(1, rate // 5))):
            person = people[n].prospect
            address = person.email
            NOES[number % len(NOES)](person)
            said[address] = time.monotonic()
        until = time.monotonic() + 60
        while EmailSend.objects.filter(status__in=("queued", "sending")).exists():
            assert time.monotonic() < until, "the campaign does not end"
            time.sleep(0.05)

    assert not [to for at, to, _ in transport.calls if to in said and at > said[to] + A_SECOND]
    stats = reporting.stats(campaign.pk)
    assert stats["planned"] == stats["sent"] + stats["skipped"] == 5 * rate
