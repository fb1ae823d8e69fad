"""SendEmail and SendBulkEmail through boto3: what is accepted, and how it is remembered."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulator import bulk, entry, mail, simple

UNSUBSCRIBE = {"Name": "List-Unsubscribe", "Value": "<https://example.com/u>"}


def test_an_accepted_mail_is_in_the_ledger_as_it_was_asked_for(simulator, ses):
    answer = ses.send_email(**mail(Content=simple(Headers=[UNSUBSCRIBE]), ReplyToAddresses=["answers@example.com"]))

    status, kept = simulator.ask("GET", f"/ledger/{answer['MessageId']}")
    assert status == 200
    assert (kept["to"], kept["subject"], kept["text"]) == (["ada@example.com"], "Hello Ada", "Hello")
    assert kept["tags"] == {"send_id": "abc-1", "kind": "outreach"}
    assert kept["headers"] == [{"name": "List-Unsubscribe", "value": "<https://example.com/u>"}]
    assert (kept["from"], kept["reply_to"], kept["configuration_set"]) == (
        "Harbour <hello@example.com>",
        ["answers@example.com"],
        "outreach",
    )


def test_message_ids_are_in_the_form_of_ses_and_never_the_same(ses):
    ids = {ses.send_email(**mail())["MessageId"] for _ in range(20)}

    assert len(ids) == 20
    assert all(id_.startswith("0100") and id_.endswith("-000000") and len(id_) == 60 for id_ in ids)


def test_every_entry_of_a_bulk_is_a_mail_with_its_own_words_tags_and_headers(simulator, ses):
    default = [{"Name": "kind", "Value": "outreach"}, {"Name": "send_id", "Value": "none"}]
    entries = [
        entry(
            "ada@example.com",
            tags=[("send_id", "a-1")],
            headers=[("List-Unsubscribe", "<https://example.com/1>")],
            name="Ada",
            link="L",
        ),
        entry("bob@example.com", link="M"),
    ]
    template = bulk()["DefaultContent"]["Template"] | {"Headers": [UNSUBSCRIBE]}

    results = ses.send_bulk_email(**bulk(*entries, DefaultEmailTags=default, DefaultContent={"Template": template}))

    assert [one["Status"] for one in results["BulkEmailEntryResults"]] == ["SUCCESS", "SUCCESS"]
    first, second = (simulator.ask("GET", f"/ledger/{one['MessageId']}")[1] for one in results["BulkEmailEntryResults"])
    assert (first["subject"], first["text"], first["tags"]) == ("Hello Ada", "Ada: L", {"kind": "outreach", "send_id": "a-1"})
    assert first["headers"] == [{"name": "List-Unsubscribe", "value": "<https://example.com/1>"}]
    # What an entry leaves out, it has from the template.
    assert (second["subject"], second["text"], second["tags"]["send_id"]) == ("Hello you", "you: M", "none")
    assert second["headers"] == [{"name": "List-Unsubscribe", "value": "<https://example.com/u>"}]


def test_one_bad_entry_of_a_bulk_does_not_harm_the_others(simulator, ses):
    entries = [
        entry("ada@example.com", link=""),
        entry("no address", link=""),
        entry("c@example.com", tags=[("a", "b c")], link=""),
    ]

    results = ses.send_bulk_email(**bulk(*entries))["BulkEmailEntryResults"]

    assert [one["Status"] for one in results] == ["SUCCESS", "INVALID_PARAMETER", "INVALID_PARAMETER"]
    assert results[1]["Error"] == "Missing final '@domain'"
    assert "MessageId" not in results[1]
    assert [one["to"] for one in simulator.ledger()["mails"]] == [["ada@example.com"]]


def test_a_variable_without_a_value_is_accepted_and_fails_later(simulator, ses):
    results = ses.send_bulk_email(**bulk(entry("ada@example.com")))["BulkEmailEntryResults"]

    assert results[0]["Status"] == "SUCCESS"
    assert "'link' is not present" in simulator.ledger()["mails"][0]["rendering_failure"]


def test_values_of_a_template_may_be_nested_and_numbers(simulator, ses):
    content = {
        "TemplateContent": {"Subject": "{{n}} {{a.b}}", "Text": "."},
        "TemplateData": json.dumps({"n": 5, "a": {"b": "<c>"}}),
    }

    ses.send_email(**mail(Content={"Template": content}))

    assert simulator.ledger()["mails"][0]["subject"] == "5 <c>"


def test_a_raw_mail_is_read_from_its_own_headers(simulator, ses):
    raw = b"From: hello@example.com\r\nTo: Ada <ada@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello"

    ses.send_email(Content={"Raw": {"Data": raw}})

    kept = simulator.ledger()["mails"][0]
    assert (kept["to"], kept["subject"], kept["from"]) == (["ada@example.com"], "Grüße", "hello@example.com")


def test_the_ledger_is_filtered_counted_and_emptied(simulator, ses):
    for name in ("ada", "bob", "ada"):
        ses.send_email(**mail(Destination={"ToAddresses": [f"{name}@example.com"]}, EmailTags=[{"Name": "who", "Value": name}]))

    assert simulator.ledger(to="ada", limit=1)["count"] == 2
    assert len(simulator.ledger(to="ada", limit=1)["mails"]) == 1
    assert simulator.ledger(tag="who:bob")["count"] == 1
    assert (simulator.ledger()["most_to_one_address"], simulator.ledger()["addresses"]) == (2, 2)
    assert simulator.ask("GET", "/ledger?colour=red")[0] == 400
    assert simulator.ask("DELETE", "/ledger")[1] == {"forgotten": {"mails": 3, "events": 0}}
    assert simulator.ledger()["accepted"] == 0


def test_the_ledger_file_has_every_accepted_mail_before_its_answer(start, tmp_path):
    file = tmp_path / "ledger.jsonl"
    simulator = start("--no-events", "--ledger", str(file), "--ledger-size", "2")
    ses = simulator.client()

    for _ in range(3):
        answer = ses.send_email(**mail())
        assert json.loads(file.read_text().splitlines()[-1])["message_id"] == answer["MessageId"]

    # Memory is bounded, the file is not, and neither is the count.
    assert (simulator.ledger()["kept"], simulator.ledger()["accepted"], len(file.read_text().splitlines())) == (2, 3, 3)


def test_the_ledger_knows_the_pace(simulator, ses):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ses.send_email(**mail()), range(12)))

    pace = simulator.ledger()["pace"]
    assert pace["first_at"] <= pace["last_at"]
    assert 1 <= pace["most_in_a_second"] <= 12
    assert pace["mean"] > 0


@pytest.mark.parametrize("to", ["Ada <ada@example.com>", '"a b"@example.com', "ada+label@sub.example.com"])
def test_addresses_in_every_form_that_ses_takes(ses, to):
    assert ses.send_email(**mail(Destination={"CcAddresses": [to]}))["MessageId"]
