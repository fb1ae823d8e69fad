"""The events that follow an accepted mail, as a webhook gets them, and as the product reads them."""

from datetime import UTC, datetime

import pytest

from notifications import eventbridge
from notifications.simulator import fates
from notifications.simulator.fates import Rates
from notifications.simulator.mails import Mail
from tests.notifications.simulator.webhook import Webhook
from tests.simulator import bulk, entry, mail

FAST = ("--speed", "50", "--webhook-secret", "s3cret")
PATIENT = 200


@pytest.fixture(scope="module")
def webhook():
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture(scope="module")
def telling(start, webhook):
    """A simulator whose people open and click everything."""
    return start(*FAST, "--eventbridge", webhook.url, "--open-rate", "1", "--click-rate", "1")


def send(simulator, webhook, *to, events, **changes):
    """Send one mail, and wait until so many events about it were taken."""
    message_id = simulator.client().send_email(**mail(Destination={"ToAddresses": list(to)}, **changes))["MessageId"]
    simulator.wait_for(lambda: len(webhook.events(message_id)) >= events)
    return webhook.events(message_id)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("success", ["Send", "Delivery"]),
        ("bounce", ["Send", "Bounce"]),
        ("ooto", ["Send", "Delivery", "Bounce"]),
        ("complaint", ["Send", "Delivery", "Complaint"]),
        ("suppressionlist", ["Send", "Bounce"]),
    ],
)
@pytest.mark.parametrize("label", ["", "+run-42"])
def test_the_mailbox_simulator_s_addresses_have_their_fate(telling, webhook, name, kinds, label):
    events = send(telling, webhook, f"{name}{label}@simulator.amazonses.com", events=len(kinds))

    assert sorted(event["eventType"] for event in events) == sorted(kinds)


@pytest.mark.parametrize(
    ("name", "kind", "sub_type"),
    [("bounce", "Permanent", "General"), ("suppressionlist", "Permanent", "Suppressed"), ("ooto", "Transient", "General")],
)
def test_their_bounces_are_of_the_kind_of_ses(telling, webhook, name, kind, sub_type):
    events = send(telling, webhook, f"{name}@simulator.amazonses.com", events=3 if name == "ooto" else 2)

    bounce = next(event["bounce"] for event in events if event["eventType"] == "Bounce")
    assert (bounce["bounceType"], bounce["bounceSubType"]) == (kind, sub_type)
    assert bounce["bouncedRecipients"][0]["emailAddress"] == f"{name}@simulator.amazonses.com"


def test_a_complaint_is_one_of_the_mailbox_simulator(telling, webhook):
    events = send(telling, webhook, "complaint@simulator.amazonses.com", events=3)

    complaint = next(event["complaint"] for event in events if event["eventType"] == "Complaint")
    assert (complaint["userAgent"], complaint["complaintFeedbackType"]) == ("Amazon SES Mailbox Simulator", "abuse")
    assert complaint["complaintSubType"] is None


def test_other_people_open_and_click_in_the_order_of_life(telling, webhook):
    events = send(telling, webhook, "reader@example.com", events=4)

    parts = {"Delivery": "delivery", "Open": "open", "Click": "click"}
    times = [event[parts[kind]]["timestamp"] for kind in parts for event in events if event["eventType"] == kind]
    assert len(times) == 3
    assert times == sorted(times)
    assert next(event["click"]["link"] for event in events if event["eventType"] == "Click") == "https://example.com/a?b=1&c=2"


def test_the_envelope_is_eventbridge_s_and_the_product_reads_it(telling, webhook):
    events = send(telling, webhook, "bounce+shape@simulator.amazonses.com", events=2)

    headers, body, _ = next(post for post in webhook.posts if b"bounce+shape" in post[1] and b'"Bounce"' in post[1])
    assert headers["X-Webhook-Secret"] == "s3cret"
    assert headers["User-Agent"] == "Amazon/EventBridge/ApiDestinations"
    read = eventbridge.read(body, received_at=datetime.now(UTC))
    assert (read.event_type, read.bounce_type, read.message_id) == ("Bounce", "Permanent", events[0]["mail"]["messageId"])
    assert (read.send_id, read.kind, read.is_of_interest) == ("abc-1", "outreach", True)
    assert read.recipients[0].email == "bounce+shape@simulator.amazonses.com"


