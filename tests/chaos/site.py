"""The real thing under attack: PostgreSQL, Redis, gunicorn, Celery workers and beat, as the Procfile starts them.

Every program is in a process group of its own and is started again when it ends, as any process manager
would. Only the main thread may start them (`outreach.processes`), so whoever waits calls `pass_time` or `until`.
"""

import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
from redis import Redis

from outreach import connections, local, places
from tests.chaos.program import ROOT, Program, execute, free_port, listen, lives, procfile, tail

SECRET = "s" * 40
_TURN = 0.03  # seconds
# A machine that stands still for so long may let leases end whose workers are alive.
_A_STALL = 4.0
# Most probes ask the site itself, which has better things to do.
_PROBE = 0.3
# What a killed run leaves behind, the next run of the tests sweeps away by this name.
_TEMPORARY = "outreach-tests-"
# All that a person's environment may say here.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


class Postgres(local.EmbeddedPostgres):
    """Durable against everything but a power cut: commits reach the system before they are answered."""

    def _command(self):
        return [*super()._command(), "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "jit=off"]


class Site:
    """A running site; `flying` gathers the rows whose call was under way when something was killed."""

    def __init__(self, place, *, rate, haste, workers, concurrency, begin):
        self.begin = begin
        self.place, self.rate, self.haste, self.concurrency = place, rate, haste, concurrency
        self.wishes = place.data_dir / "wishes"
        self.wishes.mkdir(exist_ok=True)
        self.ledger = place.data_dir / "ledger.tsv"
        self.logs = place.data_dir / "log"
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.postgres, self.redis = Postgres(place, durable=True), local.EmbeddedRedis(place, durable=True)
        self.programs: dict[str, Program] = {}
        self.flying: set[int] = set()
        self.outages: list[tuple[float, float]] = []
        self.kills = 0
        self.listener = listen()
        self.port, self.ses_port = self.listener.getsockname()[1], free_port()
        self.env = self._environment()
        self._workers = workers

    # --- starting ------------------------------------------------------------------------------

    def start(self):
        self.postgres.start()
        self.redis.start()
        migration = [sys.executable, "-m", "django", "migrate", "-v0"]
        assert self.begin(migration, env=self.env, log=self.logs / "migration.log").wait() == 0, self.last_words()
        self.add("ses", [sys.executable, "-m", "tests.chaos.fake_ses", str(self.ledger), str(self.ses_port)])
        web = procfile("web")
        self.add("web", [*web, "--bind", f"fd://{self.listener.fileno()}"], pass_fds=(self.listener.fileno(),))
        for number in range(1, self._workers + 1):
            self.add_worker(f"worker{number}")
        self.add("transactional", procfile("transactional"))
        self.add("beat1", procfile("beat"))
        self.be_ready()

    def be_ready(self):
        """Wait until nothing is away any more that a test before this one took away."""
        self.until(lambda: self.call("GET", "/readyz", timeout=5)[0] == 200, 120, "the site is ready")

    def calm_down(self):
        """Take back what is still wished for, and the pace that throttles have lowered: it would take ten minutes to grow."""
        for wish in self.wishes.glob("[!.]*"):
            if wish.name != "published":
                wish.unlink(missing_ok=True)
        self.until(lambda: self._tell_ses({}), 60, "the fake SES answers")
        self.until(self._has_its_pace, 60, "PostgreSQL answers")

    def slow_down(self, share):
        """Let everybody send at this share of the pace."""
        self.rows(
            "INSERT INTO send_pace (id, next_slot_at, share, throttled_at) VALUES (1, now(), %s, now())"
            " ON CONFLICT (id) DO UPDATE SET share = EXCLUDED.share, throttled_at = EXCLUDED.throttled_at",
            share,
        )

    def _has_its_pace(self):
        with suppress(psycopg.OperationalError):
            self.rows("UPDATE send_pace SET share = 1, throttled_at = NULL")
            return True
        return False

    def add(self, name, command, *, pass_fds=()):
        self.programs[name] = Program(name, command, self.env, self.logs / f"{name}.log", pass_fds, self.begin)
        self.programs[name].start()
        return self.programs[name]

    def add_worker(self, name):
        options = ["--concurrency", str(self.concurrency), "-n", f"{name}@%h"]
        return self.add(name, [*procfile("worker"), *options])

    def pids(self, kind):
        """Every process of the programs whose names begin so, their pools included."""
        alive = [program for name, program in self.programs.items() if name.startswith(kind) and program.alive]
        return [pid for program in alive for pid in (program.process.pid, *program.children())]

    def remove(self, name):
        self.programs.pop(name).end()

    def stop(self):
        for program in self.programs.values():
            program.end()
        self.redis.stop(grace=5)
        self.postgres.stop(grace=10)
        self.listener.close()

    def _environment(self):
        return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "ENV_FILE": os.devnull,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "DATABASE_URL": connections.local_database_url(self.place.data_dir),
            "REDIS_URL": connections.local_redis_url(self.place.data_dir),
            "UNSUBSCRIBE_SPOOL": str(self.place.data_dir / "unsubscribes"),
            "CHAOS_DIR": str(self.wishes),
            "CHAOS_HASTE": str(self.haste),
            "WEB_CONCURRENCY": "1",
            "PROXY_SHARED_SECRET": SECRET,
            "EMAIL_MODE": "ses",
            "SES_REGION": "us-east-1",
            "SES_FROM": "hello@example.com",
            "SES_CONFIGURATION_SET": "outreach",
            "SES_MAX_SEND_RATE": str(self.rate),
            # Half a second's worth: leases are short here, and a chunk must not outlive them.
            "CAMPAIGN_CHUNK_SIZE": str(max(5, self.rate // 2)),
            "AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{self.ses_port}",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # --- time ----------------------------------------------------------------------------------

    def tend(self):
        for program in list(self.programs.values()):
            program.tend()

    def pass_time(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            self.tend()
            time.sleep(_TURN)
            if time.monotonic() - began > _A_STALL:
                self._excuse_a_stall()

    def _excuse_a_stall(self):
        """Leases ended while nobody could do anything: what was under way may end unknown, as if its worker had been killed."""
        sql = "SELECT id FROM email_sends WHERE call_started_at IS NOT NULL AND (lease_until IS NOT NULL OR status = 'unknown')"
        with suppress(psycopg.OperationalError):
            self.flying.update(id_ for (id_,) in self.rows(sql))

    def until(self, probe: Callable[[], object], seconds: float, what: str):
        """Return what the probe found. Fails, with the last words of all, after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (found := probe()):
            self.pass_time(_PROBE)
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain: {what}\n{self.last_words()}")
        return found

    def last_words(self, lines=8):
        logs = [log for log in sorted(self.logs.glob("*.log")) if log.stem != "web"]
        texts = [f"--- {log.name}\n" + "\n".join(line[:300] for line in tail(log, lines)) for log in logs]
        return "\n".join(["--- campaigns that have not ended", *self._unfinished(), *texts])

    def _unfinished(self):
        sql = "SELECT id, status, pause_reason, loop_seen_at, generation FROM email_campaigns WHERE status <> 'sent' ORDER BY id"
        try:
            return [str(row) for row in self.rows(sql)]
        except psycopg.Error as error:
            return [str(error)]

    # --- asking --------------------------------------------------------------------------------

    def call(self, method, path, body=None, *, content_type="application/json", timeout=30.0):
        """The status and the JSON of an answer; status 0 when there was none."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        return request(self.port, method, path, data, content_type=content_type, timeout=timeout)

    def rows(self, sql, *params):
        with closing(psycopg.connect(**_address(self.env["DATABASE_URL"]), autocommit=True, connect_timeout=60)) as session:
            cursor = session.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else []

    def env_broker(self):
        return connections.broker_url(self.env["REDIS_URL"])

    def broker(self):
        return Redis.from_url(self.env["REDIS_URL"], socket_timeout=5)

    def faults(self, **wish):
        """Tell the fake SES what goes wrong from now on; nothing when called without a word."""
        assert self._tell_ses(wish)

    def _tell_ses(self, wish):
        return request(self.ses_port, "PUT", "/faults", json.dumps(wish).encode(), timeout=10)[0] == 200

    # --- harm ----------------------------------------------------------------------------------

    def wish(self, name, text="process"):
        """Set a trap, or a figure; see `sabotage.arms`."""
        draft = self.wishes / f".new.{name}"
        draft.write_text(str(text))
        draft.rename(self.wishes / name)

    def unwish(self, name):
        (self.wishes / name).unlink(missing_ok=True)

    def is_wished(self, name):
        return (self.wishes / name).exists()

    def note_flying(self):
        """Remember whose call is under way: only these may end unknown because of what was just killed."""
        sql = "SELECT id FROM email_sends WHERE call_started_at IS NOT NULL AND lease_until IS NOT NULL"
        with suppress(psycopg.OperationalError):
            # What a dead process had asked for a moment ago may still be committed.
            self.until(lambda: not self._sessions_of_the_dead(), 30, "PostgreSQL misses the dead")
            self.flying.update(id_ for (id_,) in self.rows(sql))

    def _sessions_of_the_dead(self):
        names = self.rows("SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE 'pid %'")
        return [name for (name,) in names if not lives(int(name.removeprefix("pid ")))]

    def kill_group(self, name):
        program = self.programs[name]
        family = [program.process.pid, *program.children()]
        program.signal_group(signal.SIGKILL)
        self.missed(family)

    def kill_pids(self, *pids):
        """kill -9 of all of them at once."""
        family = list(pids)
        for pid in pids:
            with suppress(ProcessLookupError, psutil.Error):
                family += [child.pid for child in psutil.Process(pid).children(recursive=True)]
                os.kill(pid, signal.SIGKILL)
        self.missed(family)

    def missed(self, family):
        """Note what flies once they are dead: on a busy machine that takes a while, and a pool follows its parent."""
        deadline = time.monotonic() + 5
        while any(map(lives, family)) and time.monotonic() < deadline:
            time.sleep(_TURN)
        self.killed()

    def killed(self):
        self.kills += 1
        self.note_flying()

    @contextmanager
    def database_away(self):
        """While this lasts, and a moment more, the API may answer 5xx."""
        began = time.time()
        self.note_flying()
        try:
            yield
        finally:
            self.note_flying()
            self.outages.append((began - 1.0, time.time() + 2.0))

    def restart_postgres(self, number):
        with self.database_away():
            os.kill(self.postgres.pid, number)
            self.postgres._process.wait(60)
            self.postgres.start()

    def terminate_backends(self):
        with self.database_away(), suppress(psycopg.OperationalError):
            self.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            )


def request(port, method, path, data=None, *, content_type="application/json", timeout=30.0):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"X-Proxy-Secret": SECRET, "Content-Type": content_type, "Connection": "close"}
    try:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in b"{[" and text else {}
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        connection.close()


@contextmanager
def running(*, rate=200, haste=8, workers=2, concurrency=2, begin=execute) -> Iterator[Site]:
    """A site of its own, for as long as the block lasts; for the main thread only. `begin` starts its programs."""
    # Not in pytest's directory: every pytest that starts closes that one to PostgreSQL's user again.
    directory = Path(tempfile.mkdtemp(prefix=_TEMPORARY))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        place = stack.enter_context(places.claim(directory, say=lambda _line: None))
        site = Site(place, rate=rate, haste=haste, workers=workers, concurrency=concurrency, begin=begin)
        stack.callback(site.stop)
        site.start()
        yield site


def _address(url):
    config = connections.database_settings(url)
    return {"host": config["HOST"], "user": config["USER"], "dbname": config["NAME"]}
