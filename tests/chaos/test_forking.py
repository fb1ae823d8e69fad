"""Programs that are forked must be as they are when they are executed, or the short version would try something else."""

import os
import signal
import sys
import time

import pytest

from tests.chaos.forking import Forkserver
from tests.chaos.program import lives


@pytest.fixture(scope="module")
def forkserver():
    server = Forkserver()
    yield server
    server.close()


def run(server, log, statement, **env):
    command = [sys.executable, "-m", "timeit", "-n", "1", "-r", "1", statement]
    return server.start(command, env=env, log=log)


def test_nothing_of_the_product_is_loaded_before_the_fork(forkserver, tmp_path):
    ours = {"outreach", "campaigns", "notifications", "prospects", "prometheus_client"}

    statement = f"import sys; assert not {ours} & {{name.partition('.')[0] for name in sys.modules}}"

    assert run(forkserver, tmp_path / "log", statement).wait() == 0


def test_a_fork_has_the_environment_that_it_was_given_and_no_other(forkserver, tmp_path):
    assert run(forkserver, tmp_path / "log", "import os; print(dict(os.environ))", ANSWER="42").wait() == 0

    assert "{'ANSWER': '42'}" in (tmp_path / "log").read_text()


def test_the_end_of_a_fork_is_told_as_popen_tells_it(forkserver, tmp_path):
    sleeper = run(forkserver, tmp_path / "log", "import time; time.sleep(60)")
    failed = run(forkserver, tmp_path / "log", "import os; os._exit(3)")

    assert (failed.wait(), sleeper.poll()) == (3, None)
    os.killpg(sleeper.pid, signal.SIGKILL)
    assert sleeper.wait() == -signal.SIGKILL


def test_forks_end_with_their_server_however_early(tmp_path):
    server = Forkserver()
    sleeper = run(server, tmp_path / "log", "import time; time.sleep(60)")

    server.close()

    give_up = time.monotonic() + 30
    while lives(sleeper.pid):
        assert time.monotonic() < give_up
