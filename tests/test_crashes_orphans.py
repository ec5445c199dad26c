"""Agents that outlive a runner which was killed together with its reaper: the next start ends them, and keeps their work."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.crash.oracle import USUAL, complaints, left_alive, users_files
from tests.crash.world import Shape, copied, kill_left, make, runner
from tests.living import until

STAYS = """
if [ ! -e '{go}' ]; then
    trap '' TERM HUP INT
    setsid sh -c 'n=0; while [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done' >/dev/null 2>&1 &
    echo $$ >> '{ready}'
    n=0; while [ $n -lt 600 ] && [ ! -e '{go}' ]; do sleep 0.1; n=$((n+1)); done
fi
"""
"""Ignores signals, has a daemon, and gives up by itself after a minute, should all else fail."""


WITHOUT = ("-p", "tests.crash.no_cgroups")


def own_processes(root: int) -> list[psutil.Process]:
    """The runner, its workers and their reapers; not what those have started."""
    top = psutil.Process(root)
    found = [top]
    for process in top.children(recursive=True):
        words = process.cmdline()
        if any(word.endswith("reaper.py") or "sys.stdin.readline" in word for word in words):
            found.append(process)
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_orphans_are_ended_and_what_they_did_is_kept(workers: int, tmp_path: Path) -> None:
    world = copied(make(tmp_path / "template", Shape(committed=True, workers=workers)), tmp_path / "world")
    ready, go = tmp_path / "ready", tmp_path / "go"
    world.agent(STAYS.format(ready=ready, go=go))
    before = users_files(world)
    process = runner(world, *WITHOUT, *(("-n", str(workers)) if workers else ()))
    agents = max(1, workers)
    try:
        until(lambda: ready.exists() and len(ready.read_text().split()) == agents)
        own = own_processes(process.pid)
        assert sum("reaper.py" in " ".join(one.cmdline()) for one in own) >= agents
        for one in own:  # all of them before any can act on the death of another
            one.suspend()
        for one in own:
            one.kill()
        process.wait(10)
        left = [int(pid) for pid in ready.read_text().split()]
        assert all(psutil.pid_exists(pid) for pid in left), "then there is nothing to be found"
        for pid in left:
            os.kill(pid, signal.SIGSTOP)  # they do not go by themselves
        go.touch()
        ran = world.start(None, *WITHOUT)
        for pid in left:
            assert f"ended process {pid}, left over from a run that was killed" in ran.output, ran.output
        assert ran.output.count("kept what attempt 1 had done") == agents, ran.output
        assert not left_alive(world)
        assert not (wrong := complaints(world, before, USUAL)), "\n".join([*wrong, ran.output])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        kill_left(world.marker)
