"""Messages of SNS for tests, signed with a key of our own whose certificate the tests serve; and the genuine ones."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from notifications import sns

TOPIC = "arn:aws:sns:us-east-1:123456789012:ses-events"
CERTIFICATE_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
SENT = datetime(2026, 11, 2, 12, tzinfo=UTC)
VECTORS = Path(__file__).parent / "payloads" / "sns"
GENUINE = sorted(VECTORS.glob("*.json"))


@cache
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(own_key=None, *, begins=SENT - timedelta(days=90), ends=SENT + timedelta(days=90), names=()):
    """A self-signed certificate, PEM."""
    own_key = own_key or key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(own_key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(own_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def elliptic():
    return ec.generate_private_key(ec.SECP256R1())


def notification(message, **changes):
    """An unsigned notification whose `Message` is a text, or the JSON of anything else."""
    text = message if isinstance(message, str) else json.dumps(message)
    fields = {"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC}
    fields |= {"Subject": "Amazon SES Email Event Notification", "Message": text, "Timestamp": "2026-11-02T12:00:00.000Z"}
    return without_none(fields | changes)


def confirmation(kind="SubscriptionConfirmation", **changes):
    """An unsigned message about a subscription; its token must never be seen again."""
    fields = {"Type": kind, "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "Token": "2336412f37secret", "TopicArn": TOPIC}
    fields |= {"Message": "You have chosen ...", "Timestamp": "2026-11-02T12:00:00.000Z"}
    address = f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37secret"
    return without_none(fields | {"SubscribeURL": address} | changes)


def signed(fields, *, version="1", url=CERTIFICATE_URL, by=None):
    """The message with its signature (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html)."""
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 (version 1 is SHA-1)
    signature = (by or key()).sign(to_sign(fields), padding.PKCS1v15(), algorithm)
    return fields | {"SignatureVersion": version, "Signature": base64.b64encode(signature).decode(), "SigningCertURL": url}


def to_sign(fields):
    """Written anew from AWS' page, so that a mistake in the product is not repeated here."""
    keys = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    if fields["Type"] == "Notification":
        keys = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    return "".join(f"{name}\n{fields[name]}\n" for name in keys if fields.get(name) is not None).encode()


def genuine(path):
    """A message that AWS signed, and the topic it is of."""
    message = sns.parse(path.read_bytes())
    return message, message.topic_arn


def genuine_certificate():
    return (VECTORS / "aws_sns_cert_7ff5318490ec183fbaddaa2a969abfda.pem").read_bytes()


def without_none(fields):
    return {name: value for name, value in fields.items() if value is not None}
