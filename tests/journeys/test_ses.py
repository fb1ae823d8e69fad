"""Through SES' own protocol and back: a stand-in takes the mail, and its events come in by the webhook."""

import json
import urllib.request
from datetime import UTC, datetime

import pytest

from tests.journeys.test_campaign import import_and_send, people, read
from tests.sink import Sink, headers_of, tags_of

WEBHOOK_SECRET = "webhook-secret"


@pytest.fixture(scope="module")
def sink():
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def running(start_site, sink):
    return start_site(
        EMAIL_MODE="ses",
        SES_REGION="us-east-1",
        SES_CONFIGURATION_SET="outreach",
        SES_MAX_SEND_RATE="50",
        SES_WEBHOOK_SECRET=WEBHOOK_SECRET,
        **sink.environment,
    )


def taken(sink, group):
    """The requests for one group's people, with the message ids that they were answered."""
    numbered = [(request, f"0102-{number}") for number, request in enumerate(sink.requests, 1)]
    return [(request, id_) for request, id_ in numbered if recipient(request).startswith(group)]


def recipient(request):
    (address,) = request["Destination"]["ToAddresses"]
    return address


def statuses(running, group):
    return sorted(p["status"] for p in running.call("GET", f"/api/prospects?tag={group}")[1]["results"])


def event(request, message_id, kind, detail):
    mail = {
        "timestamp": datetime.now(UTC).isoformat(),
        "messageId": message_id,
        "destination": request["Destination"]["ToAddresses"],
        "tags": {name: [value] for name, value in tags_of(request).items()},
    }
    envelope = {"version": "0", "id": message_id + kind, "detail-type": f"Email {kind}", "source": "aws.ses"}
    return envelope | {"detail": {"eventType": kind, "mail": mail, kind.lower(): detail}}


def post_event(site, body):
    request = urllib.request.Request(
        site.url + "/api/webhooks/ses-events",
        data=json.dumps(body).encode(),
        headers={"X-Webhook-Secret": WEBHOOK_SECRET, "Content-Type": "application/json; charset=utf-8"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status


def test_mail_leaves_through_ses_and_its_events_come_back(running, sink):
    campaign = import_and_send(running, "events", 3)
    running.wait_for(lambda: read(running, campaign)[0] == "sent", 90)

    requests = [request for request, _id in taken(sink, "events")]
    assert sorted(recipient(request) for request in requests) == people("events", 3)
    assert {request["ConfigurationSetName"] for request in requests} == {"outreach"}
    assert {(tags_of(r)["campaign_id"], tags_of(r)["kind"]) for r in requests} == {(str(campaign), "outreach")}
    assert {headers_of(r)["List-Unsubscribe-Post"] for r in requests} == {"List-Unsubscribe=One-Click"}

    at = datetime.now(UTC).isoformat()
    (first, first_id), (second, second_id), (third, third_id) = taken(sink, "events")
    bounce = {"bounceType": "Permanent", "bounceSubType": "General", "timestamp": at, "feedbackId": "f"}
    bounce["bouncedRecipients"] = [{"emailAddress": recipient(second), "diagnosticCode": "550 no"}]
    complaint = {"timestamp": at, "feedbackId": "g", "complaintFeedbackType": "abuse"}
    complaint["complainedRecipients"] = [{"emailAddress": recipient(third)}]
    assert post_event(running, event(first, first_id, "Delivery", {"timestamp": at, "recipients": []})) == 200
    assert post_event(running, event(second, second_id, "Bounce", bounce)) == 200
    assert post_event(running, event(third, third_id, "Complaint", complaint)) == 200

    running.wait_for(lambda: statuses(running, "events") == ["active", "bounced", "complained"], 60)
    stats = read(running, campaign)[1]
    assert (stats["sent"], stats["delivered"], stats["bounced"], stats["complained"]) == (3, 1, 1, 1)


def test_one_click_in_the_mail_program_unsubscribes_and_looking_does_not(running, sink):
    campaign = import_and_send(running, "leave", 1)
    running.wait_for(lambda: read(running, campaign)[0] == "sent", 90)
    link = headers_of(taken(sink, "leave")[0][0])["List-Unsubscribe"].strip("<>")

    with urllib.request.urlopen(link, timeout=30) as page:
        assert page.status == 200
    assert statuses(running, "leave") == ["active"]
    with urllib.request.urlopen(urllib.request.Request(link, data=b"List-Unsubscribe=One-Click"), timeout=30) as answer:
        # 202 where the machine stalls: kept, and applied a moment later.
        assert answer.status in {200, 202}

    running.wait_for(lambda: statuses(running, "leave") == ["unsubscribed"], 60)
    assert read(running, campaign)[1]["unsubscribed"] == 1


def test_a_paused_account_pauses_the_campaign_and_resuming_mails_nobody_twice(running, sink):
    sink.answer = lambda _body: (400, "SendingPausedException", "paused") if len(taken(sink, "halt")) >= 5 else None
    campaign = import_and_send(running, "halt", 20)
    running.wait_for(lambda: read(running, campaign)[0] == "paused", 90)
    assert "paused" in running.call("GET", f"/api/campaigns/{campaign}")[1]["campaign"]["pause_reason"]

    sink.answer = lambda _body: None
    running.call("POST", "/api/campaigns/send", {"campaignId": campaign})
    running.wait_for(lambda: read(running, campaign)[0] == "sent", 90)

    mailed = [recipient(request) for request, _id in taken(sink, "halt")]
    assert len(mailed) == len(set(mailed)) == 20
