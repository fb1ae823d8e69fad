import pytest
from django.urls import reverse
from django.utils.html import escape

from notifications import recording
from notifications.models import TransactionalEmail
from tests import events
from tests.factories import SuppressionFactory
from tests.notifications import outbox
from tests.staff import PAYLOADS, member, superuser

pytestmark = pytest.mark.django_db

LIST = reverse("admin:notifications_transactionalemail_changelist")


def page(mail):
    return reverse("admin:notifications_transactionalemail_change", args=[mail.pk])


def test_the_list_says_who_got_what_and_why_not():
    outbox.posted()
    outbox.send()
    outbox.posted("bob@example.com")
    SuppressionFactory(email="bob@example.com", reason="bounce")
    outbox.send()

    text = superuser().get(LIST).content.decode()

    assert "ada@example.com" in text
    assert "issuer-onboarding-invite" in text
    assert "Skipped" in text
    assert "Suppressed" in text


def test_an_address_a_message_id_and_a_status_find_a_mail():
    mail = outbox.posted()
    outbox.send()
    outbox.posted("bob@example.com")
    mail.refresh_from_db()
    staff = superuser()

    for query in ("?q=Ada@example.com", f"?q={mail.message_id}", "?status=sent"):
        found = staff.get(LIST + query).context["cl"].result_list
        assert [row.pk for row in found] == [mail.pk], query


def test_a_mails_page_tells_its_history_and_its_events(now):
    mail = outbox.posted()
    outbox.send()
    mail.refresh_from_db()
    events.post(events.envelope("delivery", to=mail.email, send_id=mail.send_id, message_id=mail.message_id))
    recording.apply_events(now=now)

    text = superuser().get(page(mail)).content.decode()

    assert "Accepted by SES" in text
    assert "Events from SES" in text


def test_what_a_mail_said_is_not_shown(settings):
    settings.EMAIL_CONTENT_DAYS = 30
    mail = outbox.posted()

    assert "issuer.example.com/join" not in superuser().get(page(mail)).content.decode()


def test_nobody_writes_here():
    mail, staff = outbox.posted(), superuser()

    assert staff.post(page(mail), {"email": "x@example.com"}).status_code == 403
    assert staff.get(reverse("admin:notifications_transactionalemail_add")).status_code == 403
    assert TransactionalEmail.objects.get().email == "ada@example.com"


def test_looking_needs_the_permission():
    outbox.posted()

    assert member("view_transactionalemail").get(LIST).status_code == 200


def test_not_looking_without_it():
    assert member("view_suppression").get(LIST).status_code == 403


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if escape(payload) != payload])
def test_hostile_words_are_shown_as_words(payload):
    mail = outbox.posted(subject=payload)
    TransactionalEmail.objects.filter(pk=mail.pk).update(error=payload, template_name=payload[:100])
    staff = superuser()

    for url in (LIST, page(mail)):
        text = staff.get(url).content.decode()
        assert payload not in text
        assert escape(payload)[:60] in text
