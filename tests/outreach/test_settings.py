"""Every guard, in a real process: it ends with one line that names the variable."""

import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = {
    name: value
    for line in (ROOT / "tests" / "production.env").read_text().splitlines()
    if "=" in line and not line.startswith("#")
    for name, value in [line.split("=", 1)]
}
CHECK = ["manage.py", "check"]


def environment(change, base=COMPLETE):
    given = {name: value for name, value in (base | change).items() if value is not None}
    return given | {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull}


def run(change, command=CHECK, base=COMPLETE):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(change, base),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(change, base=COMPLETE):
    """The settings alone, read by a fork of this process: a second less for each row of the tables below."""
    with tempfile.TemporaryFile("w+") as output:
        if (child := os.fork()) == 0:
            _read_and_exit(environment(change, base), output)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read()


def _read_and_exit(env, output):
    code = 1
    try:
        os.environ.clear()
        os.environ.update(env)
        settings = runpy.run_path(str(ROOT / "outreach" / "settings.py"))
        code = 0
        output.write(str(settings["SES_IS_SIMULATED"]))
    except BaseException as refusal:
        output.write(str(refusal))
    finally:
        output.flush()
        # Nothing of pytest may run in the fork.
        os._exit(code)


def test_a_complete_production_environment_starts():
    assert run({}).returncode == 0


def test_an_empty_environment_is_a_working_development():
    assert run({}, base={}).returncode == 0


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"ENV": "prod"}, "ENV"),
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"PUBLIC_BASE_URL": None}, "PUBLIC_BASE_URL"),
        ({"PUBLIC_BASE_URL": "http://mail.example.com"}, "PUBLIC_BASE_URL"),
        ({"PUBLIC_BASE_URL": "https://mail.example.com/app"}, "PUBLIC_BASE_URL"),
        ({"EMAIL_MODE": None}, "EMAIL_MODE"),
        ({"EMAIL_MODE": "smtp"}, "EMAIL_MODE"),
        ({"SES_REGION": None}, "SES_REGION"),
        ({"SES_FROM": None}, "SES_FROM"),
        ({"SES_FROM": "not an address"}, "SES_FROM"),
        ({"SES_WEBHOOK_SECRET": None}, "SES_WEBHOOK_SECRET"),
        ({"SES_WEBHOOK_SECRET": "with:colon"}, "SES_WEBHOOK_SECRET"),
        ({"PROXY_SHARED_SECRET": None}, "PROXY_SHARED_SECRET"),
        ({"PROXY_SHARED_SECRET": "x" * 31}, "PROXY_SHARED_SECRET"),
        ({"DATABASE_URL": None}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://a:b@c/d"}, "DATABASE_URL"),
        ({"REDIS_URL": None}, "REDIS_URL"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL"),
        ({"SES_MAX_SEND_RATE": "fast"}, "SES_MAX_SEND_RATE"),
        ({"SES_MAX_SEND_RATE": "0"}, "SES_MAX_SEND_RATE"),
        ({"SES_MAX_SEND_RATE": "nan"}, "SES_MAX_SEND_RATE"),
        ({"CAMPAIGN_CHUNK_SIZE": "-1"}, "CAMPAIGN_CHUNK_SIZE"),
        ({"CAMPAIGN_DAILY_LIMIT": "many"}, "CAMPAIGN_DAILY_LIMIT"),
        ({"TRUSTED_PROXY_COUNT": "x"}, "TRUSTED_PROXY_COUNT"),
        ({"SES_SNS_TOPIC_ARNS": "my-topic"}, "SES_SNS_TOPIC_ARNS"),
        ({"API_JWT_SECRET": "x" * 40}, "API_JWT_ADMIN_CLAIM"),
        ({"LOG_PII": "some"}, "LOG_PII"),
        ({"METRICS_ALLOWED_ADDRESSES": "10.0.0.0/8, prometheus"}, "METRICS_ALLOWED_ADDRESSES"),
        ({"METRICS_PORT": "99999"}, "METRICS_PORT"),
        ({"ALLOWED_HOSTS": "https://mail.example.com"}, "ALLOWED_HOSTS"),
        ({"SES_REGION": "us east"}, "SES_REGION"),
        ({"SES_CONFIGURATION_SET": "two words"}, "SES_CONFIGURATION_SET"),
        ({"EMAIL_ALLOWED_RECIPIENTS": "@example.com"}, "EMAIL_ALLOWED_RECIPIENTS"),
        ({"ENV": "development", "EMAIL_ALLOWED_RECIPIENTS": "example.com"}, "EMAIL_ALLOWED_RECIPIENTS"),
        ({"ADMINS": "nobody"}, "ADMINS"),
        ({"EMAIL_CONTENT_DAYS": "-1"}, "EMAIL_CONTENT_DAYS"),
        ({"TRANSACTIONAL_GIVE_UP_HOURS": "0"}, "TRANSACTIONAL_GIVE_UP_HOURS"),
        ({"DATABASE_URL": "postgres://root:hunter2@db:port/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://root:hunter2@db:5432"}, "DATABASE_URL"),
        ({"REDIS_URL": "redis://cache:port/0"}, "REDIS_URL"),
        ({"SES_REGION": None, "AWS_REGION": "us east"}, "AWS_REGION"),
        ({"SES_FROM": None, "SES_FROM_EMAIL": "nope"}, "SES_FROM_EMAIL"),
        ({"SES_FROM": "nope", "SES_FROM_EMAIL": "a@example.com"}, "SES_FROM"),
        ({"AWS_ENDPOINT_URL": "nope"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL_SESV2": "127.0.0.1:4579"}, "AWS_ENDPOINT_URL_SESV2"),
        ({"AWS_ENDPOINT_URL_SNS": "http://under_score:4566"}, "AWS_ENDPOINT_URL_SNS"),
        ({"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:port"}, "AWS_ENDPOINT_URL_EVENTBRIDGE"),
        ({"AWS_ENDPOINT_URL_STS": " http://127.0.0.1:4579"}, "AWS_ENDPOINT_URL_STS"),
    ],
)
def test_a_process_with_a_bad_variable_ends_with_one_line_that_names_it(change, variable):
    code, said = read(change)

    (line,) = said.strip().splitlines()
    assert code not in {0, None}
    assert line.startswith(f"cannot start: {variable} ")


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "migrate"],
        ["manage.py", "shell", "-c", "pass"],
        ["-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", "127.0.0.1:0", "outreach.wsgi"],
        ["-m", "celery", "--app", "outreach", "worker"],
        ["-m", "celery", "--app", "outreach", "beat"],
    ],
)
def test_every_process_refuses_in_the_same_way(command):
    result = run({"SES_FROM": None}, command)

    assert result.returncode != 0
    assert result.stderr.strip().splitlines() == [
        "cannot start: SES_FROM is not set: set it to a verified sender address, e.g. hello@example.com"
    ]


