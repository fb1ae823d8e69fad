"""Every error as boto3 itself understands it: the exception, the code, the status."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from tests.simulator import bulk, entry, mail, simple


def refused(call, **parameters):
    """The code and the status with which boto3 raises, and the class that it chose."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], type(caught.value).__name__


def to(*addresses):
    return {"Destination": {"ToAddresses": list(addresses)}}


BAD = {
    "no recipient": {"Destination": {}},
    "no domain": to("ada"),
    "white space": to("a da@example.com"),
    "no ASCII": to("jürgen@example.com"),
    "no ASCII in the domain": to("ada@bücher.example"),
    "two dots": to("ada@example..com"),
    "smuggled header": to("ada@example.com\r\nBcc: eve@example.com"),
    "smuggled header behind a name": to("Ada\r\nBcc: eve@example.com <ada@example.com>"),
    "51 recipients": to(*[f"ada{n}@example.com" for n in range(51)]),
    "no sender": {"FromEmailAddress": "nobody"},
    "wrong answer address": {"ReplyToAddresses": ["nobody"]},
    "wrong configuration set": {"ConfigurationSetName": "with space"},
    "address as a tag": {"EmailTags": [{"Name": "to", "Value": "ada@example.com"}]},
    "the same tag twice": {"EmailTags": [{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}]},
    "no body": {"Content": simple(Body={})},
    "line break in the subject": {"Content": simple(Subject={"Data": "a\r\nBcc: eve@example.com"})},
    "16 headers": {"Content": simple(Headers=[{"Name": f"X-{n}", "Value": "v"} for n in range(16)])},
    "line break in a header": {"Content": simple(Headers=[{"Name": "X-A", "Value": "a\r\nBcc: eve@example.com"}])},
    "a header that SES writes": {"Content": simple(Headers=[{"Name": "To", "Value": "eve@example.com"}])},
    "a header's name with a colon": {"Content": simple(Headers=[{"Name": "X:", "Value": "v"}])},
    "a header twice": {"Content": simple(Headers=[{"Name": "List-Unsubscribe", "Value": "<a>"}] * 2)},
    "a header that is too long": {"Content": simple(Headers=[{"Name": "X-A", "Value": "v" * 996}])},
    "a conditional in a template": {"Content": {"Template": {"TemplateContent": {"Subject": "{{#if a}}", "Text": "."}}}},
    "data that are no JSON": {"Content": {"Template": {"TemplateContent": {"Subject": "a", "Text": "."}, "TemplateData": "{"}}},
    "two contents": {"Content": simple() | {"Raw": {"Data": b"x"}}},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_bad_request_is_refused_and_leaves_no_trace(simulator, ses, change):
    assert refused(ses.send_email, **mail(**change)) == ("BadRequestException", 400, "BadRequestException")
    assert simulator.ledger()["accepted"] == 0


def test_a_mail_over_forty_megabytes_is_rejected(ses):
    big = simple(Body={"Text": {"Data": "x" * 30_000_001}})

    assert refused(ses.send_email, **mail(Content=big)) == ("MessageRejected", 400, "MessageRejected")


def test_stored_templates_do_not_exist(ses):
    content = {"Template": {"TemplateName": "welcome", "TemplateData": "{}"}}

    assert refused(ses.send_email, **mail(Content=content)) == ("NotFoundException", 404, "NotFoundException")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"account_suspended": True}, ("AccountSuspendedException", 400, "AccountSuspendedException")),
        ({"sending_paused": True}, ("SendingPausedException", 400, "SendingPausedException")),
        ({"daily_quota": 0}, ("LimitExceededException", 400, "LimitExceededException")),
        ({"max_send_rate": 0}, ("TooManyRequestsException", 429, "TooManyRequestsException")),
        ({"error_500": 1}, ("InternalServiceErrorException", 500, "InternalServiceErrorException")),
        ({"error_503": 1}, ("ServiceUnavailableException", 503, "ClientError")),
    ],
)
def test_the_account_s_troubles_are_those_of_ses(simulator, ses, fault, expected):
    simulator.faults(**fault)

    assert refused(ses.send_email, **mail()) == expected
    assert simulator.ledger()["accepted"] == 0


def test_a_bulk_of_51_or_of_none_is_refused(ses):
    assert refused(ses.send_bulk_email, **bulk())[0] == "BadRequestException"
    assert refused(ses.send_bulk_email, **bulk(*[entry("ada@example.com")] * 51))[0] == "BadRequestException"


def test_only_what_was_verified_and_made_exists(start):
    simulator = start("--no-events", "--identity", "Example.com", "--configuration-set", "outreach")
    ses = simulator.client()

    assert ses.send_email(**mail())["MessageId"]
    assert refused(ses.send_email, **mail(FromEmailAddress="a@elsewhere.example"))[0] == "MessageRejected"
    assert refused(ses.send_email, **mail(ConfigurationSetName="other")) == ("NotFoundException", 404, "NotFoundException")
    assert refused(ses.send_bulk_email, **bulk(entry("a@b.example"), ConfigurationSetName="other"))[0] == "NotFoundException"


def test_the_sandbox_mails_only_ourselves_and_the_mailbox_simulator(start):
    simulator = start("--no-events", "--identity", "example.com", "--sandbox", "--max-send-rate", "100")
    ses = simulator.client()

    assert ses.send_email(**mail(**to("success@simulator.amazonses.com")))["MessageId"]
    assert refused(ses.send_email, **mail(**to("ada@elsewhere.example")))[0] == "MessageRejected"
    account = ses.get_account()
    assert (account["ProductionAccessEnabled"], account["SendQuota"]["Max24HourSend"]) == (False, 200.0)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"[]", b'"text"', b"\xff", b"null"])
def test_what_is_no_json_object_is_a_bad_request(simulator, body):
    request = urllib.request.Request(simulator.url + "/v2/email/outbound-emails", data=body, method="POST")

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)

    assert (caught.value.code, caught.value.headers["x-amzn-ErrorType"]) == (400, "SerializationException")
    assert json.load(caught.value)["message"]


def test_what_the_simulator_does_not_know_is_said_so(ses):
    assert refused(ses.list_email_identities)[:2] == ("UnknownOperationException", 404)


@pytest.mark.parametrize("flags", [["--bounce-rate", "2"], ["--speed", "0"], ["--max-send-rate", "many"]])
def test_a_flag_that_makes_no_sense_is_refused(flags):
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="is not"):
        call_command("ses_simulator", *flags)
