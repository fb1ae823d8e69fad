"""Erasing while the same people say no and complain: nobody waits for ever, and nobody is left over."""

import pytest
from django.utils import timezone

from notifications import recording, suppressing
from prospects import erasing, unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests import events
from tests.factories import CampaignFactory, EmailSendFactory
from tests.prospects.files import in_threads

PEOPLE = 25


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keep", ["address", "hash"])
def test_erasing_and_saying_no_at_once_loses_no_no_and_breaks_nothing(settings, keep):
    settings.SUPPRESSION_KEEP = keep
    campaign = CampaignFactory(done=True)
    sends = [EmailSendFactory(accepted=True, campaign=campaign) for _ in range(PEOPLE)]
    tokens, addresses = [send.prospect.unsubscribe_token for send in sends], [send.email for send in sends]
    about = [events.about(send) for send in sends]

    def erase():
        for address in addresses:
            erasing.erase_person(address, by="test", why="asked", now=timezone.now())

    def say_no():
        for token in tokens:
            assert unsubscribing.unsubscribe(token, method=Unsubscribe.Method.ONE_CLICK, now=timezone.now())

    def complain():
        for one in about:
            events.post(events.envelope("complaint", **one))
            recording.apply_events(now=timezone.now())

    assert in_threads(erase, say_no, complain) == [None, None, None]
    recording.apply_events(now=timezone.now())
    erase()  # of whom an event or a no came in at that very moment

    assert all(suppressing.is_suppressed(address) for address in addresses)
    assert not Prospect.objects.exists()
    assert not Unsubscribe.objects.filter(email__contains="@").exists()
    assert not campaign.sends.filter(email__contains="@").exists()
