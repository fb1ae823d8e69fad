"""`manage.py ses_setup` and `manage.py ses_doctor`, as a person calls them, on made-up services."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from botocore.exceptions import NoCredentialsError
from django.core.management import CommandError, call_command

from notifications.setup import clients, dns_checks, webhook_checks
from tests import aws as stand_ins
from tests.aws import ACCOUNT, TOPIC


@pytest.fixture
def aws(monkeypatch):
    with stand_ins.clients() as found:
        monkeypatch.setattr(clients, "connect", lambda _region: found)
        yield found


@pytest.fixture(autouse=True)
def _site(settings, monkeypatch):
    settings.SES_REGION, settings.SES_FROM, settings.SES_CONFIGURATION_SET = "us-east-1", "hello@example.com", "outreach"
    settings.PUBLIC_BASE_URL, settings.SES_WEBHOOK_SECRETS = "https://mail.example.com", ["made-up-secret", "old"]
    settings.EMAIL_MODE = "ses"
    monkeypatch.setattr(dns_checks.SystemResolver, "records", lambda *_: [])
    monkeypatch.setattr(webhook_checks, "post", lambda url, *_: (403 if "/v1/" in url else 401, ""))


@contextmanager
def stranger(answer):
    """A web server that answers everything with the same words; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(command, *arguments):
    out = StringIO()
    try:
        call_command(command, *arguments, stdout=out, no_color=True)
    except SystemExit as stop:
        return stop.code, out.getvalue()
    return 0, out.getvalue()


def test_a_set_up_says_what_it_did_and_which_records_to_publish(aws):
    code, said = run("ses_setup")

    assert code == 0
    assert "created identity example.com" in said
    assert "CNAME   one._domainkey.example.com  one.dkim.amazonses.com" in said
    assert "MX      mail.example.com  10 feedback-smtp.us-east-1.amazonses.com" in said
    assert "_dmarc.example.com  v=DMARC1; p=none" in said
    assert f"SES_ACCOUNT_ID={ACCOUNT}" in said
    assert "11 created, 0 updated" in said
    assert "made-up-secret" not in said


def test_a_dry_run_changes_nothing_and_says_everything(aws):
    code, said = run("ses_setup", "--dry-run")

    assert code == 0
    assert "11 to create" in said
    assert "v=spf1 include:amazonses.com" in said
    assert aws.sesv2.writes == []
    assert aws.events.list_rules()["Rules"] == []


def test_by_sns_the_topic_to_list_is_named_first(aws):
    code, said = run("ses_setup", "--via", "sns")

    assert code == 0
    assert f"wait    SNS subscription of https://mail.example.com (set SES_SNS_TOPIC_ARNS={TOPIC}" in said


def test_a_set_up_that_fails_half_way_says_so(aws, monkeypatch):
    def refuse(**_parameters):
        raise NoCredentialsError

    monkeypatch.setattr(aws.events, "describe_rule", refuse)

    code, said = run("ses_setup")

    assert code == 1
    assert "FAILED  EventBridge rule outreach-ses-events: NoCredentialsError" in said


@pytest.mark.parametrize("name", ["SES_WEBHOOK_SECRETS", "PUBLIC_BASE_URL", "SES_REGION"])
def test_a_set_up_without_what_it_needs_changes_nothing(aws, settings, name):
    setattr(settings, name, {"SES_WEBHOOK_SECRETS": [], "PUBLIC_BASE_URL": "http://127.0.0.1:8000"}.get(name, ""))

    with pytest.raises(CommandError):
        run("ses_setup")

    assert aws.sesv2.writes == []


def test_a_dry_run_needs_no_credentials(aws, monkeypatch):
    def refuse(**_parameters):
        raise NoCredentialsError

    monkeypatch.setattr(aws.sts, "get_caller_identity", refuse)

    code, said = run("ses_setup", "--dry-run")

    assert code == 0
    assert "NoCredentialsError" in said
    assert "?       EventBridge rule outreach-ses-events" in said
    with pytest.raises(CommandError, match="NoCredentialsError"):
        run("ses_setup")


@pytest.mark.django_db
def test_the_doctor_ends_with_one_when_something_is_in_the_way(aws):
    code, said = run("ses_doctor")

    assert code == 1
    assert "FAIL  identity: neither example.com" in said
    assert "→ Run manage.py ses_setup." in said
    assert "in the way of sending" in said


@pytest.mark.django_db
def test_the_doctor_ends_with_zero_when_nothing_is(aws, monkeypatch):
    run("ses_setup")
    identity = aws.sesv2.identities["example.com"]
    identity["VerifiedForSendingStatus"], identity["DkimAttributes"]["Status"] = True, "SUCCESS"
    wanted = {f"{token}._domainkey.example.com": [f"{token}.dkim.amazonses.com"] for token in ("one", "two", "three")}
    monkeypatch.setattr(dns_checks.SystemResolver, "records", lambda _self, name, _kind: wanted.get(name, []))

    code, said = run("ses_doctor")

    assert code == 0, said
    assert "FAIL" not in said
    assert "WARN  DMARC: example.com has no DMARC record" in said


@pytest.mark.django_db
def test_the_doctor_of_a_fresh_checkout_speaks_in_lines_not_in_tracebacks(settings, monkeypatch):
    settings.SES_REGION = settings.SES_CONFIGURATION_SET = ""
    settings.SES_WEBHOOK_SECRETS, settings.EMAIL_MODE = [], "log"

    code, said = run("ses_doctor")

    assert code == 1
    assert "WARN  mode" in said
    assert "FAIL  credentials: cannot be checked: NoCredentialsError" in said
    assert "Traceback" not in said


WRONG = [
    ("--rate", "0"),
    ("--rate", "301"),
    ("--domain", "no pe"),
    ("--mail-from", "localhost"),
    ("--name", "b ä d"),
    ("--configuration-set", "two words"),
]


@pytest.mark.parametrize(("flag", "value"), WRONG)
def test_an_argument_that_no_aws_would_take_is_refused_also_in_a_dry_run(aws, flag, value):
    with pytest.raises(CommandError, match=f"^{flag} .*{value}[^\n]*$"):
        run("ses_setup", "--dry-run", flag, value)

    assert aws.sesv2.writes == []


def test_the_doctor_refuses_a_name_that_ses_setup_would(aws):
    with pytest.raises(CommandError, match=r"^--name 'b ä d' is no name"):
        run("ses_doctor", "--name", "b ä d")


@pytest.mark.parametrize("command", ["ses_setup", "ses_doctor"])
@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("AWS_PROFILE", "nope", "ProfileNotFound"),
        ("AWS_ENDPOINT_URL_STS", "nope", "Invalid endpoint"),
        ("AWS_DEFAULTS_MODE", "nope", "defaults mode"),
    ],
)
def test_what_boto3_refuses_is_one_line_with_a_remedy(monkeypatch, command, name, value, word):
    monkeypatch.setenv(name, value)

    with pytest.raises(CommandError, match=f"^boto3 refuses its configuration [^\n]*{word}[^\n]*: correct the AWS_ variables"):
        run(command)


@pytest.mark.parametrize("answer", [b"<html>hello", b"{}", b"<a></a>"])
def test_an_endpoint_that_is_not_aws_is_one_line(monkeypatch, answer):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with stranger(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)

        with pytest.raises(CommandError, match=r"^AWS does not know who asks: [^\n]{,400}$"):
            run("ses_setup")
        assert run("ses_setup", "--dry-run")[0] == 0