def test_all_problems_are_said_at_once():
    _, line = read({"SES_FROM": None, "SES_REGION": None})

    assert "SES_FROM is not set" in line
    assert "SES_REGION is not set" in line


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4579", "https://email.us-east-1.amazonaws.com", "http://[::1]:4579", "http://localstack:4566/", ""]
)
def test_an_endpoint_that_boto3_takes_is_taken(url):
    assert read({"AWS_ENDPOINT_URL": url})[0] == 0


def test_a_malformed_address_of_a_server_is_not_repeated():
    # It may hold a password.
    assert "hunter2" not in read({"DATABASE_URL": "mysql://root:hunter2@db/x"})[1]


@pytest.mark.parametrize(("first", "second"), [("SES_REGION", "AWS_REGION"), ("SES_FROM", "SES_FROM_EMAIL")])
def test_both_spellings_of_the_mission_are_read(first, second):
    assert read({first: None, second: COMPLETE[first]})[0] == 0


def test_every_variable_that_is_read_is_in_the_example():
    settings = (ROOT / "outreach" / "settings.py").read_text()
    calls = re.findall(
        r"env\.(?:text|first|items|each|choice|number|whole|optional_whole|flag|origin|url|networks)\(([^)]*)", settings
    )
    read = {name for call in calls for name in re.findall(r'"([A-Z][A-Z_]*_[A-Z_]+|ENV)"', call)}

    described = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    # The mission's second spellings are described beside the first, boto3's own are told in words.
    told_in_words = {"AWS_REGION", "SES_FROM_EMAIL", "AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL_SESV2", "AWS_ENDPOINT_URL"}
    assert read - told_in_words <= described


def test_the_example_changes_nothing():
    example = ROOT / ".env.example"
    values = {n: v for n, _, v in (line.partition("=") for line in example.read_text().splitlines()) if n.isupper()}

    assert run(values, base={}).returncode == 0


@pytest.mark.parametrize(
    ("endpoint", "simulated"),
    [
        ({"AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:4579"}, "True"),
        ({"AWS_ENDPOINT_URL": "http://localhost:1"}, "True"),
        ({}, "False"),
        ({"AWS_ENDPOINT_URL_SESV2": "https://ses.example.com", "AWS_ENDPOINT_URL": "http://127.0.0.1"}, "False"),
    ],
)
def test_only_an_endpoint_on_this_machine_is_a_simulator(endpoint, simulated):
    base = {"EMAIL_MODE": "ses", "SES_REGION": "us-east-1", "SES_FROM": "a@example.com"}

    assert read(endpoint, base=base) == (0, simulated)
