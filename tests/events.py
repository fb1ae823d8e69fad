"""Events for tests, made from the payloads: `tests/payloads/README.md` says where their shapes come from."""

import copy
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from notifications import eventbridge, recording, ses_events
from notifications.models import EmailEvent

RECEIVED = datetime(2026, 11, 2, 12, tzinfo=UTC)
_PARTS = {"rendering_failure": "failure", "delivery_delay": "deliveryDelay"}


@cache
def _payload(name):
    return json.loads((Path(__file__).parent / "payloads" / f"{name}.json").read_text())


def payload(name):
    """A copy of one payload, to be changed at will."""
    return copy.deepcopy(_payload(name))


def envelope(name, *, to=None, message_id=None, send_id=None, mailed_at=None, tags=True, **part):
    """The payload about another mail: `to` is its recipient, `part` replaces keys of the type's own part."""
    body = payload(name)
    mail, own = body["detail"]["mail"], body["detail"][_PARTS.get(name, name)]
    mail["messageId"] = message_id or mail["messageId"]
    mail["timestamp"] = mailed_at or mail["timestamp"]
    if send_id:
        mail["tags"]["send_id"] = [send_id]
    if not tags:
        del mail["tags"]
    if to:
        mail["destination"] = [to]
        for key in ("bouncedRecipients", "complainedRecipients", "delayedRecipients"):
            if key in own:
                own[key][0]["emailAddress"] = to
        if "recipients" in own:
            own["recipients"] = [to]
    own.update(part)
    return body


def event(name, **changes):
    """The typed event of `envelope`."""
    return eventbridge.read(json.dumps(envelope(name, **changes)).encode(), received_at=RECEIVED)


def post(*envelopes):
    """Put events into the inbox, as the webhook does."""
    for one in envelopes:
        body = json.dumps(one).encode()
        found = eventbridge.read(body, received_at=RECEIVED)
        recording.store(found, route=EmailEvent.Route.EVENTBRIDGE, body=body, received_at=RECEIVED)


def identity(envelope):
    """The same news as an identity's feedback notification tells it: another key for the type, and no tags."""
    body = copy.deepcopy(envelope["detail"])
    body["notificationType"] = body.pop("eventType")
    body["mail"].pop("tags", None)
    return body | {"mail": body["mail"] | {"sourceIp": "192.0.2.1", "callerIdentity": "ses_user"}}


def by_sns(inner, *, message_id="22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"):
    """A message of SNS, as stored after its signature was checked; the event is a text in it, and ends in a newline."""
    return {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:ses",
        "Message": json.dumps(inner) + "\n",
        "Timestamp": "2026-11-01T12:00:04.000Z",
    }


def _read_sns(body, *, received_at):
    return ses_events.read(json.loads(json.loads(body)["Message"]), raw=body, received_at=received_at)


def tell(envelope, *, shape="eventbridge", received_at=RECEIVED):
    """Store one event: `eventbridge`, the same by `sns`, or as the `identity` notification that it also is."""
    if shape == "eventbridge":
        route, read, body = EmailEvent.Route.EVENTBRIDGE, eventbridge.read, json.dumps(envelope).encode()
    else:
        inner = identity(envelope) if shape == "identity" else envelope["detail"]
        route, body = EmailEvent.Route.SNS, json.dumps(by_sns(inner)).encode()
        read = recording._READERS.setdefault(route, _read_sns)
    return recording.store(read(body, received_at=received_at), route=route, body=body, received_at=received_at)


def about(send):
    """What makes an event one about this send: message id, tag and recipient."""
    return {"message_id": send.message_id or f"message-of-{send.pk}", "send_id": send.send_id, "to": send.email}
