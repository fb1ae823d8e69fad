"""SNS over HTTPS: which topic may speak, who signed, and the event in the envelope.

A good signature proves that AWS sent a message, not that it is for us: anybody may subscribe our
address to a topic of theirs. So the topic is looked at first, and nothing is fetched for a foreign one.
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
"""

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from notifications import certificates, ses_events
from outreach import topics
from outreach.errors import DomainError


class MessageType(StrEnum):
    """What SNS posts."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION = "SubscriptionConfirmation"
    UNSUBSCRIPTION = "UnsubscribeConfirmation"


_CONFIRMATION_KEYS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED_KEYS = {
    MessageType.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    MessageType.SUBSCRIPTION: _CONFIRMATION_KEYS,
    MessageType.UNSUBSCRIPTION: _CONFIRMATION_KEYS,
}
# Lambda's spelling, which tools that forward messages hand on; what is signed is the name above.
_OTHER_SPELLINGS = {"SigningCertURL": "SigningCertUrl", "SubscribeURL": "SubscribeUrl", "UnsubscribeURL": "UnsubscribeUrl"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303 (what SNS signs with until the topic is switched to version 2)
    "2": hashes.SHA256(),
}
_CLOCKS_DIFFER = timedelta(minutes=15)
# What SES says when a topic is attached to a configuration set, or to an identity.
_GREETING = "Successfully validated SNS topic"
_SETUP_MESSAGE_ID = "AMAZON_SES_SETUP_NOTIFICATION"


class NotAnEnvelope(DomainError):
    """The body is not a message of SNS."""

    code = "NOT_AN_SNS_MESSAGE"
    status = 400


class RawDelivery(DomainError):
    """The message is not signed: switch raw message delivery off for this subscription."""

    code = "SNS_MESSAGE_UNSIGNED"
    status = 403


class ForeignTopic(DomainError):
    """Messages of this topic are not accepted: SES_SNS_TOPIC_ARNS does not list it."""

    code = "SNS_TOPIC_NOT_ALLOWED"
    status = 403


class WrongCertificateUrl(DomainError):
    """The signing certificate is not where SNS keeps those of the topic's region."""

    code = "SNS_CERTIFICATE_URL_REFUSED"
    status = 403


class WrongSignature(DomainError):
    """The message's signature is missing or wrong."""

    code = "SNS_SIGNATURE_WRONG"
    status = 403


class WrongTimestamp(DomainError):
    """The message says that it was sent in the future, or at no readable time."""

    code = "SNS_TIMESTAMP_REFUSED"
    status = 403


@dataclass(frozen=True, slots=True)
class Message:
    """One message of SNS as its JSON says, not yet trusted."""

    type: MessageType
    fields: dict[str, Any]

    @property
    def topic_arn(self) -> str:
        return self.text("TopicArn")

    def text(self, key: str) -> str:
        """The text under a key; empty when there is none."""
        value = self.fields.get(key, self.fields.get(_OTHER_SPELLINGS.get(key, key)))
        return value if isinstance(value, str) else ""


def parse(body: bytes) -> Message:
    """The envelope in a body. Raises NotAnEnvelope, and RawDelivery for an event without one."""
    try:
        fields = ses_events.load(body)
    except ses_events.NotAnEvent as error:
        raise NotAnEnvelope(error.detail) from error
    name = fields.get("Type")
    if isinstance(name, str) and name in set(MessageType):
        return Message(MessageType(name), fields)
    if {"eventType", "notificationType"} & fields.keys():
        raise RawDelivery
    raise NotAnEnvelope


