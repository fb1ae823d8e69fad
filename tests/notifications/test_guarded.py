"""A rehearsal writes to nobody outside EMAIL_ALLOWED_RECIPIENTS, by whatever way a mail comes to the last gate."""

import pytest

from notifications import transports
from notifications.messages import OutgoingMessage
from notifications.transports.base import Outcome, Verdict
from notifications.transports.guarded import GuardedTransport, is_listed
from notifications.transports.log import LogTransport
from notifications.transports.memory import MemoryTransport
from notifications.transports.ses import SesTransport


def message(to):
    return OutgoingMessage(to=to, from_email="b@example.com", subject="s", text="t")


@pytest.mark.parametrize(
    ("email", "listed"),
    [
        ("ada@example.com", True),
        ("ADA@EXAMPLE.COM", True),
        ("bob@example.com", False),
        ("anybody@example.org", True),
        ("anybody@sub.example.org", False),
        ("anybody@badexample.org", False),
        ("@example.org@evil.com", False),
        ("ada@example.com.evil.com", False),
    ],
)
def test_an_address_or_its_whole_domain_is_listed(email, listed):
    assert is_listed(email, {"ada@example.com", "@example.org"}) is listed


def test_only_what_is_listed_reaches_the_transport():
    inner = MemoryTransport()
    guarded = GuardedTransport(inner, ["ada@example.com"])

    accepted, refused = guarded.send(message("ada@example.com")), guarded.send(message("bob@example.com"))

    assert [one.to for one in inner.sent] == ["ada@example.com"]
    assert (accepted.verdict, refused.verdict) == (Verdict.ACCEPTED, Verdict.REFUSED)
    assert "EMAIL_ALLOWED_RECIPIENTS" in refused.error


class Bulk(MemoryTransport):
    def send_many(self, messages):
        self.sent += messages
        return [Outcome(Verdict.ACCEPTED, message_id=f"to-{one.to}") for one in messages]

    def send_past_the_guard(self, messages):
        raise AssertionError


def test_of_mails_sent_together_only_the_listed_leave_and_the_outcomes_keep_their_order():
    inner = Bulk(most_together=50)
    guarded = GuardedTransport(inner, ["ada@example.com", "@example.org"])
    to = ["bob@example.com", "ada@example.com", "carl@example.com", "dora@example.org"]

    outcomes = guarded.send_many([message(one) for one in to])

    assert guarded.most_together == 50
    assert [one.to for one in inner.sent] == ["ada@example.com", "dora@example.org"]
    assert [one.verdict for one in outcomes] == [Verdict.REFUSED, Verdict.ACCEPTED, Verdict.REFUSED, Verdict.ACCEPTED]
    assert [one.message_id for one in outcomes] == ["", "to-ada@example.com", "", "to-dora@example.org"]


def test_no_other_way_through_the_guard_exists():
    assert not hasattr(GuardedTransport(Bulk(), []), "send_past_the_guard")


@pytest.mark.parametrize(
    ("mode", "allowed", "kind"),
    [("log", ["a@example.com"], LogTransport), ("ses", ["a@example.com"], GuardedTransport), ("ses", [], SesTransport)],
)
def test_the_configured_transport_is_guarded_when_recipients_are_listed(settings, mode, allowed, kind):
    settings.EMAIL_MODE, settings.SES_REGION, settings.EMAIL_ALLOWED_RECIPIENTS = mode, "us-east-1", allowed

    assert isinstance(transports.configured(), kind)
