import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications import certificates, sns
from notifications.ses_events import EventType
from tests import events, sns_messages
from tests.sns_messages import CERTIFICATE_URL, GENUINE, SENT, TOPIC, notification, signed

DAY_OF_THE_VECTORS = datetime(2022, 7, 29, tzinfo=UTC)


@pytest.fixture
def fetched():
    return []


@pytest.fixture(autouse=True)
def serve(monkeypatch, fetched):
    """Certificates as the host would answer: ours, unless a test names another."""

    def certificate(pem):
        def download(url):
            fetched.append(url)
            return pem

        monkeypatch.setattr(certificates, "kept", certificates.Certificates(download))

    certificate(sns_messages.certificate())
    return certificate


def verify(fields, *, topic_arns=(TOPIC,), least_version=1, now=SENT):
    message = sns.parse(json.dumps(fields).encode())
    sns.verify(message, topic_arns=topic_arns, least_version=least_version, now=now)


@pytest.mark.parametrize("path", GENUINE, ids=lambda path: path.stem)
def test_what_aws_has_signed_is_believed(path, serve):
    serve(sns_messages.genuine_certificate())
    message, topic = sns_messages.genuine(path)

    sns.verify(message, topic_arns=[topic], least_version=1, now=DAY_OF_THE_VECTORS)


def test_there_are_five_genuine_messages():
    assert len(GENUINE) == 5


@pytest.mark.parametrize("path", GENUINE, ids=lambda path: path.stem)
def test_a_genuine_message_is_believed_years_after_its_certificate_has_expired(path, serve):
    serve(sns_messages.genuine_certificate())
    message, topic = sns_messages.genuine(path)

    sns.verify(message, topic_arns=[topic], least_version=1, now=SENT)


