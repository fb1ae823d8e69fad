import json

import pytest

from notifications.messages import Attachment, OutgoingMessage, message_tags, outreach_headers
from notifications.transports import ses, ses_bulk
from notifications.transports.base import Verdict
from tests.sink import Sink


@pytest.fixture
def sink(monkeypatch):
    sink = Sink()
    for name, value in sink.environment.items():
        monkeypatch.setenv(name, value)
    yield sink
    sink.close()


@pytest.fixture
def transport(sink):
    return ses.SesTransport("us-east-1")


def message(number, **fields):
    words = {"subject": f"Hello {number}", "html": f"<p>é {number}</p>", "text": f"é {number}"} | fields
    return OutgoingMessage(
        to=f"p{number}@example.com",
        from_email="hello@example.com",
        from_name="Ada",
        reply_to=("reply@example.com",),
        headers=outreach_headers(f"https://example.com/api/unsubscribe?token={number}"),
        tags=message_tags(send_id=f"key-{number}", campaign_id=1, kind="outreach"),
        configuration_set="set",
        **words,
    )


def test_fifty_mails_are_one_call(sink, transport):
    outcomes = transport.send_many([message(number) for number in range(50)])

    assert len(sink.bulk_calls) == 1
    assert [outcome.message_id for outcome in outcomes] == [f"0102-{number}" for number in range(1, 51)]


def test_each_mail_of_a_call_has_its_own_words_headers_and_tags(sink, transport):
    transport.send_many([message(1), message(2)])

    entry = sink.requests[1]
    assert entry["Destination"] == {"ToAddresses": ["p2@example.com"]}
    words = json.loads(entry["ReplacementEmailContent"]["ReplacementTemplate"]["ReplacementTemplateData"])
    assert words == {"subject": "Hello 2", "html": "<p>é 2</p>", "text": "é 2"}
    assert {tag["Name"]: tag["Value"] for tag in entry["ReplacementTags"]} == dict(message(2).tags)
    assert {tag["Name"] for tag in entry["ReplacementTags"]} == {"send_id", "campaign_id", "kind"}
    assert {header["Name"]: header["Value"] for header in entry["ReplacementHeaders"]} == {
        "List-Unsubscribe": "<https://example.com/api/unsubscribe?token=2>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_a_call_carries_what_all_its_mails_share(sink, transport):
    transport.send_many([message(1), message(2)])

    call = sink.bulk_calls[0]
    assert call["FromEmailAddress"] == "Ada <hello@example.com>"
    assert (call["ReplyToAddresses"], call["ConfigurationSetName"]) == (["reply@example.com"], "set")


def test_mails_of_different_senders_do_not_share_a_call(transport):
    other = OutgoingMessage(to="a@example.com", from_email="other@example.com", subject="s", html="h", text="t")

    assert transport.call_key(message(1)) == transport.call_key(message(2)) != transport.call_key(other)


@pytest.mark.parametrize(
    "fields",
    [
        {"html": "<p>{{ left as written }}</p>"},  # SES might fill it in
        {"html": "x" * (ses_bulk.MOST_DATA + 1)},
        {"text": ""},  # no value of the inline template may be empty
        {"attachments": (Attachment(name="a.txt", content=b"a", content_type="text/plain"),)},
    ],
)
def test_a_mail_that_does_not_fit_goes_by_a_call_of_its_own(transport, fields):
    assert transport.call_key(message(1, **fields)) is None


def test_the_entries_of_a_call_are_judged_one_by_one(sink, transport):
    sink.answer_entry = lambda entry: (
        ("MESSAGE_REJECTED", "Bad content") if "p2@" in entry["Destination"]["ToAddresses"][0] else None
    )

    outcomes = transport.send_many([message(1), message(2), message(3)])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.ACCEPTED, Verdict.REFUSED, Verdict.ACCEPTED]
    assert "Bad content" in outcomes[1].error


def test_an_entry_without_an_answer_is_unknown():
    outcomes = ses_bulk.judge_entries([{"Status": "SUCCESS", "MessageId": "m-1"}], count=2)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.ACCEPTED, Verdict.UNKNOWN]


def test_after_a_call_that_was_refused_as_a_whole_every_mail_goes_alone_for_a_minute(sink, transport, monkeypatch):
    sink.answer = lambda body: (400, "BadRequestException", "bad entry") if "BulkEmailEntries" in body else None
    assert transport.most_together == 50

    outcomes = transport.send_many([message(1), message(2)])

    assert {outcome.verdict for outcome in outcomes} == {Verdict.WAIT}
    assert "bad entry" in outcomes[0].error
    assert transport.most_together == 1
    assert transport.send_many([message(1)])[0].verdict is Verdict.ACCEPTED
    transport._alone_until -= 61
    assert transport.most_together == 50


def test_a_call_without_an_answer_leaves_all_its_mails_unknown(sink, transport):
    sink.answer = lambda _body: (500, "InternalFailure", "")

    outcomes = transport.send_many([message(1), message(2)])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_a_throttled_call_leaves_all_its_mails_waiting(sink, transport):
    sink.answer = lambda _body: (429, "TooManyRequestsException", "Maximum sending rate exceeded.")

    outcomes = transport.send_many([message(1), message(2)])

    assert {(outcome.verdict, outcome.throttled) for outcome in outcomes} == {(Verdict.WAIT, True)}


def test_the_account_says_what_it_allows(sink, transport):
    sink.account = {
        "SendingEnabled": False,
        "ProductionAccessEnabled": False,
        "SendQuota": {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 7.0},
    }

    account = transport.account()

    assert (account.max_send_rate, account.max_24_hour_send, account.sent_last_24_hours) == (1.0, 200.0, 7.0)
    assert (account.sending_enabled, account.in_sandbox) == (False, True)


def test_an_unlimited_account_has_no_quota(sink, transport):
    sink.account["SendQuota"] = {"Max24HourSend": -1.0, "MaxSendRate": 500.0, "SentLast24Hours": 7.0}

    assert transport.account().max_24_hour_send is None


def test_the_body_that_goes_past_boto3_says_what_boto3_would(sink, transport):
    mails = [message(1), message(2, subject="Größe \U0001f600")]

    transport.send_many(mails)
    ses._client("us-east-1", read_timeout=5).send_bulk_email(**ses_bulk.request_for(mails))

    ours, theirs = sink.bulk_calls
    assert ours == theirs
    assert len(ours["BulkEmailEntries"]) == 2


def test_what_is_signed_is_the_body_that_goes(sink, transport):
    signed = []
    transport._client.meta.events.register("before-sign.sesv2.SendBulkEmail", lambda request, **_: signed.append(request.data))

    transport.send_many([message(1), message(2)])

    assert [json.loads(body) for body in signed] == sink.bulk_calls
