"""An SNS topic with one HTTP subscription: envelopes signed with a key of our own.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from notifications.simulator.events import moment
from notifications.simulator.mails import Mail

_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_SUBJECT = "Amazon SES Email Event Notification"


class Signer:
    """A key, and the certificate that verifies what it signs; both live as long as the process."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)

    @cached_property
    def certificate(self) -> bytes:
        """PEM; in the name of SNS, and signed by nobody but itself."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        draft = draft.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        draft = draft.not_valid_after(now + timedelta(days=365))
        draft = draft.add_extension(x509.SubjectAlternativeName([x509.DNSName("sns.amazonaws.com")]), critical=False)
        return draft.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    @cached_property
    def certificate_name(self) -> str:
        """The file name in the form of SNS."""
        digest = hashlib.md5(self.certificate, usedforsecurity=False).hexdigest()
        return f"SimpleNotificationService-{digest}.pem"

    def sign(self, envelope: Mapping[str, str], version: str) -> str:
        """Version 1 is SHA1withRSA, version 2 SHA256withRSA; PKCS#1 v1.5, base64."""
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 (SNS' own version 1)
        signature = self._key.sign(string_to_sign(envelope), padding.PKCS1v15(), digest)
        return base64.b64encode(signature).decode()


def string_to_sign(envelope: Mapping[str, str]) -> bytes:
    """`Key\\nValue\\n` for each signed key, in byte order; a Subject that is missing is left out."""
    keys = [key for key in _SIGNED[envelope["Type"]] if envelope.get(key) is not None]
    return "".join(f"{key}\n{envelope[key]}\n" for key in keys).encode()


@dataclass(frozen=True)
class Sns:
    """The route `POST /v1/notifications/ses-events` of an application, subscribed to a topic.

    `certificate_base` is where the certificate seems to lie; the simulator serves it under its own address in any case.
    """

    url: str
    topic_arn: str
    certificate_base: str
    signature_version: str = "1"
    signer: Signer = field(default_factory=Signer)
    token: str = field(default_factory=lambda: uuid.uuid4().hex * 4)
    timeout = 15.0

    def request(self, _mail: Mail, detail: dict[str, Any], at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers and body of one delivery. The Message of a real SES event ends in a line break."""
        body = {"Subject": _SUBJECT, "Message": json.dumps(detail) + "\n", "Timestamp": moment(at)}
        body["UnsubscribeURL"] = self._link("Unsubscribe", SubscriptionArn=self.subscription_arn)
        return self._delivery("Notification", body)

    def confirmation(self, at: datetime, *, kind: str = "SubscriptionConfirmation") -> tuple[dict[str, str], bytes]:
        """Headers and body of what SNS posts when somebody subscribes the URL, or unsubscribes it."""
        words = f"You have chosen to subscribe to the topic {self.topic_arn}.\nTo confirm the subscription, "
        if kind == "UnsubscribeConfirmation":
            words = f"You have chosen to deactivate subscription {self.subscription_arn}.\nTo restore the subscription, "
        words += "visit the SubscribeURL included in this message."
        link = self._link("ConfirmSubscription", TopicArn=self.topic_arn, Token=self.token)
        return self._delivery(kind, {"Message": words, "Token": self.token, "SubscribeURL": link, "Timestamp": moment(at)})

    @property
    def subscription_arn(self) -> str:
        """The subscription's name."""
        return f"{self.topic_arn}:{uuid.uuid5(uuid.NAMESPACE_URL, self.url)}"

    def retries(self, status: int) -> bool:
        """Whether this answer (0: none in time) lets SNS try again: it never does after a 4xx."""
        return status >= 500 or not status

    def _delivery(self, kind: str, body: dict[str, str]) -> tuple[dict[str, str], bytes]:
        envelope = {"Type": kind, "MessageId": str(uuid.uuid4()), "TopicArn": self.topic_arn, **body}
        envelope["SignatureVersion"] = self.signature_version
        envelope["Signature"] = self.signer.sign(envelope, self.signature_version)
        envelope["SigningCertURL"] = f"{self.certificate_base}/{self.signer.certificate_name}"
        headers = {
            "x-amz-sns-message-type": kind,
            "x-amz-sns-message-id": envelope["MessageId"],
            "x-amz-sns-topic-arn": self.topic_arn,
            "Content-Type": "text/plain; charset=UTF-8",
            "User-Agent": "Amazon Simple Notification Service Agent",
        }
        if kind != "SubscriptionConfirmation":
            headers["x-amz-sns-subscription-arn"] = self.subscription_arn
        return headers, json.dumps(envelope, indent=2).encode()

    def _link(self, action: str, **what: str) -> str:
        region = self.topic_arn.split(":")[3]
        return f"https://sns.{region}.amazonaws.com/?{urlencode({'Action': action, **what})}"
