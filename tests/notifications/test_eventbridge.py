import json

import pytest

from notifications import eventbridge
from notifications.ses_events import EventType, NotAnEvent
from tests import events


def read(envelope):
    return eventbridge.read(json.dumps(envelope).encode(), received_at=events.RECEIVED)


@pytest.mark.parametrize("given", ["current", "former"])
def test_each_of_several_secrets_opens(given):
    eventbridge.check_secret(given, secrets=["current", "former"])


def test_a_secret_beyond_ascii_is_compared_by_its_bytes():
    as_wsgi_hands_it_over = "schlüssel".encode().decode("latin-1")

    eventbridge.check_secret(as_wsgi_hands_it_over, secrets=["schlüssel"])


@pytest.mark.parametrize(
    "given",
    ["", "wrong", "current ", "current\n", " current", "current,current", "Current", "curren", "schlüssel", "€", "\udcff"],
)
def test_anything_else_is_refused(given):
    with pytest.raises(eventbridge.WrongWebhookSecret):
        eventbridge.check_secret(given, secrets=["current", "former"])


@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_opens(secrets):
    with pytest.raises(eventbridge.WebhookNotConfigured):
        eventbridge.check_secret("", secrets=secrets)


def test_every_secret_is_compared_also_after_a_match(monkeypatch):
    compared = []

    def compare(given, expected):
        compared.append(expected)
        return given == expected

    monkeypatch.setattr("hmac.compare_digest", compare)
    eventbridge.check_secret("one", secrets=["one", "two", "three"])

    assert compared == [b"one", b"two", b"three"]


def test_the_event_in_an_envelope_is_read():
    assert read(events.payload("bounce")).event_type == EventType.BOUNCE


def test_the_type_in_the_event_counts_not_the_envelopes():
    assert read(events.payload("bounce") | {"detail-type": "Email Sent"}).event_type == EventType.BOUNCE


@pytest.mark.parametrize("name", ["sending_status_disabled", "advisor_recommendation"])
def test_news_about_the_account_are_of_no_interest_and_keep_their_name(name):
    envelope = events.payload(name)

    event = read(envelope)

    assert (event.event_type, event.is_of_interest) == (envelope["detail-type"], False)


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"source": "aws.ses"},
        events.payload("send")["detail"],
        events.payload("send") | {"source": "aws.s3"},
        events.payload("send") | {"source": "aws.session"},
        events.payload("send") | {"source": None},
        events.payload("send") | {"detail": "text"},
        events.payload("send") | {"detail": None},
        events.payload("send") | {"detail-type": ["Email Sent"]},
    ],
)
def test_an_unknown_envelope_is_refused(envelope):
    with pytest.raises(NotAnEvent):
        read(envelope)
