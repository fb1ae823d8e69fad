"""What tests of the outbox share."""

from django.conf import settings
from django.utils import timezone

from notifications import dispatching, posting
from notifications.transports.memory import MemoryTransport

INVITE = {
    "first_name": "Ada",
    "inviter_name": "Grace Hopper",
    "organization_name": "Engines & Co",
    "invite_url": "https://issuer.example.com/join?a=1&b=2",
    "expires_on": "1 May 2027",
}
BODY = {"to": "ada@example.com", "template_name": "issuer-onboarding-invite", "data": INVITE}


def posted(to="ada@example.com", now=None, **changes):
    """A mail in the outbox."""
    asked = BODY | {"to": to} | changes
    return posting.post_template(**asked, by="test", now=now or timezone.now())


def send(transport=None):
    """Send what waits, at a pace at which nobody waits; returns the transport."""
    transport = transport or MemoryTransport()
    settings.SES_MAX_SEND_RATE = 1000.0
    dispatching.send_waiting(transport=transport, clock=timezone.now)
    return transport
