import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import meaning, ses_events
from notifications.ses_events import EventType, Recipient
from tests import events

RECEIVED = events.RECEIVED
MAILED = datetime(2026, 11, 1, 12, 0, 0, 12000, tzinfo=UTC)
MAIL_EVENTS = [kind.lower().replace(" ", "_").replace("deliverydelay", "delivery_delay") for kind in EventType]


def read(detail, raw=b"raw"):
    return ses_events.read(detail, raw=raw, received_at=RECEIVED)


@pytest.mark.parametrize(("name", "kind"), list(zip(MAIL_EVENTS, EventType, strict=True)))
def test_each_documented_event_is_understood(name, kind):
    event = events.event(name)

    assert event.event_type == kind
    assert event.is_of_interest
    assert (event.send_id, event.campaign_id, event.kind) == ("0123456789ab-42", "7", "outreach")
    assert event.destination == ("recipient@example.com",)
    assert event.mailed_at == MAILED


@pytest.mark.parametrize("name", ["send", "reject", "rendering_failure"])
def test_an_event_without_a_time_of_its_own_has_its_mails(name):
    assert events.event(name).occurred_at == MAILED


def test_a_bounce_says_whom_why_and_when():
    event = events.event("bounce")

    assert event.recipients == (Recipient("recipient@example.com", "failed", "5.1.1"),)
    assert (event.bounce_type, event.bounce_sub_type) == ("Permanent", "General")
    assert event.diagnostic == "smtp; 550 5.1.1 user unknown"
    assert event.occurred_at == datetime(2026, 11, 1, 12, 0, 3, 456000, tzinfo=UTC)


def test_a_click_says_where_and_with_what():
    event = events.event("click")

    assert event.link == "https://example.com/offer?a=1"
    assert event.user_agent.startswith("Mozilla/5.0")


@pytest.mark.parametrize(("name", "words"), [("reject", "Bad content"), ("rendering_failure", "Attribute 'attributeName'")])
def test_a_refusal_says_why(name, words):
    assert events.event(name).diagnostic.startswith(words)


@pytest.mark.parametrize("spelling", ["Rendering Failure", "RenderingFailure", "RENDERING_FAILURE", "rendering failure"])
def test_every_spelling_of_rendering_failure_is_known(spelling):
    detail = events.payload("rendering_failure")["detail"] | {"eventType": spelling}

    assert read(detail).event_type == EventType.RENDERING_FAILURE


def test_a_feedback_notification_is_read_like_an_event():
    event = read(events.payload("identity_bounce"))

    assert event.event_type == EventType.BOUNCE
    assert event.send_id == ""
    assert event.recipients == (Recipient("recipient@example.com", "failed", "5.1.1"),)


def test_the_same_news_by_another_route_has_the_same_fingerprint():
    assert read(events.payload("identity_bounce")).fingerprint == events.event("bounce").fingerprint


@pytest.mark.parametrize("name", MAIL_EVENTS)
def test_the_envelope_has_no_part_in_the_fingerprint(name):
    body = events.payload(name) | {"id": "another", "time": "2026-11-05T00:00:00Z"}
    body["detail"]["mail"]["headers"] = []

    assert read(body["detail"]).fingerprint == events.event(name).fingerprint


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bounce", {"message_id": "another"}),
        ("bounce", {"feedbackId": "another"}),
        ("bounce", {"to": "another@example.com"}),
        ("click", {"link": "https://example.com/another"}),
        # Two openings are two events.
        ("open", {"timestamp": "2026-11-01T14:00:01.000Z"}),
        ("delivery", {"timestamp": "2026-11-01T12:00:02.346Z"}),
    ],
)
def test_other_news_has_another_fingerprint(name, changes):
    assert events.event(name, **changes).fingerprint != events.event(name).fingerprint


def test_the_order_of_recipients_has_no_part_in_the_fingerprint():
    one, two = {"emailAddress": "a@example.com"}, {"emailAddress": "B@example.com"}

    first = events.event("bounce", bouncedRecipients=[one, two])
    second = events.event("bounce", bouncedRecipients=[{"emailAddress": "b@EXAMPLE.com"}, one])

    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00.012Z", datetime(2026, 11, 1, 10, 0, 0, 12000, tzinfo=UTC)),
        ("2018-10-08T14:05:45 +0000", datetime(2018, 10, 8, 14, 5, 45, tzinfo=UTC)),
        ("2026-11-01T10:00:00-07:00", datetime(2026, 11, 1, 17, tzinfo=UTC)),
        ("2026-11-01T10:00:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        # Unreadable or impossible: the mail's own time is the next best.
        ("yesterday", MAILED),
        ("", MAILED),
        (None, MAILED),
        (1793527200, MAILED),
        ("0001-01-01T00:00:00+23:59", MAILED),
        ("9999-12-31T23:59:59-23:59", MAILED),
        ("1970-01-01T00:00:00Z", MAILED),
        ("2030-01-01T00:00:00Z", MAILED),
    ],
)
def test_times_are_read_in_every_form_that_was_seen(text, moment):
    assert events.event("open", timestamp=text).occurred_at == moment


