"""What each answer of SES means, read by a real client from a socket.

Codes: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and CommonErrors.html beside it
"""

import socket
import ssl
import struct
import threading
from contextlib import suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
)

from notifications.messages import OutgoingMessage
from notifications.transports import ses_answers
from notifications.transports.base import Verdict
from notifications.transports.ses import SesTransport
from tests.notifications.ses_stub import Stub, answer, error

ACCEPTED, WAIT, REFUSED, UNKNOWN, HALT = Verdict.ACCEPTED, Verdict.WAIT, Verdict.REFUSED, Verdict.UNKNOWN, Verdict.HALT
MESSAGE = OutgoingMessage(to="ada@example.com", from_email="hello@example.com", subject="Hello", text="Hello")
MAILED_TWICE = "the mail would leave twice"


@pytest.fixture
def outcome_of(monkeypatch):
    """What the transport makes of one scripted answer; and that it asked exactly once."""
    stubs = []

    def send(script=None, *, url=""):
        if script:
            stubs.append(Stub(script))
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", url or stubs[-1].url)
        outcome = SesTransport("us-east-1").send(MESSAGE)
        assert not script or stubs[-1].requests == 1, MAILED_TWICE
        return outcome

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    yield send
    for stub in stubs:
        stub.close()


@pytest.mark.parametrize(
    ("status", "code", "text", "verdict", "throttled", "words"),
    [
        # Too fast: the same mail goes again, a little later, and the pace falls.
        (429, "TooManyRequestsException", "Too many requests", WAIT, True, ""),
        (400, "ThrottlingException", "Maximum sending rate exceeded.", WAIT, True, ""),
        (400, "Throttling", "Maximum sending rate exceeded.", WAIT, True, ""),
        (400, "Throttling", "Rate exceeded", WAIT, True, ""),
        (429, "SomethingNewException", "slow down", WAIT, True, ""),
        # The day's quota, under either name: hours, not a second.
        (400, "ThrottlingException", "Daily message quota exceeded.", HALT, False, "quota"),
        (400, "Throttling", "Daily message quota exceeded.", HALT, False, "quota"),
        (400, "LimitExceededException", "Daily message quota exceeded", HALT, False, "quota"),
        (429, "TooManyRequestsException", "Daily message quota exceeded.", HALT, False, "quota"),
        # The account and its configuration: a person must act.
        (400, "SendingPausedException", "Email sending is disabled.", HALT, False, "Sending is paused"),
        (400, "AccountSuspendedException", "suspended", HALT, False, "suspended"),
        (400, "MailFromDomainNotVerifiedException", "no MX", HALT, False, "not verified"),
        (404, "NotFoundException", "Configuration set <x> does not exist.", HALT, False, "SES_CONFIGURATION_SET"),
        (400, "ConfigurationSetDoesNotExist", "x", HALT, False, "SES_CONFIGURATION_SET"),
        (400, "MessageRejected", "Email address is not verified. The following identities …", HALT, False, "sandbox"),
        # Credentials.
        (403, "AccessDeniedException", "not authorized to perform `ses:SendEmail'", HALT, False, "ses:SendEmail"),
        (403, "UnrecognizedClientException", "The security token is invalid.", HALT, False, "credentials are not valid"),
        (403, "InvalidClientTokenId", "invalid", HALT, False, "credentials are not valid"),
        (403, "InvalidSignatureException", "Signature expired", HALT, False, "clock"),
        (403, "SignatureDoesNotMatch", "no match", HALT, False, "secret key"),
        (403, "ExpiredTokenException", "expired", HALT, False, "expired"),
        (400, "RequestExpired", "old", HALT, False, "clock"),
        (400, "IncompleteSignature", "x", HALT, False, "credentials"),
        (403, "MissingAuthenticationTokenException", "x", HALT, False, "credentials"),
        (403, "OptInRequired", "x", HALT, False, "not signed up"),
        (403, "SomethingNewException", "forbidden", HALT, False, "refused the credentials"),
        (401, "SomethingNewException", "who?", HALT, False, "refused the credentials"),
        (404, "UnknownOperationException", "", HALT, False, "not an endpoint of SES"),
        (405, "", "", HALT, False, "not an endpoint of SES"),
        # This mail only.
        (400, "MessageRejected", "Invalid content", REFUSED, False, "Invalid content"),
        (400, "BadRequestException", "Illegal address", REFUSED, False, "Illegal address"),
        (400, "ValidationException", "1 validation error detected", REFUSED, False, "validation"),
        (400, "SomethingNewException", "no idea", REFUSED, False, "no idea"),
        (413, "RequestEntityTooLargeException", "too large", REFUSED, False, "too large"),
        # SES may have taken it before it failed.
        (500, "InternalServiceErrorException", "oops", UNKNOWN, False, "oops"),
        (500, "InternalFailure", "oops", UNKNOWN, False, "oops"),
        (503, "ServiceUnavailable", "busy", UNKNOWN, False, "busy"),
        (503, "ThrottlingException", "busy", UNKNOWN, False, "busy"),
        (502, "", "", UNKNOWN, False, ""),
        (504, "", "", UNKNOWN, False, ""),
        (408, "RequestTimeoutException", "too slow", UNKNOWN, False, "too slow"),
        (408, "", "", UNKNOWN, False, ""),
        (400, "RequestTimeout", "Your socket connection was not read from in time", UNKNOWN, False, ""),
    ],
)
def test_an_error_answer_is_judged(outcome_of, status, code, text, verdict, throttled, words):
    outcome = outcome_of(error(status, code, text))

    assert (outcome.verdict, outcome.throttled) == (verdict, throttled)
    assert words in outcome.error


