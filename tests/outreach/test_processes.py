"""Processes on a leash: nothing outlives the command that started it."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from outreach import processes
from outreach.processes import Register

SLEEP = ["sleep", "300"]


@pytest.fixture
def start():
    started = []

    def start(command, **options):
        started.append(processes.start(command, death_signal=signal.SIGTERM, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def register(tmp_path):
    return Register(tmp_path / "processes.json")


def _wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_program_ends_when_its_parent_is_killed(tmp_path):
    code = (
        "import signal, time; from outreach import processes;"
        f"print(processes.start({SLEEP!r}, death_signal=signal.SIGTERM).pid, flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        _wait_until(lambda: child.name() == "sleep")
        parent.kill()

    _wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_program_is_deaf_to_the_terminal_and_hears_broken_pipes(start, tmp_path):
    code = "import signal; print([signal.getsignal(s).name for s in (signal.SIGINT, signal.SIGHUP)])"
    with (tmp_path / "out").open("wb") as output:
        start([sys.executable, "-c", code], output=output).wait()
        start(["sh", "-c", "kill -PIPE $$; echo still here"], output=output).wait()

    assert (tmp_path / "out").read_text() == "['SIG_IGN', 'SIG_IGN']\n"


def test_a_program_that_is_not_there_is_named(start, tmp_path):
    with (tmp_path / "out").open("wb") as output:
        process = start(["/no/such/program"], output=output)

        assert process.wait() == 1
    assert (tmp_path / "out").read_text() == "cannot run /no/such/program: No such file or directory\n"


def test_the_stubborn_are_killed_with_their_children(start):
    process = start(["sh", "-c", "trap '' TERM; sleep 300 & wait; sleep 300"])
    _wait_until(psutil.Process(process.pid).children)
    child = psutil.Process(process.pid).children()[0]

    processes.end({process.pid: signal.SIGTERM}, grace=0.2)

    assert process.wait(20) == -signal.SIGKILL
    _wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


HURRIED = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, lambda *_: sys.exit(3))
pathlib.Path(sys.argv[1]).touch()
time.sleep(300)
"""


def test_a_second_wish_shortens_the_wait(start, tmp_path):
    # Not a shell: one that was started in the background ignores SIGQUIT for good, whatever it traps (POSIX, 2.11).
    process = start([sys.executable, "-c", HURRIED, str(tmp_path / "trapped")])
    _wait_until((tmp_path / "trapped").exists)
    began = time.monotonic()

    processes.end({process.pid: signal.SIGTERM}, grace=60, hurried=lambda: True, hurried_with=signal.SIGQUIT)

    assert time.monotonic() - began < 30
    assert process.wait(20) == 3


def test_what_a_killed_run_left_behind_is_stopped(start, register, tmp_path):
    left = start(SLEEP)
    register.note(left.pid, stop_with=signal.SIGTERM)

    stopped = Register(tmp_path / "processes.json").end_leftovers()

    assert (stopped, left.wait(20)) == (1, -signal.SIGTERM)


def test_servers_are_stopped_after_their_clients(start, register, tmp_path):
    log = tmp_path / "log"
    for name, last in (("server", True), ("client", False)):
        script = f"trap 'sleep 0.2; echo {name} >> {log}; exit' TERM; echo > {tmp_path / name}; while :; do sleep 0.02; done"
        register.note(start(["sh", "-c", script]).pid, stop_with=signal.SIGTERM, stop_last=last)
        _wait_until((tmp_path / name).exists)

    Register(tmp_path / "processes.json").end_leftovers()

    assert log.read_text() == "client\nserver\n"


def test_a_process_id_that_was_used_again_is_left_alone(start, register, tmp_path):
    other = start(SLEEP)
    register.note(other.pid, stop_with=signal.SIGTERM)
    entry = json.loads((tmp_path / "processes.json").read_text())
    entry[str(other.pid)]["created"] -= 60
    (tmp_path / "processes.json").write_text(json.dumps(entry))

    assert Register(tmp_path / "processes.json").end_leftovers() == 0
    assert other.poll() is None


def test_a_torn_register_names_nobody(register, tmp_path):
    (tmp_path / "processes.json").write_text('{"12')

    assert register.end_leftovers() == 0


def test_a_register_is_left_only_when_somebody_is(start, register, tmp_path):
    process = start(SLEEP)
    register.note(process.pid, stop_with=signal.SIGTERM)
    register.close()
    assert (tmp_path / "processes.json").exists()

    process.kill()
    process.wait()
    register.close()

    assert not (tmp_path / "processes.json").exists()


def test_an_ending_is_told_to_a_person(start):
    failed, killed, alive = start(["sh", "-c", "exit 4"]), start(SLEEP), start(SLEEP)
    failed.wait()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()

    assert [processes.ending(process) for process in (failed, killed, alive)] == [
        "exit code 4",
        "killed by SIGKILL",
        "not at all",
    ]
