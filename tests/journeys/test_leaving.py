"""Many people leave at once: every one of them is heard, at once, beside a forger and beside a campaign that sends."""

import random
import re
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.conf import settings as site_settings
from django.db import connection
from django.utils import timezone

from campaigns import dispatching
from campaigns.models import Campaign, EmailSend
from notifications.transports.memory import MemoryTransport
from prospects import unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests.bench.unsubscribe import flood
from tests.factories import CampaignFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.prompt_calls]

PEOPLE, LEAVERS, RATE = 2_500, 500, 250.0


def test_valid_one_clicks_from_few_addresses_are_honoured_and_a_forger_is_blocked():
    database = connection.settings_dict
    url = re.sub(r"/[^/]*$", f"/{database['NAME']}", site_settings.DATABASE_URL)

    result = flood(url, site_settings.REDIS_URL, valid=400, forged=400, settings="tests.journeys.patient_settings")

    # On a machine that stalls for seconds some are kept (202), and applied a moment later.
    assert result.valid.statuses[200] + result.valid.statuses[202] == 400
    assert result.unsubscribed == 400
    # Thirty are answered neutrally; of five at the same moment, the last of them may meet the block already.
    assert 25 < result.forged.statuses[200] <= 30
    assert result.forged.statuses[429] == 400 - result.forged.statuses[200]
    assert result.keys < 20


class Timed(MemoryTransport):
    """Notes when each call started."""

    def __init__(self):
        super().__init__()
        self.started = {}

    def send(self, message):
        self.started[message.to] = time.monotonic()
        return super().send(message)


@pytest.fixture
def campaign(settings, monkeypatch):
    settings.SES_MAX_SEND_RATE = RATE
    monkeypatch.setattr("campaigns.lifecycle.publish", lambda *_: True)
    Prospect.objects.bulk_create(Prospect(email=f"person{n}@example.com") for n in range(PEOPLE))
    return CampaignFactory(status="sending", started_at=timezone.now(), loop_seen_at=timezone.now())


def send_until_done(campaign, transport):
    with closing(connection):
        while Campaign.objects.get(pk=campaign.pk).status == "sending":
            now = Campaign.objects.get(pk=campaign.pk)
            dispatching.send_chunk(campaign.pk, now.generation, transport=transport, clock=timezone.now)


def leave(person, at):
    """Say no at a moment of one's own; returns when it had certainly been committed."""
    time.sleep(max(0.0, at - time.monotonic()))
    with closing(connection):
        unsubscribing.unsubscribe(person.unsubscribe_token, method=Unsubscribe.Method.ONE_CLICK, now=timezone.now())
    return person.email, time.monotonic()


def test_no_call_starts_later_than_a_second_after_somebody_said_no(campaign):
    transport, chance = Timed(), random.Random(8058)
    leavers = chance.sample(list(Prospect.objects.all()), LEAVERS)
    began = time.monotonic()
    moments = [began + chance.uniform(0.0, 0.8 * PEOPLE / RATE) for _ in leavers]

    with ThreadPoolExecutor(17) as threads:
        sending = threads.submit(send_until_done, campaign, transport)
        order = sorted(zip(leavers, moments, strict=True), key=lambda pair: pair[1])
        left = dict(threads.map(leave, *zip(*order, strict=True)))
        sending.result()

    late = {email: transport.started[email] - at for email, at in left.items() if email in transport.started}
    assert {email: seconds for email, seconds in late.items() if seconds > 1.0} == {}
    # Both happened often: who left in time got nothing, and who had got it already left afterwards.
    assert len(late) > 20
    assert EmailSend.objects.filter(status="skipped", email__in=left).count() > 20
    assert len(transport.sent) == len(transport.started) == PEOPLE - LEAVERS + len(late)
    assert Prospect.objects.filter(status="unsubscribed").count() == LEAVERS


def test_a_scanner_that_follows_every_link_unsubscribes_nobody(campaign, live_server, settings):
    settings.PUBLIC_BASE_URL, settings.SES_MAX_SEND_RATE, settings.TRUSTED_PROXY_COUNT = live_server.url, 1000.0, 1
    Prospect.objects.filter(pk__in=Prospect.objects.values("pk")[60:]).delete()
    Campaign.objects.update(body_html='<p>Hello</p><a href="{{ unsubscribe_url }}">x</a>', body_text="{{ unsubscribe_url }}")
    transport = MemoryTransport()
    sender = threading.Thread(target=send_until_done, args=(campaign, transport))
    sender.start()
    sender.join()

    found = {link for message in transport.sent for link in links_of(message)}
    assert len(found) == len(transport.sent) == 60
    for number, link in enumerate(found):
        # From many addresses, as scanners do; one that looks 31 times within a minute is told to wait.
        headers = {"User-Agent": "SafeLinks", "X-Forwarded-For": f"198.51.100.{number}"}
        for method in ("GET", "HEAD"):
            with urllib.request.urlopen(urllib.request.Request(link, method=method, headers=headers)) as page:
                assert page.status == 200

    assert Prospect.objects.filter(status="active").count() == 60
    assert not Unsubscribe.objects.exists()


def links_of(message):
    """Every address in the headers and in both bodies."""
    everything = " ".join([message.html, message.text, *(value for _name, value in message.headers)])
    return {link.replace("&amp;", "&") for link in re.findall(r"https?://[^\s\"'<>]+", everything)}
