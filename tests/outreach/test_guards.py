"""Every guard of ENV=production in every process that production runs: it ends, and says one line."""

import os
import sys

import pytest

from tests.chaos.forking import Forkserver
from tests.outreach.test_settings import COMPLETE

PROCESSES = {
    "web": ["-m", "gunicorn", "--config", "gunicorn.conf.py", "--bind", "127.0.0.1:0", "outreach.wsgi"],
    "worker": ["-m", "celery", "--app", "outreach", "worker"],
    "beat": ["-m", "celery", "--app", "outreach", "beat", "--scheduler", "celery.beat.Scheduler"],
    "manage.py": ["-m", "manage", "migrate", "--noinput"],
}
# Generous: every core of a test machine is busy with other tests.
SECONDS = 180


@pytest.fixture(scope="module")
def forkserver():
    """Starts programs as forks of one that has loaded their libraries: of forty-four, each would take a second for it."""
    server = Forkserver()
    yield server
    server.close()


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
def test_every_process_refuses_to_start_with_one_line(change, start_of_line, forkserver, tmp_path):
    env = {name: value for name, value in (COMPLETE | change).items() if value is not None}
    env |= {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull}
    started = {
        name: forkserver.start([sys.executable, *command], env=env, log=tmp_path / name) for name, command in PROCESSES.items()
    }

    codes = {name: process.wait(SECONDS) for name, process in started.items()}

    for name, code in codes.items():
        assert code not in {0, None}, name
        (line,) = (tmp_path / name).read_text().splitlines()
        assert line.startswith(f"cannot start: {start_of_line}"), name
