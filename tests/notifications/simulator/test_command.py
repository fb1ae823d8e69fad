"""`manage.py ses_simulator` as a process of its own."""

import re
import signal
import socket
import subprocess
import sys

import pytest
from django.core.management import call_command

from tests.notifications.simulator.webhook import Webhook
from tests.simulator import SECONDS, SimulatorProcess, mail


@pytest.fixture
def run():
    """Start the command with flags of your own."""
    started = []

    def run(*options):
        started.append(SimulatorProcess(*options))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.wait()


def test_it_says_where_it_is_and_where_events_go_and_ends_on_ctrl_c(run):
    webhook = Webhook()
    simulator = run("--eventbridge", webhook.url, "--webhook-secret", "s", "--speed", "50")

    simulator.client().send_email(**mail())
    simulator.wait_for(lambda: sorted(webhook.kinds()) == ["Delivery", "Send"])
    simulator.process.send_signal(signal.SIGINT)

    assert simulator.process.wait(SECONDS) == 0
    assert simulator.lines[0] == f"events go to {webhook.url}"
    assert re.fullmatch(r"ready: http://127\.0\.0\.1:\d+", simulator.lines[1])
    assert len(simulator.lines) == 2
    webhook.close()


def test_a_busy_port_is_refused_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        command = [sys.executable, "manage.py", "ses_simulator", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == f"ses_simulator: cannot start on 127.0.0.1:{port} (Address already in use): choose another --port\n"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--port", "99999"),
        ("--port", "-1"),
        ("--host", "no.such.host.invalid"),
        ("--eventbridge", "foo"),
        ("--sns", "foo"),
        ("--sns", "http://[::1"),
        ("--ledger", "/nowhere/at/all"),
        ("--ledger-size", "-5"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused_in_one_line(capsys, flag, value):
    arguments = {"--port": "0", "--webhook-secret": "s"} | {flag: value}

    with pytest.raises(SystemExit, match=f"^ses_simulator: [^\n]*{re.escape(flag)}[^\n]*$"):
        call_command("ses_simulator", *(f"{name}={given}" for name, given in arguments.items()))

    assert "events" not in capsys.readouterr().out


def test_without_its_library_it_says_what_to_install():
    code = (
        "import sys; sys.modules['aiohttp'] = None; sys.argv[1:] = ['ses_simulator', '--port', '0']; import manage; manage.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "ses_simulator: aiohttp is not installed: run pip install -r requirements/local.txt\n"
