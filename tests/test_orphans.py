from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.processes import orphans
from pytest_agenttasks.processes.supervisor import end_orphans, process_start_time
from tests.living import end, living, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end(tmp_path)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a shell script in a session of its own, as the supervisor does."""
    started = []

    def start(script: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sh", "-c", script], cwd=folder, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def known(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    start_time = process_start_time(process.pid)
    assert start_time is not None
    return process.pid, start_time


def test_a_start_time_stays_the_same_and_tells_processes_apart(start: Start) -> None:
    first = start("sleep 60")
    time = process_start_time(first.pid)
    until(lambda: process_start_time(os.getpid()) != time)
    second = start("sleep 60")
    until(lambda: (process_start_time(second.pid) or 0) >= (time or 0))
    assert process_start_time(first.pid) == time
    first.kill()
    first.wait()
    assert process_start_time(first.pid) is None


def test_a_start_time_does_not_outlive_a_restart_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_start_time(os.getpid())
    monkeypatch.setattr(orphans, "_boot_fraction", lambda: 0.123)
    assert process_start_time(os.getpid()) != before


def test_a_program_of_an_earlier_run_is_ended_with_session_and_descendants(
    start: Start, folder: Path
) -> None:
    program = start("trap '' TERM; (sleep 60 &); setsid sh -c 'sleep 60; :' & sleep 60")
    until(lambda: len(living(folder)) == 5)
    assert end_orphans(*known(program)) is True
    assert living(folder) == []
    program.wait()
    assert end_orphans(program.pid, 1.0) is False


def test_the_session_is_ended_when_its_leader_is_a_zombie(start: Start, folder: Path) -> None:
    program = start("sleep 60 &")
    until(lambda: psutil.Process(program.pid).status() == psutil.STATUS_ZOMBIE)
    assert len(living(folder)) == 1
    assert end_orphans(*known(program)) is True
    assert living(folder) == []


def test_another_process_with_the_same_number_is_left_alone(start: Start, folder: Path) -> None:
    program = start("sleep 60 & sleep 60")
    until(lambda: len(living(folder)) == 3)
    pid, start_time = known(program)
    for other in (start_time - 1, start_time + 1, 0.0):
        assert end_orphans(pid, other) is False
    assert len(living(folder)) == 3


def test_others_are_left_alone(start: Start, folder: Path) -> None:
    program, other = start("sleep 60; :"), start("sleep 60; :")
    until(lambda: len(living(folder)) == 4)
    assert end_orphans(*known(program))
    assert sorted(living(folder)) == sorted(
        [other.pid, *(p.pid for p in psutil.Process(other.pid).children())]
    )


def test_a_watch_ends_what_it_has_seen(start: Start, folder: Path) -> None:
    root = start("setsid sh -c 'while ! [ -e go ]; do sleep 0.01; done; sleep 60 & sleep 60' & wait")
    until(lambda: len(living(folder)) >= 2)
    watch = orphans.Watch(root.pid)
    watch.look()
    root.kill()
    root.wait()
    (folder / "go").touch()
    until(lambda: len(living(folder)) == 3)
    assert len(watch.end()) == 3
    assert living(folder) == []
    assert watch.end() == ()


def test_a_watch_leaves_its_root_alone(start: Start, folder: Path) -> None:
    root = start("sleep 60; :")
    until(lambda: len(living(folder)) == 2)
    watch = orphans.Watch(root.pid)
    watch.look()
    watch.end()
    assert root.wait(timeout=20) == 0  # it went on, and ended as its script does


def test_all_are_stopped_before_one_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(verb: str) -> Callable[[psutil.Process], None]:
        real = getattr(psutil.Process, verb)

        def call(process: psutil.Process) -> None:
            done.append(verb)
            real(process)

        return call

    done: list[str] = []
    for verb in ("suspend", "kill"):
        monkeypatch.setattr(psutil.Process, verb, record(verb))
    program = start("sleep 60 & sleep 60 & sleep 60; :")
    until(lambda: len(psutil.Process(program.pid).children()) == 3)
    end_orphans(*known(program))
    assert done == ["suspend"] * 4 + ["kill"] * 4


def test_linux_needs_no_watch() -> None:
    watch = orphans.watch(os.getpid())
    watch.look()
    assert watch.end() == ()
