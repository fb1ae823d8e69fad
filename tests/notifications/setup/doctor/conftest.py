"""A site that is well, and a doctor to look at it."""

import dns.exception
import pytest

from notifications.models import EmailEvent
from notifications.setup import apply, doctor, plan
from notifications.setup.doctor import Patient
from notifications.setup.steps import Known
from notifications.setup.wishes import Via
from outreach.management.commands import ses_doctor
from tests import aws as stand_ins
from tests.aws import ACCOUNT, TOPIC, wish

ZONE = {
    ("example.com", "TXT"): ["google-site-verification=x", "v=spf1 include:amazonses.com -all"],
    ("mail.example.com", "MX"): ["10 feedback-smtp.us-east-1.amazonses.com"],
    ("mail.example.com", "TXT"): ["v=spf1 include:amazonses.com ~all"],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com"],
} | {(f"{token}._domainkey.example.com", "CNAME"): [f"{token}.dkim.amazonses.com"] for token in ("one", "two", "three")}


class Dns:
    """A zone; names that are not in it have no records, and `broken` ones do not answer."""

    def __init__(self, zone):
        self.zone, self.broken = dict(zone), set()

    def records(self, name, kind):
        if name in self.broken:
            raise dns.exception.Timeout
        return self.zone.get((name, kind), [])


@pytest.fixture
def aws():
    with stand_ins.clients() as clients:
        for via in Via:
            apply.run(plan.steps_for(wish(via=via), clients, Known()), dry_run=False, say=lambda _line: None)
        identity = clients.sesv2.identities["example.com"]
        identity["VerifiedForSendingStatus"], identity["DkimAttributes"]["Status"] = True, "SUCCESS"
        identity["MailFromAttributes"]["MailFromDomainStatus"] = "SUCCESS"
        yield clients


@pytest.fixture
def zone():
    return Dns(ZONE)


@pytest.fixture
def examine(aws, zone, now):
    """The lines about a site where all is well, but for what a test changes."""

    def post(url, _body, _headers):
        return (403 if url.endswith("/v1/notifications/ses-events") else 401), ""

    def run(**changes):
        defaults = {
            "wish": wish(),
            "aws": aws,
            "resolver": zone,
            "post": post,
            "now": now,
            "mode": "ses",
            "sender": "hello@example.com",
            "configuration_set": "outreach",
            "account_id": ACCOUNT,
            "max_send_rate": 5.0,
            "secrets_set": True,
            "topics": (TOPIC,),
        }
        return list(doctor.examine(Patient(**defaults | changes), ses_doctor.CHECKS))

    return run


@pytest.fixture
def received(now):
    def store(route="eventbridge", at=None):
        EmailEvent.objects.create(
            fingerprint=f"{route}{at}", route=route, event_type="Send", occurred_at=now, received_at=at or now, body=b"{}"
        )

    return store
