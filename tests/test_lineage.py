from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.processes.lineage import Process, _newest_first, look_up
from tests.living import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def grandchild() -> Iterator[Process]:
    """Not a child of this process: its number is its parent's to give away."""
    with subprocess.Popen(["sh", "-c", "sleep 60; :"], start_new_session=True) as parent:
        try:
            until(lambda: children(parent.pid))
            process = look_up(children(parent.pid)[0])
            assert process is not None
            yield process
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False)
    return [int(number) for number in listing.stdout.split()]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_is_read_from_the_table() -> None:
    process = look_up(os.getpid())
    assert process is not None
    assert (process.pid, process.parent, process.zombie) == (os.getpid(), os.getppid(), False)
    assert process.name == Path("/proc/self/comm").read_text().rstrip("\n")


@given(st.binary(min_size=1, max_size=64))
def test_any_name_can_be_read(name: bytes) -> None:
    process = Process(7, b"7 (" + name + b") Z 5 " + b"0 " * 17 + b"99 0 0")
    assert (process.parent, process.start, process.zombie) == (5, 99, True)
    assert process.name == name.decode("utf-8", "replace")


def test_there_is_no_process_with_an_unused_number() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
        assert look_up(child.pid) is None


def test_the_newest_processes_are_looked_at_first() -> None:
    with subprocess.Popen(["sleep", "60"]) as older, subprocess.Popen(["sleep", "60"]) as newer:
        order = _newest_first()
        older.kill()
        newer.kill()
    assert order.index(newer.pid) < order.index(older.pid) < order.index(os.getpid())


def test_the_process_that_was_read_is_signalled(grandchild: Process) -> None:
    assert grandchild.send(signal.SIGSTOP)
    until(lambda: state(grandchild.pid) == "T")


@pytest.mark.parametrize("what", ["start", "parent"])
def test_another_process_with_the_same_number_is_not_signalled(grandchild: Process, what: str) -> None:
    setattr(grandchild, what, getattr(grandchild, what) + 1)
    assert not grandchild.send(signal.SIGSTOP)
    assert state(grandchild.pid) == "S"


def test_a_signal_to_nobody_is_no_error(grandchild: Process) -> None:
    os.kill(grandchild.pid, signal.SIGKILL)
    until(lambda: look_up(grandchild.pid) is None)
    assert not grandchild.send(signal.SIGSTOP)


def test_where_handles_of_processes_are_forbidden_the_number_is_used(
    grandchild: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, flags: int = 0) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert grandchild.send(signal.SIGSTOP)
    until(lambda: state(grandchild.pid) == "T")
    grandchild.start += 1
    assert not grandchild.send(signal.SIGCONT)
    assert state(grandchild.pid) == "T"
