from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_agenttasks.owner import lives, pid_of, slot_of, this_process
from pytest_agenttasks.processes.orphans import process_start_time
from tests.living import until


def test_this_process_lives_and_says_its_slot() -> None:
    owner = this_process(3)
    assert lives(owner)
    assert (pid_of(owner), slot_of(owner)) == (os.getpid(), 3)


@pytest.mark.parametrize(
    "owner",
    ["", "nonsense", f"{os.getpid()}-1.5/0", "999999999-1.5/0"],
    ids=["nobody", "nonsense", "of another start", "no process"],
)
def test_whoever_is_not_there_is_dead(owner: str) -> None:
    assert not lives(owner)


def test_who_has_ended_is_dead_before_anybody_has_collected_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = f"{process.pid}-{process_start_time(process.pid)!r}/0"
    try:
        assert lives(owner)
        process.kill()
        until(lambda: not lives(owner))
        assert process_start_time(process.pid) is not None
    finally:
        process.kill()
        process.communicate()
