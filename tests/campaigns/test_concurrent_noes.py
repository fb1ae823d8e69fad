"""Hundreds say no at once, by the page's own route, while a fast campaign sends: no call starts a second after a no."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from campaigns import dispatching, reporting
from campaigns.models import Campaign, EmailSend
from notifications.models import Suppression
from notifications.transports.memory import MemoryTransport
from prospects.models import Prospect
from tests.factories import CampaignFactory, ProspectFactory

PEOPLE, NOES, _THREADS = 2000, 500, 4
A_SECOND = 1.0


class Timed(MemoryTransport):
    """Notes when each call to SES started, and whom it was for."""

    def __init__(self, most_together):
        super().__init__(most_together=most_together)
        self.calls = {}

    def send_many(self, messages):
        started = time.monotonic()
        for message in messages:
            self.calls.setdefault(message.to, []).append(started)
        return super().send_many(messages)


def say_no(people):
    """POST for each as a mailbox provider does; the moments when the answers, which follow the commit, were there."""
    client, said = Client(REMOTE_ADDR="127.0.0.1"), {}
    try:
        for person in people:
            path = f"/api/unsubscribe?token={person.unsubscribe_token}"
            answer = client.post(path, {"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200
            said[person.email] = time.monotonic()
    finally:
        connections.close_all()
    return said


def send_all(campaign, transport, over):
    try:
        while not over.is_set():
            generation = Campaign.objects.get(pk=campaign.pk).generation
            dispatching.send_chunk(campaign.pk, generation, transport=transport, clock=timezone.now)
            time.sleep(0.01)
    finally:
        connection.close()


@pytest.mark.prompt_calls
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most_together", [1, 50])
def test_no_call_starts_later_than_a_second_after_the_commit_of_a_no(settings, monkeypatch, most_together):
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *_: True)
    settings.SES_MAX_SEND_RATE = 150.0 if most_together == 1 else 450.0
    campaign = CampaignFactory(sending=True)
    people = Prospect.objects.bulk_create(ProspectFactory.build_batch(PEOPLE))
    EmailSend.objects.bulk_create(EmailSend(campaign=campaign, prospect=one, email=one.email) for one in people)
    transport, over = Timed(most_together), threading.Event()
    worker = threading.Thread(target=send_all, args=[campaign, transport, over])
    worker.start()

    try:
        # From the end of the line: they are still to be mailed when they say no.
        sayers = people[-NOES:]
        with ThreadPoolExecutor(_THREADS) as threads:
            told = list(threads.map(say_no, [sayers[n::_THREADS] for n in range(_THREADS)]))
        said = {to: at for one in told for to, at in one.items()}
        until = time.monotonic() + 90
        while EmailSend.objects.filter(status__in=["queued", "sending"]).exists():
            assert time.monotonic() < until, "the campaign does not end"
            time.sleep(0.1)
    finally:
        over.set()
        worker.join()

    calls = [(to, at) for to in said for at in transport.calls.get(to, [])]
    assert len(said) == NOES
    assert [to for to, at in calls if at > said[to] + A_SECOND] == []
    # Some were not mailed at all because of it, or the test would show nothing.
    assert len(calls) < NOES - 50
    assert Suppression.objects.filter(email__in=said, reason="unsubscribe").count() == NOES
    stats = reporting.stats(campaign.pk)
    assert (stats["planned"], stats["waiting"], stats["in_flight"]) == (PEOPLE, 0, 0)
    assert stats["sent"] + stats["skipped"] == PEOPLE
    assert all(len(started) == 1 for started in transport.calls.values())