def test_bounces_of_one_mail_are_told_together(telling, webhook):
    both = ("bounce+1@simulator.amazonses.com", "bounce+2@simulator.amazonses.com")

    events = send(telling, webhook, *both, events=2)

    bounces = [event["bounce"] for event in events if event["eventType"] == "Bounce"]
    assert [one["emailAddress"] for one in bounces[0]["bouncedRecipients"]] == list(both)
    assert len(bounces) == 1


def test_a_template_without_its_value_is_a_rendering_failure(telling, webhook):
    result = telling.client().send_bulk_email(**bulk(entry("ada@example.com")))["BulkEmailEntryResults"][0]

    telling.wait_for(lambda: webhook.kinds(result["MessageId"]) == ["Rendering Failure"])
    assert "'link'" in webhook.events(result["MessageId"])[0]["failure"]["errorMessage"]


def test_a_hard_bounce_puts_the_address_on_the_account_s_list(start, webhook):
    simulator = start(*FAST, "--eventbridge", webhook.url, "--bounce-rate", "1")
    ses = simulator.client()

    send(simulator, webhook, "gone@example.com", events=2)
    again = send(simulator, webhook, "gone@example.com", events=2)

    assert ses.get_suppressed_destination(EmailAddress="gone@example.com")["SuppressedDestination"]["Reason"] == "BOUNCE"
    bounce = next(event["bounce"] for event in again if event["eventType"] == "Bounce")
    assert bounce["bounceSubType"] == "OnAccountSuppressionList"


def test_the_mailbox_simulator_s_bounces_do_not(telling, webhook):
    send(telling, webhook, "bounce@simulator.amazonses.com", events=2)

    assert telling.client().list_suppressed_destinations()["SuppressedDestinationSummaries"] == []


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_what_the_webhook_does_not_take_comes_again(telling, webhook, status):
    webhook.answers.extend([(f"success+{status}@", status)] * 3)

    events = send(telling, webhook, f"success+{status}@simulator.amazonses.com", events=2)

    assert sorted(event["eventType"] for event in events) == ["Delivery", "Send"]


def test_what_it_refuses_for_good_does_not(telling, webhook):
    before = telling.ask("GET", "/events")[1].get("given_up", 0)
    webhook.answers.append(("success+400@", 400))

    events = send(telling, webhook, "success+400@simulator.amazonses.com", events=1)

    assert len(events) == 1
    telling.wait_for(lambda: telling.ask("GET", "/events")[1]["given_up"] == before + 1)


def test_nothing_is_lost_while_nobody_listens(start):
    webhook = Webhook()
    simulator = start(*FAST, "--eventbridge", webhook.url)
    port = int(webhook.url.split(":")[2].split("/")[0])
    webhook.close()

    simulator.client().send_email(**mail())
    simulator.wait_for(lambda: simulator.ask("GET", "/events")[1].get("retried", 0) >= 3)

    back = _listening_again(port)
    simulator.wait_for(lambda: sorted(back.kinds()) == ["Delivery", "Send"])
    back.close()


def _listening_again(port):
    from http.server import ThreadingHTTPServer
    from threading import Thread

    webhook = Webhook()
    webhook.close()
    webhook._server = ThreadingHTTPServer(("127.0.0.1", port), webhook._handler())
    Thread(target=webhook._server.serve_forever, daemon=True).start()
    return webhook


def foreseen(number, *, seed=0, **rates):
    one = Mail("0100-" + "0" * 12, "SendEmail", 0.0, "a@example.com", [f"p{number}@example.com"], "Hello", {}, [])
    return [
        news.kind for news in fates.foresee(one, Rates(**rates), seed=seed, suppressed=lambda _: False, link="https://x.example")
    ]


def test_the_same_seed_gives_the_same_fate_and_another_seed_another():
    rates = {"bounce_rate": 0.3, "open_rate": 0.5}

    assert [foreseen(n, **rates) for n in range(50)] == [foreseen(n, **rates) for n in range(50)]
    assert [foreseen(n, **rates) for n in range(50)] != [foreseen(n, seed=1, **rates) for n in range(50)]


@pytest.mark.parametrize(
    ("rate", "kind"),
    [
        ("bounce_rate", "Bounce"),
        ("soft_bounce_rate", "Bounce"),
        ("complaint_rate", "Complaint"),
        ("delay_rate", "DeliveryDelay"),
        ("reject_rate", "Reject"),
        ("open_rate", "Open"),
    ],
)
def test_rates_are_met(rate, kind):
    # Fates follow from the seed: these are always the same people.
    hit = sum(kind in foreseen(n, **{rate: 0.2}) for n in range(2_000))

    assert 320 < hit < 480
    assert not any(kind in foreseen(n) for n in range(200))
