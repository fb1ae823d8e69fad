"""Log lines: one JSON object each, the mission's keys, no secret and no forged line, whoever speaks."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from notifications import call_logging
from notifications.transports.base import Outcome, Verdict
from outreach import logging as our_logging
from outreach import printed, redacting

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
LINK = f"https://mail.example.com/api/unsubscribe?token={TOKEN}&c=0123456789ab"
SECRET = 'pr0xy"secret\\with/odd characters'
DATABASE = "postgres://outreach:hunter2%2Fhunter2@db.example.com/outreach"
MISSION = ["level", "msg", "message_id", "to", "subject", "template_name", "duration_ms"]
HOSTILE = [
    'Hi"}\n{"level": "info", "msg": "email_sent", "to": "forged@example.com"}',
    "Hi\r\nlevel=info msg=forged",
    "Hi \x1b[2K\x1b[1A\x1b[31mred",
    "Hi \u2028 \u2029 \x85 \x0b \x0c \x1c forged",
    "Hi \x00 \ud800 \U0001f600 \u202e forged",
    f"Hi {LINK}",
]


@pytest.fixture
def lines():
    """What the root logger would write, as text."""
    formatter = our_logging.logging_config(level="INFO")["formatters"]["structured"]
    written = io.StringIO()
    handler = our_logging.Lines(written)
    handler.setFormatter(formatter.pop("()")(**formatter))
    handler.addFilter(our_logging.is_worth_a_line)
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: written.getvalue().split("\n")[:-1]
    root.removeHandler(handler)


def without_pytests_handlers():
    """They raise what ours must survive."""
    logging.getLogger().handlers = [one for one in logging.getLogger().handlers if isinstance(one, our_logging.Lines)]


@pytest.fixture
def secrets():
    known, key = redacting._Known.secrets, redacting._Known.people_key
    redacting.know_secrets(SECRET, urls=[DATABASE])
    yield
    redacting._Known.secrets, redacting._Known.people_key = known, key


@pytest.fixture
def hashed(secrets):
    redacting.hash_people(b"k" * 32)


def message(**words):
    complete = {
        "to": "user@example.com",
        "subject": "Welcome to Truthlocks",
        "template_name": "issuer-onboarding-invite",
    }
    return SimpleNamespace(**complete | words)


def only(lines):
    (line,) = lines()
    return json.loads(line)


def send(lines, outcome=None, **words):
    outcome = outcome or Outcome(Verdict.ACCEPTED, message_id="0102abc")
    # Not an OutgoingMessage, which refuses the worst of these.
    call_logging.log_outcomes([SimpleNamespace(**vars(message()) | words)], [outcome], duration_ms=245)
    return only(lines)


def test_a_mail_that_left_has_the_missions_keys(lines):
    line = send(lines)

    timestamp, logger = line.pop("timestamp"), line.pop("logger")
    assert (logger, timestamp[-1]) == ("notifications", "Z")
    assert line == dict(
        zip(
            MISSION,
            ["info", "email_sent", "0102abc", "user@example.com", "Welcome to Truthlocks", "issuer-onboarding-invite", 245],
            strict=True,
        )
    )


def test_a_mail_that_failed_says_why_besides(lines):
    line = send(lines, Outcome(Verdict.REFUSED, error="MessageRejected: no"))

    assert set(MISSION) <= set(line)
    assert (line["level"], line["msg"], line["error"]) == ("error", "email_send_failed", "MessageRejected: no")


def test_the_mails_of_one_call_get_a_line_each(lines):
    outcomes = [Outcome(Verdict.ACCEPTED, message_id=f"m-{number}") for number in range(50)]
    outcomes[7] = Outcome(Verdict.REFUSED, error="no")
    structlog.contextvars.bind_contextvars(task_id="task-1")

    call_logging.log_outcomes([message(to=f"p{number}@example.com") for number in range(50)], outcomes, duration_ms=245)

    structlog.contextvars.clear_contextvars()
    written = [json.loads(line) for line in lines()]
    assert [line["to"] for line in written if line["msg"] == "email_send_failed"] == ["p7@example.com"]
    assert [line["message_id"] for line in written if line["msg"] == "email_sent"] == [
        f"m-{number}" for number in range(50) if number != 7
    ]
    assert {line["task_id"] for line in written} == {"task-1"}
    assert all(set(MISSION) <= set(line) for line in written)


def test_each_of_many_lines_is_cleaned_by_itself(lines, hashed):
    mails = [message(to=f"p{number}@example.com", subject=f"For p{number}@example.com {LINK}") for number in (1, 2)]

    call_logging.log_outcomes(mails, [Outcome(Verdict.ACCEPTED)] * 2, duration_ms=1)

    first, second = map(json.loads, lines())
    assert first["to"].startswith("pii-")
    assert first["to"] != second["to"]
    assert not [raw for raw in lines() if TOKEN in raw or "example.com" in raw]


def test_many_lines_are_written_in_pieces_that_a_pipe_takes_whole():
    lines = [f"{number:04} " + "x" * 200 for number in range(100)] + ["y" * 9000] + ["z"]

    blocks = list(our_logging._blocks(lines))

    assert "\n".join(blocks).split("\n") == lines
    assert [len(block) for block in blocks if len(block) + 1 > 4096] == [9000]
    assert len(blocks) < 10


@pytest.mark.parametrize("subject", HOSTILE)
def test_a_hostile_subject_forges_no_line(lines, subject):
    line = send(lines, subject=subject)

    raw = lines()[0]
    assert line["msg"] == "email_sent"
    assert line["to"] == "user@example.com"
    assert raw.isascii()
    assert raw.isprintable()
    assert TOKEN not in raw


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.floats() | st.binary() | st.none() | st.integers()))
def test_whatever_is_logged_is_one_line_of_json(subject, name, extra):
    formatter = our_logging.logging_config(level="INFO")["formatters"]["structured"]
    written = io.StringIO()
    handler = our_logging.Lines(written)
    handler.setFormatter(formatter.pop("()")(**formatter))
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "levelno": 20, "msg": subject, "extra": extra, "who": name})

    handler.emit(record)

    (line,) = written.getvalue().splitlines()
    assert json.loads(line, parse_constant=lambda word: pytest.fail(word))["level"] == "info"


@pytest.mark.parametrize("name", ["gunicorn.error", "celery.worker", "boto3", "django.db.backends", "urllib3.connectionpool"])
def test_third_parties_come_out_in_the_same_shape(lines, name):
    logging.getLogger(name).warning("Retrying %s\nafter %s", "it", "this")

    line = only(lines)
    assert (line["level"], line["logger"], line["msg"]) == ("warning", name, "Retrying it\nafter this")


def test_a_line_that_cannot_be_made_says_so(lines, capfd):
    without_pytests_handlers()
    logging.getLogger("kombu").warning("two %s %s", "one")

    assert '"msg": "log_line_failed"' in lines()[-1]
    assert "Traceback" not in capfd.readouterr().err


class Wordless:
    def __repr__(self):
        raise RuntimeError


def test_a_value_without_words_costs_no_line(lines):
    without_pytests_handlers()
    structlog.get_logger("x").info("odd", value=Wordless(), keys={(1, 2): {3: float("nan")}}, raw=b"\xff")

    line = json.loads(lines()[-1])
    assert line["value"] == "<Wordless without words>"
    assert line["keys"] == {"(1, 2)": {"3": "nan"}}


SECRETS_IN = {
    "as it is": f"the secret is {SECRET}",
    "in a repr": repr({"X-Proxy-Secret": SECRET}),
    "in JSON": json.dumps({"key": SECRET}),
    "in an address": "/metrics?key=pr0xy%22secret%5Cwith%2Fodd%20characters",
    "password": 'connection failed: password "hunter2/hunter2"',
    "address of the database": f"cannot reach {DATABASE}",
    "address of somebody else's broker": "amqp://guest:s3cr3tpassw0rd@rabbit:5672//",
    "header": "Authorization: Bearer abcdefghijklmnop",
    "token": "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "link": f"GET /api/unsubscribe?token={TOKEN}",
    "link in a mail": f"value: <p><a href='{LINK}'>leave</a>",
    "reset": "GET /admin/reset/MQ/c8xq3w-0123456789abcdef0123456789abcdef/",
    "cookie": "Cookie: sessionid=0123456789abcdef; csrftoken=fedcba9876543210",
    "boto": "aws_secret_access_key='abcdefghij/KLMNOP'",
}
WORDS_OF_SECRETS = ("pr0xy", "hunter2", "s3cr3t", "abcdefgh", "eyJ", TOKEN, "c8xq3w", "0123456789abcdef", "fedcba")


@pytest.mark.parametrize("text", SECRETS_IN.values(), ids=SECRETS_IN.keys())
def test_no_secret_reaches_a_line(lines, secrets, text):
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("celery").exception("failed: %s", text, extra={"detail": {"deep": [text]}})
    structlog.get_logger("x").warning(text, error=text)

    written = "\n".join(lines())
    assert not [word for word in WORDS_OF_SECRETS if word in written]
    assert written.count("[hidden]") >= 5


def test_a_field_that_is_named_for_a_secret_is_hidden(lines):
    structlog.get_logger("x").info("login", password="short", proxy_secret="x", access_token="y", routing_key="campaigns")

    line = only(lines)
    assert (line["password"], line["proxy_secret"], line["access_token"]) == ("[hidden]",) * 3
    assert line["routing_key"] == "campaigns"


def test_hashed_people_can_be_joined_but_not_read(lines, hashed):
    call_logging.log_outcomes([message()], [Outcome(Verdict.ACCEPTED)], duration_ms=1)
    error = "smtp; 550 5.1.1 <User@Example.com>: Recipient address rejected"
    call_logging.log_outcomes([message(subject="Other")], [Outcome(Verdict.REFUSED, error=error)], duration_ms=1)
    structlog.get_logger("x").info(
        "found", request="GET /api/prospects?q=ada&email=user%40example.com", file="Ada <ada@b.example>"
    )

    sent, failed, found = (json.loads(line) for line in lines())
    assert sent["to"] == failed["to"]
    assert sent["to"].startswith("pii-")
    assert failed["to"] in failed["error"]
    assert sent["subject"] != failed["subject"]
    assert "@" not in "".join(lines())
    assert "Truthlocks" not in "".join(lines())
    assert "ada" not in found["request"]


def test_a_subject_that_an_error_repeats_is_hashed_there_too(lines, hashed):
    line = send(lines, Outcome(Verdict.REFUSED, error="Invalid: 'Welcome to Truthlocks'"))

    assert line["error"] == f"Invalid: '{line['subject']}'"


def test_hashes_differ_between_keys(hashed):
    one = redacting.pseudonym("user@example.com")
    redacting.hash_people(b"another")

    assert redacting.pseudonym("user@example.com") != one


def test_a_terminal_is_told_nothing_it_would_obey(monkeypatch):
    monkeypatch.setattr(our_logging, "for_people", lambda: True)
    formatter = our_logging.logging_config(level="INFO")["formatters"]["structured"]
    formatted = formatter.pop("()")(**formatter)
    for subject in HOSTILE:
        record = logging.LogRecord("x", logging.INFO, "", 0, subject, None, None)
        record.detail = subject
        line = formatted.format(record)
        # The colours are ours.
        assert not {"\n", "\r", "\u2028", "\u2029", "\x85", "\u202e", "\x00"} & set(line)
        assert "\x1b[2K" not in line
    monkeypatch.undo()
    our_logging.logging_config(level="INFO")


LIBRARIES = {
    "print('banner', 'two\\nlines')": "banner two",
    "import sys; print('oops', file=sys.stderr)": "oops",
    "import warnings; warnings.warn('old', UserWarning)": "UserWarning: old",
    "raise ValueError('https://u:passw0rdpassw0rd@host/')": "uncaught_exception",
    "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()": "uncaught_exception",
    "printed.say('worker: Warm shutdown')": "worker: Warm shutdown",
}
# Every piece of code in a process of its own, forked from one that has started as ours do: starting takes seconds.
EACH = """
import json, os, sys
import django; django.setup()
from outreach import printed
code = None
for number, each in enumerate(json.loads(sys.argv[2])):
    if (pid := os.fork()) == 0:
        code = each
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{sys.argv[1]}/{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
        break
    os.waitpid(pid, 0)
if code:
    printed.take_over(errors=True)
    exec(code)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What processes wrote that ran code of `LIBRARIES`, by that code: standard output, standard error."""
    directory = tmp_path_factory.mktemp("said")
    command = [sys.executable, "-c", EACH, directory, json.dumps([*LIBRARIES])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True)
    # Nor does a start say anything.
    assert (done.stdout, done.stderr) == ("", "")
    return {
        code: [(directory / f"{number}.{name}").read_text() for name in ("out", "err")] for number, code in enumerate(LIBRARIES)
    }


@pytest.mark.parametrize("code", LIBRARIES)
def test_whatever_a_library_says_is_a_line(code, said):
    out, err = said[code]

    lines = [json.loads(line) for line in out.splitlines()]
    assert LIBRARIES[code] in lines[0]["msg"]
    assert "passw0rd" not in out
    assert err == ""


def test_a_printed_line_is_logged_when_it_is_whole(lines):
    stream = printed.PrintedLines(sys.stdout, logging.INFO)

    stream.write("one, ")
    stream.write("\n\ntwo")

    assert [json.loads(line)["msg"] for line in lines()] == ["one,"]
