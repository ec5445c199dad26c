"""After a worker's death nothing of it is alive before others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pytest_agenttasks.integration import crash
from pytest_agenttasks.integration.crew import Member
from pytest_agenttasks.owner import process_lives
from pytest_agenttasks.processes.orphans import process_start_time
from tests.opened import opened
from tests.user_repository import UserRepository


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """A process that ignores SIGTERM and ends when its input does, or after a minute."""
    lines = (
        "import select, signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n"
        "select.select([sys.stdin], [], [], 60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("role", ["worker", "helper"])
def test_who_does_not_end_by_itself_is_ended(
    repository: UserRepository, program: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr(crash, "FAREWELL", 0.1)
    monkeypatch.setattr(crash, "SWEEP", 0.1)
    start = process_start_time(program.pid)
    assert start is not None
    member = (
        Member("gw0", pid=program.pid) if role == "worker" else Member("gw0", helper=(program.pid, start))
    )
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        crash.end_worker(run, member, lambda _: None)
    assert not process_lives(program.pid, start)
    assert program.wait(5) == -signal.SIGKILL


def test_a_later_process_with_the_same_number_is_left_alone(
    repository: UserRepository, program: subprocess.Popen[str]
) -> None:
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        crash.end_worker(run, Member("gw0", helper=(program.pid, 1.0)), lambda _: None)
    assert program.poll() is None
    os.kill(program.pid, 0)
