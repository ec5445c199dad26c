"""Workers whose sessions are held on another machine: a real sshd on loopback, a home of its own, scripted agents."""

from __future__ import annotations

from pathlib import Path

from tests.far_machine import FarMachine, far
from tests.queue_runs import Project
from tests.test_several_agents import SCOPED, files, gate_every_commit

__all__ = ["far"]


def test_sessions_are_held_there_and_land_here(project: Project, far: FarMachine) -> None:
    files(project, "abc")
    project.agent(f"echo $HOME >> ../homes\n{SCOPED}")
    for name in "abc":
        project.task(f"00{'abc'.index(name) + 1}-{name}", scope=(f"src/{name}.txt",))
    result = project.run("--tx", f"2*{far.tx()}")
    assert result.status == 0, result.output
    assert result.outcomes == dict.fromkeys(["001-a", "002-b", "003-c"], "landed")
    assert gate_every_commit(project) == 3
    assert project.repository.status() == ""