def test_without_any_time_the_receipt_counts():
    event = events.event("open", timestamp="?", mailed_at="?")

    assert (event.occurred_at, event.mailed_at) == (RECEIVED, RECEIVED)


def test_a_clock_may_be_a_little_ahead():
    ahead = RECEIVED + timedelta(hours=1)

    assert events.event("open", timestamp=ahead.isoformat()).occurred_at == ahead


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("Ada <Ada@Example.COM>", "ada@example.com"),
        ('"Lovelace, <Ada>" <ada@example.com> ', "ada@example.com"),
        ("Ada <ada@example.com> and more", "ada <ada@example.com> and more"),
        ("ada@münchen.example", "ada@xn--mnchen-3ya.example"),
        ('"test."@example.com', '"test."@example.com'),
        ("RFC822; nobody", "rfc822; nobody"),
        ("", ""),
        (None, ""),
        (7, ""),
        ("(" * 399 + "<", "(" * 399 + "<"),
    ],
)
def test_recipients_are_normalised_where_possible(written, address):
    event = events.event("bounce", bouncedRecipients=[{"emailAddress": written}])

    assert event.recipients == (Recipient(address),)


@pytest.mark.parametrize("tag", [["0123456789ab-1", "x"], "0123456789ab-1"])
def test_a_tag_is_the_first_of_its_values(tag):
    detail = events.payload("send")["detail"]
    detail["mail"]["tags"]["send_id"] = tag

    assert read(detail).send_id == "0123456789ab-1"


@pytest.mark.parametrize("tag", [[], {}, None, 7, [None], ["x" * 257]])
def test_what_cannot_be_a_tag_is_none(tag):
    detail = events.payload("send")["detail"]
    detail["mail"]["tags"]["send_id"] = tag

    assert read(detail).send_id == ""


@pytest.mark.parametrize("message_id", [None, "", 7, [], "x" * 256])
def test_an_event_about_no_mail_is_of_no_interest(message_id):
    detail = events.payload("send")["detail"]
    detail["mail"]["messageId"] = message_id

    assert not read(detail).is_of_interest


def test_an_unknown_type_keeps_its_name_and_is_of_no_interest():
    event = read(events.payload("send")["detail"] | {"eventType": "Resurrection"})

    assert (event.event_type, event.is_of_interest) == ("Resurrection", False)


def test_events_of_no_interest_are_the_same_when_their_bodies_are():
    detail = {"eventType": "Resurrection"}

    assert read(detail, raw=b"a").fingerprint == read(detail, raw=b"a").fingerprint != read(detail, raw=b"b").fingerprint


@pytest.mark.parametrize(
    ("new", "old", "leaves"),
    [
        ({"unsubscribeAll": True}, {}, True),
        ({"unsubscribeAll": False}, {}, False),
        ({"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptOut"}]}, {}, True),
        ({"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptIn"}]}, {}, False),
        (
            {"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptOut"}]},
            {"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptOut"}]},
            False,
        ),
        (None, None, False),
    ],
)
def test_a_subscription_event_tells_who_left(new, old, leaves):
    assert events.event("subscription", newTopicPreferences=new, oldTopicPreferences=old).leaves_list is leaves


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b'"text"',
        b"null",
        b"7",
    ],
)
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(ses_events.NotAnEvent):
        ses_events.load(body)


@pytest.mark.parametrize(
    "body", [b'{"a": ' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}', b'{"a": "\\ud800\\u0000"}']
)
def test_odd_but_legal_json_is_read(body):
    assert isinstance(ses_events.load(body), dict)


def test_texts_can_be_stored_whatever_json_allows():
    event = events.event("bounce", message_id="m\x00\ud800", bounceSubType="\x00", feedbackId="\ud800")

    assert event.message_id == "m\ufffd?"
    assert event.bounce_sub_type == "\ufffd"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(st.characters(codec=None), max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def distorted(draw):
    """A documented event with some of its values replaced by anything."""
    detail = events.payload(draw(st.sampled_from(MAIL_EVENTS)))["detail"]
    for _ in range(draw(st.integers(1, 3))):
        spot = detail
        while True:
            key = draw(st.sampled_from(sorted(spot)))
            if not isinstance(spot[key], dict) or not spot[key] or draw(st.booleans()):
                spot[key] = draw(json_values)
                break
            spot = spot[key]
    return detail


@given(distorted())
def test_whatever_comes_is_read_without_error(detail):
    event = read(json.loads(json.dumps(detail)))

    assert event.occurred_at.tzinfo is UTC
    for text in (event.event_type, event.message_id, event.send_id, event.diagnostic, event.link, event.user_agent):
        assert "\x00" not in text.encode().decode()
    assert "sent_at" in meaning.facts(event, "recipient@example.com") or event.event_type in {"Reject", "Rendering Failure"}


@pytest.mark.parametrize("name", ["complaint", "delivery"])
def test_a_feedback_notification_and_the_event_are_the_same_news(name):
    told = ses_events.read(events.payload(f"identity_{name}"), raw=b"", received_at=events.RECEIVED)

    assert told.fingerprint == events.event(name).fingerprint
    assert (told.send_id, events.event(name).send_id) == ("", "0123456789ab-42")
