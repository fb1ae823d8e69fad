"""What commands tell a person, beside the log lines of their children."""

import socket
import subprocess
import sys

import pytest
from django.conf import settings

COMMANDS = {
    "up": "from outreach.management.commands import up\nup.places.claim = lambda *a, say, **k: say('told') or exit()\n",
    "smoke_test": "from outreach import smoke_testing\nsmoke_testing.run = lambda *a, say, **k: say('told') or exit()\n",
    "ses_simulator": (
        "from notifications.simulator import server\nserver.serve_until_signalled = lambda *a, say: say('told') or exit()\n"
    ),
}
OPTIONS = {"up": [], "smoke_test": ["--to", "ada@example.com"], "ses_simulator": ["--port", "0", "--no-events"]}


def written_by(code):
    """What each write() of a process held: a socket that keeps messages apart stands in for the shared pipe."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        script = [sys.executable, "-u", "-c", f"import django; django.setup()\n{code}"]
        subprocess.run(script, cwd=settings.BASE_DIR, stdout=its, check=True, timeout=120)
        its.close()
        return list(iter(lambda: ours.recv(10_000), b""))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_a_line_in_one_write_so_that_no_log_line_comes_between(name, monkeypatch):
    monkeypatch.setenv("PROXY_SHARED_SECRET", "s" * 32)
    call = f"from django.core.management import call_command\ncall_command({name!r}, *{OPTIONS[name]})"

    assert written_by(COMMANDS[name] + call) == [b"told\n"]
