from uuid import uuid4

import pytest

from notifications import claiming
from notifications.models import Suppression, TransactionalContent, TransactionalEmail
from outreach import keyed_hashes
from prospects import erasing

pytestmark = pytest.mark.django_db

ADA = "ada@example.com"


@pytest.fixture
def waiting():
    row = TransactionalEmail.objects.create(email=ADA, subject="For Ada", from_email="hello@example.com", template_name="receipt")
    TransactionalContent.objects.create(email=row, html="<p>Dear Ada</p>", text="Dear Ada")
    return row


def test_erasing_leaves_the_row_and_nothing_of_the_person(waiting, now):
    erasing.erase_person(ADA, by="ada", why="asked by letter", now=now)

    waiting.refresh_from_db()
    assert (waiting.email, waiting.subject) == (keyed_hashes.hash_of(ADA), "[erased]")
    assert (waiting.status, waiting.skip_reason) == ("skipped", "erased")
    assert not TransactionalContent.objects.exists()


def test_an_export_holds_the_mails_and_their_words(waiting, now):
    held = erasing.export_person(ADA, by="ada", why="asked by letter", now=now)

    assert [row["subject"] for row in held["transactional_emails"]] == ["For Ada"]
    assert [row["text"] for row in held["transactional_contents"]] == ["Dear Ada"]


def test_a_bounce_that_is_kept_as_a_hash_still_stops_transactional_mail(waiting, now):
    Suppression.objects.create(email=keyed_hashes.hash_of(ADA), reason="bounce", suppressed_at=now)

    assert claiming.claim(slice_id=uuid4(), limit=10, lease=60) == ([], 1)


def test_an_unsubscription_that_is_kept_as_a_hash_stops_none(waiting, now):
    Suppression.objects.create(email=keyed_hashes.hash_of(ADA), reason="unsubscribe", suppressed_at=now, unsubscribed_at=now)

    assert claiming.claim(slice_id=uuid4(), limit=10, lease=60) == ([waiting.pk], 0)