def test_what_ses_said_is_kept_beside_what_it_means(outcome_of):
    outcome = outcome_of(error(400, "SendingPausedException", "Email sending is disabled."))

    assert "(SendingPausedException: Email sending is disabled.)" in outcome.error


def _half_an_answer(connection):
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Type: application/json\r\n\r\n{"Mess')


def _reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "script",
    [
        lambda _connection: None,  # read the request, then closed
        _reset,
        _half_an_answer,
        answer(200, b"<html>hello</html>"),  # a proxy in between
        answer(200, {}),  # no message id
        lambda connection: connection.sendall(b"nonsense\r\n\r\n"),
    ],
    ids=["closed", "reset", "half", "html", "empty", "nonsense"],
)
def test_whatever_breaks_after_the_request_was_read_is_unknown(outcome_of, script):
    assert outcome_of(script).verdict is UNKNOWN


def test_no_answer_in_time_is_unknown(outcome_of, monkeypatch):
    monkeypatch.setattr("notifications.transports.ses._READ_TIMEOUT", 2.0)

    outcome = outcome_of(lambda connection: connection.recv(1))

    assert (outcome.verdict, outcome.throttled) == (UNKNOWN, False)


def _closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_refused_connection_waits_without_a_throttle(outcome_of):
    outcome = outcome_of(url=f"http://127.0.0.1:{_closed_port()}")

    assert (outcome.verdict, outcome.throttled, outcome.unreached) == (WAIT, False, True)
    assert outcome.retry_after > 0


def test_a_name_that_does_not_resolve_waits(outcome_of, monkeypatch):
    def nowhere(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)

    assert outcome_of(url="http://email.example.invalid").verdict is WAIT


@pytest.mark.parametrize("talks", [True, False])
def test_tls_that_fails_or_hangs_in_its_handshake_waits(outcome_of, monkeypatch, talks):
    monkeypatch.setattr("notifications.transports.ses._CONNECT_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def speak_no_tls():
            # On a slow machine the client may have given up by then.
            with suppress(OSError):
                connections.append(server.accept()[0])
                if talks:
                    connections[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=speak_no_tls, daemon=True).start()
        outcome = outcome_of(url=f"https://127.0.0.1:{server.getsockname()[1]}")

    assert (outcome.verdict, outcome.throttled) == (WAIT, False), outcome.error


def test_tls_that_fails_later_is_unknown():
    try:
        raise ssl.SSLError("decryption failed or bad record mac")
    except ssl.SSLError as broken:
        failed = SSLError(endpoint_url="https://email", error=broken)
        failed.__cause__ = broken

    assert ses_answers.judge_failure(failed).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (NoCredentialsError(), HALT),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), HALT),
        (CredentialRetrievalError(provider="container-role", error_msg="refused"), HALT),
        (ProfileNotFound(profile="mine"), HALT),
        (NoRegionError(), HALT),
        (ParamValidationError(report="x"), REFUSED),
        (ProxyConnectionError(proxy_url="http://proxy"), WAIT),
        (ValueError("a bug of ours"), UNKNOWN),
        (MemoryError(), UNKNOWN),
    ],
)
def test_a_failure_of_the_client_is_judged(failure, verdict):
    assert ses_answers.judge_failure(failure).verdict is verdict


