"""What the smoke test concludes from what an installation answers; the journeys run it against real ones."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.management import call_command

from outreach import smoke_testing
from outreach.smoke_testing import Api, SmokeTestFailed, Watch

NOTHING = dict.fromkeys(smoke_testing._FACTS)
AT = "2026-11-21T12:00:00Z"
SENT = {"status": "sent", "sent_at": AT, "message_id": "0100-1", "error": "", "skip_reason": ""}


class Installation:
    """Answers like an installation; `sends` are the successive states of the one send."""

    base_url = "https://mail.example.com"

    def __init__(self, *sends, prospects=(), suppressions=(), paused="", status="sending"):
        self.sends = [NOTHING | SENT | send for send in sends]
        self.prospects, self.suppressions = list(prospects), list(suppressions)
        self.campaign = {"status": "paused" if paused else status, "pause_reason": paused}
        self.calls = []

    def get(self, path):
        if path.startswith("/api/prospects?"):
            return {"results": self.prospects}
        if path.startswith("/api/prospects/"):
            return {"tags": ["kept", self.calls[0][2]["tags"][-1]]}
        if path.startswith("/api/suppressions"):
            return {"results": self.suppressions}
        if path.endswith("/sends"):
            return {"results": [self.sends.pop(0) if len(self.sends) > 1 else self.sends[0]] if self.sends else []}
        return {"campaign": self.campaign}

    def call(self, method, path, body):
        self.calls.append((method, path, body))
        return {"id": 7}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(smoke_testing, "_POLL_SECONDS", 0.01)


def run(installation, *, seconds=5, until_delivered=True):
    """The lines that were said."""
    said = []
    watch = Watch(seconds, until_delivered)
    smoke_testing.run(installation, to="ada@example.com", sender="", watch=watch, say=said.append)
    return said


def failure(installation, **options):
    with pytest.raises(SmokeTestFailed) as caught:
        run(installation, **options)
    return str(caught.value)


def test_each_event_is_told_once_with_its_time():
    said = run(Installation({}, {}, {"delivered_at": AT}))

    assert [line.split()[2] for line in said[1:]] == ["sent", "delivered"]
    assert f"{AT}  message 0100-1" in said[1]


def test_it_goes_on_watching_until_a_click_or_the_end():
    read = {"delivered_at": AT, "opened_at": AT}

    said = run(Installation({"delivered_at": AT}, read, read | {"clicked_at": AT}), until_delivered=False)

    assert [line.split()[2] for line in said[1:] if " s  " in line] == ["sent", "delivered", "opened", "clicked"]
    assert run(Installation(read), seconds=0.1, until_delivered=False)


@pytest.mark.parametrize(
    ("send", "words"),
    [
        ({"bounced_at": AT, "error": "550 no such user"}, "bounced: 550 no such user"),
        ({"bounced_at": AT, "delivered_at": AT}, "bounced: no reason given"),
        ({"status": "failed", "sent_at": None, "error": "refused"}, "SES refused it: refused"),
        ({"status": "unknown", "sent_at": None, "error": "lost"}, "nobody knows whether it left: lost"),
        ({"status": "skipped", "sent_at": None, "skip_reason": "suppressed"}, "skipped: suppressed"),
        ({"message_id": "log-1"}, "EMAIL_MODE=log there"),
    ],
)
def test_what_will_not_be_delivered_is_said_at_once(send, words):
    assert words in failure(Installation(send), seconds=60)


@pytest.mark.parametrize(
    ("sends", "words"),
    [
        ([], "it was never sent; is a worker running"),
        ([{"sent_at": None, "status": "queued", "message_id": ""}], "it was never sent"),
        ([{}], "no Delivery event came back; check the configuration set"),
        ([{"delayed_at": AT}], "the recipient's server puts it off"),
        # Opened, they say, but nobody saw it delivered.
        ([{"opened_at": AT}], "no Delivery event came back"),
    ],
)
def test_time_running_out_says_what_to_check(sends, words):
    said = failure(Installation(*sends), seconds=0.1)

    assert said.startswith("not delivered within 0.1 s: ")
    assert words in said


def test_a_campaign_that_ses_pauses_is_said_at_once_with_the_reason():
    assert failure(Installation(paused="quota used up"), seconds=60) == "the campaign was paused: quota used up"


def test_a_campaign_that_is_over_without_a_send_has_reached_nobody():
    assert "has reached nobody" in failure(Installation(status="sent"), seconds=60)


def test_a_campaign_that_is_over_before_the_first_look_has_reached_somebody():
    said = run(Installation({"delivered_at": AT}, status="sent"))

    assert said[-1].split()[2] == "delivered"


def test_whoever_said_no_is_not_mailed():
    installation = Installation(prospects=[{"id": 1, "email": "ada@example.com", "status": "unsubscribed", "tags": []}])

    assert "ada@example.com is unsubscribed there" in failure(installation)
    assert installation.calls == []


def test_whoever_is_suppressed_is_not_mailed():
    installation = Installation(suppressions=[{"email": "ada@example.com", "reason": "manual"}])

    assert "suppression list there (manual)" in failure(installation)
    assert not any(path == "/api/campaigns/send" for _, path, _ in installation.calls)


def test_another_person_s_similar_address_is_not_taken_for_this_one():
    others = [{"id": 1, "email": "not-ada@example.com", "status": "bounced", "tags": []}]

    assert run(Installation({"delivered_at": AT}, prospects=others, suppressions=others))


def test_the_campaign_reaches_only_this_person_and_the_tag_is_taken_away():
    installation = Installation(
        {"delivered_at": AT}, prospects=[{"id": 3, "email": "ada@example.com", "status": "active", "tags": ["kept"]}]
    )

    run(installation)

    tagged, campaign, sent, paused, untagged = installation.calls
    tag = tagged[2]["tags"][-1]
    assert tagged == ("PATCH", "/api/prospects/3", {"tags": ["kept", tag]})
    assert campaign[2]["audience"] == {"include_tags": [tag]}
    assert campaign[2]["subject"] == "Hello {{ first_name }}"
    assert sent == ("POST", "/api/campaigns/send", {"campaignId": 7})
    # It still says that it sends: nothing may leave after we looked away.
    assert paused == ("PATCH", "/api/campaigns/7", {"status": "paused"})
    assert untagged[2] == {"tags": ["kept"]}


class _Odd(BaseHTTPRequestHandler):
    answers = {
        "/json": (200, b'{"a": 1}', ""),
        "/page": (200, b"<html>", ""),
        "/moved": (301, b"", "https://mail.example.com/moved"),
        "/secret": (401, b"{}", ""),
        "/refused": (400, json.dumps({"errors": [{"attr": "from_email", "detail": "No sender.", "code": "x"}]}).encode(), ""),
        "/missing": (404, b"<html>", ""),
        "/broken": (500, b"", ""),
    }

    def do_GET(self):
        status, body, location = self.answers[self.path]
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@pytest.fixture(scope="module")
def odd():
    server = HTTPServer(("127.0.0.1", 0), _Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Api(f"http://127.0.0.1:{server.server_port}/", "s")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/page", "does not answer in JSON: is that this application?"),
        ("/moved", "sends us on to https://mail.example.com/moved: give that origin as --base-url"),
        ("/secret", "refuses the secret (401): PROXY_SHARED_SECRET"),
        ("/refused", "answers 400: from_email: No sender."),
        ("/missing", "answers 404: Not Found; is that this application?"),
        ("/broken", "answers 500"),
    ],
)
def test_an_odd_answer_is_one_line(odd, path, words, monkeypatch):
    # A proxy in the environment is none of loopback's business.
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:1")
    assert odd.get("/json") == {"a": 1}

    with pytest.raises(SmokeTestFailed) as caught:
        odd.get(path)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "nobody"], "--to is 'nobody'"),
        (["--to", "a@example.com", "--base-url", "mail.example.com"], "--base-url is 'mail.example.com'"),
        (["--to", "a@example.com", "--timeout", "0"], "--timeout is 0"),
        (["--to", "a@example.com", "--base-url", "http://127.0.0.1:1"], "cannot be reached"),
    ],
)
def test_a_wrong_option_is_one_line(options, words, settings):
    settings.PROXY_SHARED_SECRET = "s" * 40

    with pytest.raises(SystemExit, match=r"^smoke_test: ") as caught:
        call_command("smoke_test", *options)

    assert words in str(caught.value)


@pytest.mark.parametrize("url", ["mail.example.com", "http://[::1", "http://127.0.0.1:port", "ftp://mail.example.com"])
def test_an_origin_that_is_none_is_refused_in_one_line(settings, url):
    settings.PROXY_SHARED_SECRET = "s" * 32

    with pytest.raises(SystemExit, match=r"^smoke_test: --base-url is .* give an origin such as"):
        call_command("smoke_test", "--to", "ada@example.com", "--base-url", url)


def test_without_a_secret_it_says_which(settings):
    settings.PROXY_SHARED_SECRET = ""

    with pytest.raises(SystemExit, match=r"^smoke_test: PROXY_SHARED_SECRET is not set"):
        call_command("smoke_test", "--to", "a@example.com")


def test_by_itself_it_asks_the_site_that_up_wrote_down(settings, tmp_path):
    from outreach.management.commands import smoke_test

    settings.BASE_DIR = tmp_path
    assert smoke_test._here() == settings.PUBLIC_BASE_URL

    (tmp_path / ".local" / "demo").mkdir(parents=True)
    (tmp_path / ".local" / "demo" / "site-url").write_text("http://127.0.0.1:8007")
    assert smoke_test._here() == "http://127.0.0.1:8007"
