"""Every guard of ENV=production in every process that production runs: it ends, with one line on standard error."""

import os
import subprocess
import sys

import pytest

from tests.outreach.test_settings import COMPLETE, ROOT

PROCESSES = {
    "web": ["-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", "127.0.0.1:0", "outreach.wsgi"],
    "worker": ["-m", "celery", "--app", "outreach", "worker"],
    "beat": ["-m", "celery", "--app", "outreach", "beat", "--scheduler", "celery.beat.Scheduler"],
    "manage.py": ["manage.py", "migrate", "--noinput"],
}
# Generous: every core of a test machine is busy with other tests.
SECONDS = 180


def start(command, env):
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=env | {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("change", "start_of_line"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY is not set: "),
        ({"ALLOWED_HOSTS": None}, "ALLOWED_HOSTS is not set: "),
        ({"PUBLIC_BASE_URL": None}, "PUBLIC_BASE_URL is not set: "),
        ({"PUBLIC_BASE_URL": "http://mail.example.com"}, "PUBLIC_BASE_URL is not https: "),
        ({"SES_REGION": None}, "SES_REGION is not set: "),
        ({"SES_FROM": None}, "SES_FROM is not set: "),
        ({"SES_WEBHOOK_SECRET": None}, "SES_WEBHOOK_SECRET is not set: "),
        ({"PROXY_SHARED_SECRET": None}, "PROXY_SHARED_SECRET is not set: "),
        ({"PROXY_SHARED_SECRET": "x" * 31}, "PROXY_SHARED_SECRET is too short: "),
        ({"EMAIL_MODE": None}, "EMAIL_MODE is not set: "),
        ({"EMAIL_ALLOWED_RECIPIENTS": "@example.com"}, "EMAIL_ALLOWED_RECIPIENTS is for rehearsals: "),
    ],
)
def test_every_process_refuses_to_start_with_one_line(change, start_of_line):
    env = {name: value for name, value in (COMPLETE | change).items() if value is not None}
    # At the same time: each takes a second or two to get as far as its settings.
    started = {name: start(command, env) for name, command in PROCESSES.items()}

    ended = {name: (process.communicate(timeout=SECONDS), process.returncode) for name, process in started.items()}

    for name, ((out, err), code) in ended.items():
        assert code != 0, name
        assert out == "", name
        (line,) = err.splitlines()
        assert line.startswith(f"cannot start: {start_of_line}"), name