def test_every_error_that_ses_declares_for_sending_is_in_the_table():
    model = boto3.client("sesv2", region_name="us-east-1").meta.service_model
    declared = {shape.name for name in ("SendEmail", "SendBulkEmail") for shape in model.operation_model(name).error_shapes}

    unjudged = declared - set(ses_answers._HALTING) - set(ses_answers._THROTTLING)

    # These are about one mail, or (MessageRejected) about the account as well: told apart by their words.
    assert unjudged == {"MessageRejected", "BadRequestException"}


ENTRIES = [
    ({"Status": "SUCCESS", "MessageId": "0102-x"}, ACCEPTED, False, ""),
    ({"Status": "SUCCESS"}, ACCEPTED, False, ""),  # its id comes with the first event
    ({"Status": "MESSAGE_REJECTED", "Error": "Invalid content"}, REFUSED, False, "Invalid content"),
    ({"Status": "MESSAGE_REJECTED", "Error": "Email address is not verified."}, HALT, False, "sandbox"),
    ({"Status": "MAIL_FROM_DOMAIN_NOT_VERIFIED"}, HALT, False, "not verified"),
    ({"Status": "CONFIGURATION_SET_NOT_FOUND"}, HALT, False, "SES_CONFIGURATION_SET"),
    ({"Status": "TEMPLATE_NOT_FOUND"}, HALT, False, "template"),
    ({"Status": "ACCOUNT_SUSPENDED"}, HALT, False, "suspended"),
    ({"Status": "ACCOUNT_THROTTLED", "Error": "Maximum sending rate exceeded."}, WAIT, True, ""),
    ({"Status": "ACCOUNT_THROTTLED", "Error": "Daily message quota exceeded."}, HALT, False, "quota"),
    ({"Status": "ACCOUNT_DAILY_QUOTA_EXCEEDED"}, HALT, False, "quota"),
    ({"Status": "INVALID_SENDING_POOL_NAME"}, HALT, False, "IP pool"),
    ({"Status": "ACCOUNT_SENDING_PAUSED"}, HALT, False, "Sending is paused"),
    ({"Status": "CONFIGURATION_SET_SENDING_PAUSED"}, HALT, False, "Sending is paused"),
    ({"Status": "INVALID_PARAMETER", "Error": "Illegal address"}, REFUSED, False, "Illegal address"),
    ({"Status": "TRANSIENT_FAILURE", "Error": "try again"}, WAIT, False, "try again"),
    ({"Status": "FAILED", "Error": "no"}, REFUSED, False, "no"),
    ({"Status": "SOMETHING_NEW", "Error": "?"}, UNKNOWN, False, "?"),
    ({}, UNKNOWN, False, "No status"),
]


@pytest.mark.parametrize(("entry", "verdict", "throttled", "words"), ENTRIES)
def test_an_entry_of_a_bulk_answer_is_judged(entry, verdict, throttled, words):
    outcome = ses_answers.judge_entry(entry)

    assert (outcome.verdict, outcome.throttled) == (verdict, throttled)
    assert words in outcome.error
    assert outcome.message_id == entry.get("MessageId", "")


def test_every_status_that_ses_declares_for_an_entry_is_in_the_table():
    model = boto3.client("sesv2", region_name="us-east-1").meta.service_model

    assert set(model.shape_for("BulkEmailStatus").enum) <= {entry.get("Status") for entry, *_ in ENTRIES}


def _bulk(stub):
    client = boto3.client(
        "sesv2",
        region_name="us-east-1",
        endpoint_url=stub.url,
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up",
        config=Config(retries={"total_max_attempts": 1}),
    )
    template = {"Template": {"TemplateContent": {"Subject": "x", "Text": "x"}, "TemplateData": "{}"}}
    return client.send_bulk_email(
        FromEmailAddress="hello@example.com",
        DefaultContent=template,
        BulkEmailEntries=[{"Destination": {"ToAddresses": ["ada@example.com"]}}],
    )


def test_entries_are_judged_as_the_client_reads_them_from_the_wire():
    stub = Stub(answer(200, {"BulkEmailEntryResults": [entry for entry, *_ in ENTRIES]}))

    results = _bulk(stub)["BulkEmailEntryResults"]

    stub.close()
    assert [ses_answers.judge_entry(result).verdict for result in results] == [verdict for _, verdict, *_ in ENTRIES]


def test_an_error_of_the_whole_bulk_call_is_judged_as_one_of_a_single_call():
    stub = Stub(error(400, "ThrottlingException", "Maximum sending rate exceeded."))

    with pytest.raises(ClientError) as raised:
        _bulk(stub)

    stub.close()
    assert ses_answers.judge(raised.value).throttled
