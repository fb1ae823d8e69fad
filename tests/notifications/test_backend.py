import logging
from email.mime.image import MIMEImage

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection, send_mail, send_mass_mail
from django.db import OperationalError, transaction

from notifications import posting
from notifications.backend import UnsupportedMessage
from notifications.models import TransactionalEmail
from notifications.transports.ses import request_for
from tests.factories import SuppressionFactory
from tests.notifications import outbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _our_backend(settings):
    """The test runner replaces it by one that keeps messages in memory."""
    settings.EMAIL_BACKEND = "notifications.backend.EmailBackend"


def message(**changes):
    words = {"subject": "Hello", "body": "text", "from_email": "Site <site@example.com>", "to": ["ada@example.com"]}
    return EmailMessage(**words | changes)


def sent():
    """Send what waits, and return what left."""
    return outbox.send().sent


def test_it_is_the_configured_backend():
    from outreach import settings

    assert settings.EMAIL_BACKEND == "notifications.backend.EmailBackend"


def test_a_message_goes_through_the_outbox():
    assert send_mail("Hello", "text", None, ["Ada <Ada@Example.com>"], html_message="<p>html</p>") == 1

    (one,) = sent()
    assert (one.to, one.subject, one.text, one.html) == ("ada@example.com", "Hello", "text", "<p>html</p>")
    assert one.from_email == "outreach@example.com"
    assert dict(one.tags)["kind"] == "transactional"
    assert TransactionalEmail.objects.get().status == "sent"


def test_everybody_gets_a_mail_of_their_own():
    given = message(to=["a@example.com", "B <b@example.com>"], cc=["c@example.com"], bcc=["d@example.com", "a@example.com"])

    assert given.send() == 1

    assert sorted(one.to for one in sent()) == ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]


def test_names_reply_to_and_headers_travel_along():
    headers = {"X-Kind": "r\u00e4port", "Message-ID": "<ours@x>", "Date": "now", "Reply-To": "Help <help@example.com>"}
    message(headers=headers).send()

    (one,) = sent()
    assert one.from_header() == "Site <site@example.com>"
    assert list(one.reply_to) == ["help@example.com"]
    assert one.headers == (("X-Kind", "=?utf-8?q?r=C3=A4port?="),)


def test_attachments_travel_along_as_ses_takes_them():
    given = message(attachments=[("bill.pdf", b"%PDF", "application/pdf"), ("note.txt", "caf\u00e9", None)])
    picture = MIMEImage(b"png", "png")
    picture.add_header("Content-ID", "<logo>")
    given.attach(picture)
    given.attach("old.eml", message(subject="An old one"), "message/rfc822")
    given.send()

    (one,) = sent()
    attachments = request_for(one)["Content"]["Simple"]["Attachments"]
    assert [(a["FileName"], a["ContentType"], a["ContentDisposition"]) for a in attachments] == [
        ("bill.pdf", "application/pdf", "ATTACHMENT"),
        ("note.txt", "text/plain", "ATTACHMENT"),
        ("attachment.png", "image/png", "INLINE"),
        ("old.eml", "message/rfc822", "ATTACHMENT"),
    ]
    assert attachments[0]["RawContent"] == b"%PDF"
    assert attachments[1]["RawContent"] == "caf\u00e9".encode()
    assert attachments[2]["ContentId"] == "logo"
    assert b"Subject: An old one" in attachments[3]["RawContent"]


def test_a_mail_of_text_alone_has_no_empty_html_part():
    message().send()

    (one,) = sent()
    assert request_for(one)["Content"]["Simple"]["Body"].keys() == {"Text"}


def test_what_cannot_be_sent_faithfully_is_refused():
    def invitation():
        given = EmailMultiAlternatives("Meeting", "text", None, ["ada@example.com"])
        given.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
        return given

    with pytest.raises(UnsupportedMessage, match="text/calendar"):
        invitation().send()
    assert invitation().send(fail_silently=True) == 0
    assert not TransactionalEmail.objects.exists()


@pytest.mark.parametrize("change", [{"subject": "a\nb"}, {"to": ["no address"]}, {"headers": {"X": "a\r\nBcc: x@example.com"}}])
def test_what_would_smuggle_something_in_is_refused(change):
    with pytest.raises(posting.Unsendable):
        message(**change).send()
    assert not TransactionalEmail.objects.exists()


def test_a_bad_recipient_keeps_the_others_of_the_message_from_getting_half_of_it():
    with pytest.raises(posting.Unsendable):
        message(to=["ada@example.com", "no address"]).send()

    assert not TransactionalEmail.objects.exists()


def test_who_is_suppressed_gets_a_row_that_says_so_and_no_error():
    SuppressionFactory(email="ada@example.com", reason="bounce")

    assert message().send() == 0
    assert message(to=["ada@example.com", "bob@example.com"]).send() == 1

    assert [one.to for one in sent()] == ["bob@example.com"]
    assert {row.skip_reason for row in TransactionalEmail.objects.filter(email="ada@example.com")} == {"suppressed"}


def test_a_rehearsal_writes_to_listed_recipients_only(settings):
    settings.EMAIL_MODE, settings.EMAIL_ALLOWED_RECIPIENTS = "ses", ["bob@example.com"]

    assert message().send() == 0
    assert TransactionalEmail.objects.get().skip_reason == "not_allowed"


def test_many_messages_are_counted_as_messages():
    first = ("One", "text", None, ["a@example.com", "b@example.com"])
    second = ("Two", "text", None, ["c@example.com"])

    assert send_mass_mail([first, second]) == 2
    assert TransactionalEmail.objects.count() == 3


def test_one_bad_message_does_not_keep_the_others_when_failing_silently():
    backend = get_connection(fail_silently=True)

    assert backend.send_messages([message(to=["nobody"]), message()]) == 1


def test_a_message_to_nobody_is_none():
    assert message(to=[]).send() == 0


def test_a_mail_without_words_can_still_be_sent():
    message(body="").send()

    assert len(sent()) == 1


def test_mail_of_a_transaction_that_is_rolled_back_is_not_sent():
    with transaction.atomic():
        message().send()
        transaction.set_rollback(True)

    assert sent() == []


@pytest.fixture
def errors_to(settings):
    settings.ADMINS = [("ops", "ops@example.com")]


def test_error_mail_reaches_the_admins(errors_to):
    logging.getLogger("django.request").error("Internal Server Error: %s", "/x" + "y" * 3000)

    (one,) = sent()
    assert one.to == "ops@example.com"
    assert one.subject.startswith("[Outreach] ERROR: Internal Server Error: /xy")
    assert one.subject.endswith("…")


def test_error_mail_does_not_break_or_recurse_when_the_database_is_away(errors_to, monkeypatch):
    calls = []

    def broken(*_args, **_more):
        calls.append(1)
        # What a driver or a signal handler may do while we fail: it would ask for another mail.
        logging.getLogger("django.db").error("the database is away")
        raise OperationalError("away")

    monkeypatch.setattr(posting, "post_message", broken)

    logging.getLogger("django.request").error("Internal Server Error")

    assert calls == [1]


def test_without_fail_silently_a_database_that_is_away_is_an_error(monkeypatch):
    def broken(*_args, **_more):
        raise OperationalError("away")

    monkeypatch.setattr(posting, "post_message", broken)

    with pytest.raises(OperationalError):
        message().send()
