"""Files of kept requests: in order, none lost, none harmed by a crash, by a full disk or by many writers."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prospects import spooling
from prospects.spooling import Kept, Spool, SpoolFull

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from prospects.spooling import Kept, Spool
spool = Spool(Path(sys.argv[1]), max_bytes=10**9)
for n in range(100):
    spool.append(Kept(UUID(int=int(sys.argv[2]) * 1000 + n), datetime.now(UTC), "one_click", "", "other"))
"""


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool", max_bytes=1_000_000)


def request(number=None):
    return Kept(UUID(int=number) if number is not None else uuid4(), datetime.now(UTC), "one_click", "0123456789ab", "browser")


def drained(spool):
    seen = []
    spool.drain(lambda kept: bool(seen.append(kept)) or True)
    return seen


def test_what_was_kept_comes_back_in_order_and_once(spool):
    requests = [request() for _ in range(50)]
    for one in requests:
        spool.append(one)

    assert drained(spool) == requests
    assert drained(spool) == []
    assert spool.is_empty()


@given(st.text(max_size=40), st.datetimes(timezones=st.just(UTC)))
def test_any_request_survives_its_line(words, at):
    one = Kept(uuid4(), at, "page", words, "other")

    assert Kept.from_line(one.to_line()) == one
    assert one.to_line().strip().count(b"\n") == 0


def test_a_line_that_a_crash_cut_short_is_set_aside_and_harms_no_other(spool):
    first, second = request(), request()
    spool.append(first)
    with (spool.directory / "incoming.jsonl").open("ab") as file:
        file.write(request().to_line()[:40])
    spool.append(second)

    assert drained(spool) == [first, second]
    assert len((spool.directory / "damaged.jsonl").read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    "line", [b"1", b"[]", b"null", b"{}", b'{"token": 5}', b"\xff\xfe", b'{"token":"x","at":"2026-01-01T00:00:00"}']
)
def test_whatever_stands_in_a_line_is_either_a_request_or_damaged(line):
    with pytest.raises(spooling.Damaged):
        Kept.from_line(line)


def test_what_cannot_be_applied_is_set_aside_whole(spool):
    one = request()
    spool.append(one)

    assert spool.drain(lambda _: False) == 0
    assert spool.is_empty()
    assert Kept.from_line((spool.directory / "damaged.jsonl").read_bytes()) == one


def test_a_crash_in_the_middle_repeats_and_keeps_the_order(spool):
    requests = [request() for _ in range(4)]
    for one in requests[:3]:
        spool.append(one)
    seen = []

    def crash_at_the_second(kept):
        seen.append(kept)
        if len(seen) == 2:
            raise RuntimeError("killed")
        return True

    with pytest.raises(RuntimeError):
        spool.drain(crash_at_the_second)
    spool.append(requests[3])

    assert not spool.is_empty()
    assert drained(spool) == requests


def test_it_is_on_the_disk_with_its_name_before_the_answer(spool, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(spooling.os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))

    spool.append(request())

    directory = str(spool.directory)
    assert synced == [str(spool.directory.parent), directory, f"{directory}/incoming.jsonl"]


def test_a_disk_that_refuses_is_an_error_and_leaves_no_half_line(spool, monkeypatch):
    spool.append(request(1))
    write = os.write
    monkeypatch.setattr(spooling.os, "write", lambda fd, line: write(fd, line[:30]))
    with pytest.raises(OSError, match="only a part"):
        spool.append(request(2))
    monkeypatch.undo()
    spool.append(request(3))

    assert [kept.token.int for kept in drained(spool)] == [1, 3]


def test_a_spool_that_is_full_says_so_and_takes_again_when_it_is_not(spool):
    small = Spool(spool.directory, max_bytes=2 * len(request().to_line()))
    small.append(request(1))
    small.append(request(2))
    with pytest.raises(SpoolFull):
        small.append(request(3))

    assert len(drained(small)) == 2
    small.append(request(4))


def test_only_its_user_can_read_it(spool):
    spool.append(request())

    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.directory.iterdir()} == {0o600}


def test_several_processes_write_while_one_applies(spool):
    spool.prepare()
    command = [sys.executable, "-c", WRITER, str(spool.directory)]
    writers = [subprocess.Popen([*command, str(number)], cwd=ROOT) for number in range(4)]
    seen = []
    while any(writer.poll() is None for writer in writers):
        seen += drained(spool)
    seen += drained(spool)

    assert [writer.returncode for writer in writers] == [0] * 4
    assert {kept.token.int for kept in seen} == {number * 1000 + n for number in range(4) for n in range(100)}
    assert len(seen) == 400
    for number in range(4):
        own = [kept.token.int for kept in seen if kept.token.int // 1000 == number]
        assert own == sorted(own)


def test_two_that_apply_do_not_do_it_twice(spool):
    for number in range(200):
        spool.append(request(number))

    with ThreadPoolExecutor(4) as threads:
        seen = [kept for part in threads.map(lambda _: drained(spool), range(4)) for kept in part]

    assert len(seen) == len(set(seen)) == 200


def test_a_line_holds_what_the_audit_needs_and_no_more(spool):
    spool.append(request(7))

    fields = json.loads((spool.directory / "incoming.jsonl").read_text())
    assert set(fields) == {"token", "at", "method", "campaign_key", "user_agent"}
