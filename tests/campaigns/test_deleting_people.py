"""People who go away, or change, while a campaign is under way."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.utils import timezone

from campaigns import enrolling
from campaigns.models import EmailSend
from notifications.models import Suppression
from prospects import unsubscribing
from prospects.models import Prospect, Unsubscribe
from tests import sessions
from tests.factories import CampaignFactory, EmailSendFactory, ProspectFactory


@pytest.mark.django_db(transaction=True)
def test_a_person_who_is_being_deleted_does_not_break_enrolment():
    stays, goes = ProspectFactory(), ProspectFactory()
    campaign = CampaignFactory()
    deleted = threading.Event()

    def delete():
        try:
            with transaction.atomic():
                Prospect.objects.filter(pk=goes.pk).delete()
                deleted.set()
                threading.Event().wait(0.3)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(delete)
        assert deleted.wait(sessions.SECONDS)
        enrolling.enrol_batch(campaign.pk)
        done.result()

    assert list(EmailSend.objects.values_list("email", flat=True)) == [stays.email]


@pytest.mark.django_db
def test_a_no_covers_the_earlier_address_that_the_mail_went_to():
    person = ProspectFactory(email="new@example.com")
    send = EmailSendFactory(prospect=person, email="old@example.com", accepted=True)

    unsubscribing.unsubscribe(
        person.unsubscribe_token, method=Unsubscribe.Method.ONE_CLICK, campaign_key=send.campaign.key, now=timezone.now()
    )

    assert set(Suppression.objects.values_list("email", flat=True)) == {"new@example.com", "old@example.com"}