def verify(message: Message, *, topic_arns: Collection[str], least_version: int, now: datetime) -> None:
    """Believe a message of a listed topic that AWS signed, and nothing else.

    The certificate must have been valid when the message was signed, not now: a message out of a
    dead-letter queue may come two weeks later, and certificates change every year. Its age is no
    reason to refuse it, for what an event says is stored once however often it is replayed.
    Raises ForeignTopic, RawDelivery, NotAnEnvelope, WrongCertificateUrl, WrongTimestamp, WrongSignature,
    and certificates.CertificateUnavailable, certificates.CertificateRefused.
    """
    if not message.topic_arn or message.topic_arn not in topic_arns:
        raise ForeignTopic
    version = message.text("SignatureVersion")
    if not message.text("Signature"):
        raise RawDelivery
    accepted = [known for known in _HASHES if int(known) >= least_version]
    if version not in accepted:
        raise WrongSignature(f"The signature's version must be {' or '.join(accepted)}.")
    _check_certificate_url(message.text("SigningCertURL"), topic_arn=message.topic_arn)
    signed_at, to_sign = _signed_at(message, now), string_to_sign(message)
    certificate = certificates.kept.get(message.text("SigningCertURL"))
    _check_validity(certificate, signed_at)
    _check_signature(message.text("Signature"), to_sign, certificate, _HASHES[version])


def string_to_sign(message: Message) -> bytes:
    """What AWS signed: each key and its value on lines of their own, in the order of the keys.

    A `Subject` that is absent or null takes no part; every other value is taken as it is, with the
    newline that SES puts at the end of its `Message`. Raises NotAnEnvelope.
    """
    lines = []
    for key in _SIGNED_KEYS[message.type]:
        value = message.fields.get(key, message.fields.get(_OTHER_SPELLINGS.get(key, key)))
        if key == "Subject" and value is None:
            continue
        if not isinstance(value, str):
            raise NotAnEnvelope(f"The message has no {key}.")
        lines.append(f"{key}\n{value}\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


def read(body: bytes, *, received_at: datetime) -> ses_events.SesEvent:
    """The event in a stored body. Raises NotAnEnvelope."""
    return read_event(parse(body), received_at=received_at)


def read_event(message: Message, *, received_at: datetime) -> ses_events.SesEvent:
    """The event in a notification; texts, greetings and what cannot be read are of no interest, never an error.

    AWS signed it, so refusing it would only lose it: SNS does not repeat what was answered with 4xx.
    """
    # What is of no interest is told apart by what was signed: white space around it could be anybody's.
    signed, text = string_to_sign(message), message.text("Message")
    try:
        inner = ses_events.load(text.encode("utf-8", "surrogatepass"))
    except ses_events.NotAnEvent:
        name = _GREETING if text.startswith(_GREETING) else "Text"
        return ses_events.read({}, raw=signed, received_at=received_at, other_type=name)
    mail = inner.get("mail")
    if isinstance(mail, dict) and mail.get("messageId") == _SETUP_MESSAGE_ID:
        return ses_events.read({}, raw=signed, received_at=received_at, other_type=_SETUP_MESSAGE_ID)
    return ses_events.read(inner, raw=signed, received_at=received_at, other_type="Unknown")


def _check_certificate_url(url: str, *, topic_arn: str) -> None:
    """Exactly the certificate host of the listed topic's region: a pattern of regions would also fit a bucket named `sns`."""
    host = topics.host_of(topic_arn)
    if not host or not re.fullmatch(rf"https://{re.escape(host)}/SimpleNotificationService-[0-9a-f]{{32}}\.pem", url):
        raise WrongCertificateUrl


def _signed_at(message: Message, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(message.text("Timestamp")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongTimestamp from error
    if moment > now + _CLOCKS_DIFFER:
        raise WrongTimestamp
    return moment


def _check_validity(certificate: x509.Certificate, signed_at: datetime) -> None:
    if not (certificate.not_valid_before_utc - _CLOCKS_DIFFER <= signed_at <= certificate.not_valid_after_utc + _CLOCKS_DIFFER):
        raise certificates.CertificateRefused("The certificate was not valid when the message was signed.")


def _check_signature(signature: str, signed: bytes, certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise certificates.CertificateRefused
    try:
        key.verify(base64.b64decode(signature, validate=True), signed, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise WrongSignature from error