@contextmanager
def served(pem):
    """As the fixture does, for one of many examples."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(certificates, "kept", certificates.Certificates(lambda _url: pem))
        yield


@given(data=st.data())
def test_no_signed_field_of_a_genuine_message_can_be_changed(data):
    message, topic = sns_messages.genuine(data.draw(st.sampled_from(GENUINE)))
    name = data.draw(st.sampled_from(["Message", "MessageId", "Subject", "Timestamp", "TopicArn"]))
    other = data.draw(st.text(max_size=200).filter(lambda text: text != message.fields.get(name)))
    if name == "TopicArn":  # another listed topic of the same region: only the signature tells
        other = topic[:-1] + data.draw(st.from_regex(r"[A-Za-z0-9_-]{2,9}", fullmatch=True))
    forged = sns.Message(message.type, message.fields | {name: other})

    with served(sns_messages.genuine_certificate()), pytest.raises((sns.WrongSignature, sns.WrongTimestamp)):
        sns.verify(forged, topic_arns=[topic, other], least_version=1, now=SENT)


@given(data=st.data())
def test_no_signed_field_of_a_confirmation_can_be_changed(data):
    kind = data.draw(st.sampled_from(["SubscriptionConfirmation", "UnsubscribeConfirmation"]))
    fields = signed(sns_messages.confirmation(kind), version=data.draw(st.sampled_from("12")))
    name = data.draw(st.sampled_from(["Message", "MessageId", "SubscribeURL", "Timestamp", "Token"]))
    other = data.draw(st.text(max_size=200).filter(lambda text: text != fields[name]))

    with served(sns_messages.certificate()), pytest.raises((sns.WrongSignature, sns.WrongTimestamp)):
        verify(fields | {name: other})


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_messages_about_a_subscription_have_keys_of_their_own(kind, version):
    verify(signed(sns_messages.confirmation(kind), version=version))


@pytest.mark.parametrize("message", ["{}", '{"a": 1}\n', "\n\n", "Größe 😀", "a\nMessageId\nb", ""])
@pytest.mark.parametrize("subject", ["Hello", "", "two\nlines", None])
@pytest.mark.parametrize("version", ["1", "2"])
def test_every_text_is_signed_as_it_is(message, subject, version):
    verify(signed(notification(message, Subject=subject), version=version))


def test_a_subject_of_null_is_an_absent_one():
    verify(signed(notification("{}", Subject=None)) | {"Subject": None})


def test_an_empty_subject_is_not_an_absent_one():
    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}", Subject=None)) | {"Subject": ""})


def test_keys_that_are_not_signed_may_be_there():
    verify(signed(notification("{}")) | {"MessageAttributes": {}, "UnsubscribeURL": "https://example.com", "New": 1})


def test_the_trailing_newline_of_a_message_is_part_of_it():
    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}\n")) | {"Message": "{}"})


@pytest.mark.parametrize("topics", [[], [TOPIC + "x"], [TOPIC.upper()], ["arn:aws:sns:us-east-1:999999999999:ses-events"]])
def test_a_foreign_topic_is_refused_and_nothing_is_fetched_for_it(topics, fetched):
    with pytest.raises(sns.ForeignTopic):
        verify(signed(notification("{}")), topic_arns=topics)

    assert fetched == []


@pytest.mark.parametrize("topic", [None, "", 5, ["x"], {"a": 1}])
def test_a_message_of_no_topic_is_of_a_foreign_one(topic):
    with pytest.raises(sns.ForeignTopic):
        verify(signed(notification("{}")) | {"TopicArn": topic}, topic_arns=[TOPIC, ""])


HOST = "sns.us-east-1.amazonaws.com"
FILE = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


@pytest.mark.parametrize(
    "url",
    [
        "",
        f"http://{HOST}/{FILE}",
        f"https://{HOST}:443/{FILE}",
        f"https://user@{HOST}/{FILE}",
        f"https://{HOST}/{FILE}?x=1",
        f"https://{HOST}/{FILE}#x",
        f"https://{HOST}/{FILE}\n",
        f" https://{HOST}/{FILE}",
        f"https://{HOST}/a/../{FILE}",
        f"https://{HOST}//{FILE}",
        f"https://{HOST}/{FILE.upper()}",
        f"https://{HOST}/SimpleNotificationService-0123.pem",
        f"https://{HOST}/SimpleNotificationService-{'g' * 32}.pem",
        f"https://{HOST}./{FILE}",
        f"https://{HOST.upper()}/{FILE}",
        f"https://snsXus-east-1.amazonaws.com/{FILE}",
        f"https://sns.us-west-2.amazonaws.com/{FILE}",
        f"https://sns.s3-us-west-2.amazonaws.com/{FILE}",
        f"https://sns.s3.amazonaws.com/{FILE}",
        f"https://sns.us-east-1.amazonaws.com.cn/{FILE}",
        f"https://sns.us-east-1.amazonaws.com.example.com/{FILE}",
        f"https://example.com/{HOST}/{FILE}",
        f"https://{HOST}\\@example.com/{FILE}",
        f"https://{HOST}/SimpleNotificationService-{'٣' * 32}.pem",
    ],
)
def test_a_certificate_is_only_taken_from_the_host_of_the_topics_region(url, fetched):
    with pytest.raises(sns.WrongCertificateUrl):
        verify(signed(notification("{}"), url=url))

    assert fetched == []


@pytest.mark.parametrize(
    ("topic", "host"),
    [
        ("arn:aws-cn:sns:cn-north-1:123456789012:t", "sns.cn-north-1.amazonaws.com.cn"),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:t", "sns.us-gov-west-1.amazonaws.com"),
        ("arn:aws-eusc:sns:eusc-de-east-1:123456789012:t", "sns.eusc-de-east-1.amazonaws.eu"),
        ("arn:aws:sns:eu-central-1:123456789012:t", "sns.eu-central-1.amazonaws.com"),
    ],
)
def test_every_partition_has_hosts_of_its_own(topic, host):
    verify(signed(notification("{}", TopicArn=topic), url=f"https://{host}/{FILE}"), topic_arns=[topic])


@pytest.mark.parametrize("signature", ["", None, 5])
def test_without_a_signature_the_message_is_a_raw_one(signature):
    with pytest.raises(sns.RawDelivery):
        verify(signed(notification("{}")) | {"Signature": signature})


@pytest.mark.parametrize("signature", ["not base64", "AAAA", "ünïcödé", "A" * 344, "=" * 8])
def test_a_signature_that_is_none_is_wrong(signature):
    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}")) | {"Signature": signature})


def test_another_key_signs_in_vain():
    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}"), by=sns_messages.rsa.generate_private_key(65537, 2048)))


@pytest.mark.parametrize("version", ["0", "3", "01", "", None, 1, "٢", "1 "])
def test_an_unknown_version_of_signatures_is_refused(version, fetched):
    with pytest.raises(sns.WrongSignature, match="must be 1 or 2"):
        verify(signed(notification("{}")) | {"SignatureVersion": version})
    with pytest.raises(sns.WrongSignature, match="must be 2"):
        verify(signed(notification("{}")) | {"SignatureVersion": version}, least_version=2)

    assert fetched == []


@pytest.mark.parametrize(("signed_as", "claimed"), [("1", "2"), ("2", "1")])
def test_a_signature_counts_for_its_own_version_only(signed_as, claimed):
    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}"), version=signed_as) | {"SignatureVersion": claimed})


def test_a_downgrade_is_refused_once_version_two_is_the_least():
    verify(signed(notification("{}"), version="2"), least_version=2)

    with pytest.raises(sns.WrongSignature):
        verify(signed(notification("{}"), version="1"), least_version=2)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=1), timedelta(days=14), timedelta(minutes=-14)])
def test_a_message_may_be_old_or_from_a_clock_that_is_a_little_fast(age):
    verify(signed(notification("{}")), now=SENT + age)


def test_a_message_of_the_future_is_refused():
    with pytest.raises(sns.WrongTimestamp):
        verify(signed(notification("{}")), now=SENT - timedelta(minutes=16))


@pytest.mark.parametrize("timestamp", ["", "yesterday", "9999-12-31T23:59:59-23:59", None, 5])
def test_a_message_of_no_time_is_refused(timestamp):
    with pytest.raises(sns.WrongTimestamp):
        verify(signed(notification("{}")) | {"Timestamp": timestamp})


@pytest.mark.parametrize(("begins", "ends"), [(1, 90), (-90, -1)])
def test_a_certificate_must_have_been_valid_when_the_message_was_signed(serve, begins, ends):
    serve(sns_messages.certificate(begins=SENT + timedelta(days=begins), ends=SENT + timedelta(days=ends)))

    with pytest.raises(certificates.CertificateRefused):
        verify(signed(notification("{}")))


@pytest.mark.parametrize("name", ["Message", "MessageId"])
def test_a_signed_text_that_is_missing_makes_it_no_message(name):
    with pytest.raises(sns.NotAnEnvelope):
        verify(signed(notification("{}")) | {name: None})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"Notification"', b"{}", b'{"Type": "Other"}', b'{"Type": 1}', b'{"Type": ["Notification"]}']
)
def test_what_is_no_message_of_sns_is_said_to_be_none(body):
    with pytest.raises(sns.NotAnEnvelope):
        sns.parse(body)


@pytest.mark.parametrize("event", [events.payload("bounce")["detail"], events.payload("identity_bounce")])
def test_an_event_without_an_envelope_is_raw_delivery(event):
    with pytest.raises(sns.RawDelivery):
        sns.parse(json.dumps(event).encode())


SETUP = "AMAZON_SES_SETUP_NOTIFICATION"


def read(fields):
    return sns.read(json.dumps(fields).encode(), received_at=events.RECEIVED)


@pytest.mark.parametrize("event", [events.payload("bounce")["detail"], events.payload("identity_bounce")])
def test_event_publishing_and_identity_notifications_are_read_alike(event):
    found = read(notification(json.dumps(event) + "\n"))

    assert (found.event_type, found.message_id) == (EventType.BOUNCE, event["mail"]["messageId"])
    assert found.recipients[0].email == "recipient@example.com"


def test_the_same_news_have_the_same_fingerprint_by_each_route():
    assert read(notification(events.payload("bounce")["detail"])).fingerprint == events.event("bounce").fingerprint


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Successfully validated SNS topic for Amazon SES event publishing.", "Successfully validated SNS topic"),
        ("Hello world", "Text"),
        ("[" * 100_000, "Text"),
        ('{"eventType": NaN}', "Text"),
        ("[]", "Text"),
        ({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "ok"}, "AmazonSnsSubscriptionSucceeded"),
        (
            {"notificationType": "Received", "mail": {"messageId": "AMAZON_SES_SETUP_NOTIFICATION"}},
            "AMAZON_SES_SETUP_NOTIFICATION",
        ),
        ({"notificationType": "Bounce", "mail": {"messageId": "AMAZON_SES_SETUP_NOTIFICATION"}}, "AMAZON_SES_SETUP_NOTIFICATION"),
        ({"eventType": "Resurrection", "mail": {"messageId": "m"}}, "Resurrection"),
        ({"eventType": ["Bounce"]}, "Unknown"),
        ({}, "Unknown"),
    ],
)
def test_what_is_no_event_is_of_no_interest(message, name):
    event = read(notification(message))

    assert (event.event_type, event.is_of_interest) == (name, False)


def test_what_is_of_no_interest_is_the_same_whatever_stands_around_what_was_signed():
    fields = signed(notification("Hello world"))

    bodies = [json.dumps(fields, indent=indent).encode() for indent in (None, 1, 8)]
    bodies.append(json.dumps(fields | {"UnsubscribeURL": "made up", "New": 1}).encode())

    assert len({sns.read(body, received_at=events.RECEIVED).fingerprint for body in bodies}) == 1


def test_the_certificate_is_fetched_from_the_address_in_the_message(fetched):
    verify(signed(notification("{}")))

    assert fetched == [CERTIFICATE_URL]
