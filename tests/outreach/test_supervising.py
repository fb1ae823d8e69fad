"""What keeps programs running, with the clock in our hands."""

import os
import signal
import sys
import time

import pytest

from outreach import supervising
from outreach.processes import LocalError, Register
from outreach.supervising import Program, Stopped, StopSignals, Supervisor


class Fragile:
    name = "web"

    def __init__(self):
        self.starts = 0
        self.alive = False

    def start(self):
        self.starts += 1
        self.alive = True

    def is_alive(self):
        return self.alive

    def ending(self):
        return "exit code 1"


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(said):
    return Supervisor(say=said.append)


@pytest.fixture
def web(supervisor):
    web = Fragile()
    supervisor.keep(web)
    return web


def _fail(supervisor, web, now, *, patient=True):
    web.alive = False
    supervisor.tend(now, patient=patient)


def test_what_runs_is_left_alone(supervisor, web, said):
    supervisor.tend(1.0, patient=False)

    assert (web.starts, said) == (1, [])


def test_what_ends_is_started_again_after_a_pause(supervisor, web, said):
    _fail(supervisor, web, 10.0)
    supervisor.tend(10.4, patient=True)
    assert web.starts == 1

    supervisor.tend(10.5, patient=True)

    assert web.starts == 2
    assert said == ["web ended (exit code 1); starting it again in 0.5 s"]


def test_the_pauses_grow_to_ten_seconds(supervisor, web, said):
    for now in range(0, 80, 11):
        _fail(supervisor, web, float(now))
        supervisor.tend(now + 10.0, patient=True)

    assert [line.split()[-2] for line in said] == ["0.5", "1", "2", "4", "8", "10", "10", "10"]


def test_an_old_failure_is_forgotten(supervisor, web, said):
    _fail(supervisor, web, 0.0)
    supervisor.tend(1.0, patient=True)

    _fail(supervisor, web, 100.0)

    assert said[-1].endswith("in 0.5 s")


def test_five_failures_within_a_minute_are_enough_while_starting(supervisor, web):
    for now in (0.0, 10.0, 20.0, 30.0):
        _fail(supervisor, web, now, patient=False)
        supervisor.tend(now + 9.0, patient=False)

    with pytest.raises(LocalError, match=r"^web ended \(exit code 1\) for the 5th time within a minute"):
        _fail(supervisor, web, 40.0, patient=False)


_TELLING = """
import signal, time
def stop(*_):
    open({log!r}, "a").write({name!r})
    raise SystemExit
signal.signal(signal.SIGTERM, stop)
print(flush=True)
time.sleep(600)
"""


def test_what_is_to_stop_last_outlives_the_others_and_the_terminal_s_ctrl_c(supervisor, tmp_path):
    log, register = tmp_path / "log", Register(tmp_path / "register")
    more = {"env": os.environ, "cwd": tmp_path, "register": register}
    for name, last in (("simulator", True), ("worker", False)):
        code = _TELLING.format(log=str(log), name=f"{name} ")
        with (tmp_path / name).open("wb") as output:
            supervisor.keep(Program(name, [sys.executable, "-c", code], stop_last=last, output=output, **more))
        while not (tmp_path / name).read_bytes():
            time.sleep(0.02)
    groups = [os.getpgid(care.thing.process.pid) for care in supervisor._cares]

    supervisor.stop(hurried=lambda: False)

    assert log.read_text() == "worker simulator "
    assert [group == os.getpgid(0) for group in groups] == [False, True]


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signals = StopSignals()
    signals.listen()
    yield signals
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_heard_where_the_code_waits(signals, number):
    signals.pause(0)
    os.kill(os.getpid(), number)

    with pytest.raises(Stopped):
        signals.pause(60)
    assert not signals.hurried()


def test_one_key_press_that_arrives_twice_is_no_hurry(signals, monkeypatch):
    monkeypatch.setattr(supervising, "_ONE_KEY_PRESS", 60.0)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    assert not signals.hurried()

    monkeypatch.setattr(supervising, "_ONE_KEY_PRESS", -1)
    os.kill(os.getpid(), signal.SIGINT)

    assert signals.hurried()
