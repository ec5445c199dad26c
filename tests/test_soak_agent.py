"""The soak's agent says what the real CLI says, so that the runner's reading of it is what is soaked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pytest_agenttasks.agents.claude_stream import parse
from pytest_agenttasks.agents.claude_verdict import verdict
from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.processes.supervisor import Finished
from soak import agent, project
from soak.faults import Behaviour, Disturbance, behaviour, events
from soak.ledger import VARIABLE, Ledger, blob
from soak.project import Task, tasks
from soak.repository import git, make
from tests.living import until

SEED, COUNT = 13, 300
Play = Callable[[Task], AgentResult]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/model.json").write_text(json.dumps({"seed": SEED, "tasks": COUNT}))
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    make(tmp_path / "checkout", project.files(SEED, COUNT))
    return tmp_path / "checkout"


@pytest.fixture
def play(ledger: Ledger, checkout: Path) -> Play:
    def session(task: Task) -> AgentResult:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(Path(agent.__file__)), "--print"],
            cwd=checkout, input=task.text.encode(), capture_output=True, timeout=30,
            env={**os.environ, VARIABLE: str(ledger.folder)},
        )  # fmt: skip
        died = signal.Signals(-done.returncode) if done.returncode < 0 else None
        finished = Finished(exit_code=None if died else done.returncode, signal=died, seconds=1.0)
        return verdict(parse(iter(done.stdout.splitlines())), finished, done.stderr.decode())

    return session


def that(drawn: Behaviour, kind: str = "new") -> Task:
    """A task whose first session does that."""
    return next(
        task for task in tasks(SEED, COUNT) if task.kind == kind and behaviour(SEED, task.number, 1) is drawn
    )


def before(ledger: Ledger, what: Disturbance) -> None:
    """So many sessions that the next one meets it."""
    first = next(event.at for event in events(SEED, COUNT) if event.what is what)
    for _ in range(first - 1):
        ledger.begin("0000-another")


def gate(checkout: Path) -> int:
    return subprocess.run(["sh", "check.sh"], cwd=checkout, capture_output=True, timeout=30).returncode


@pytest.mark.parametrize("kind", ["new", "listed", "port"])
def test_a_good_session_leaves_what_the_task_asks_for(
    play: Play, ledger: Ledger, checkout: Path, kind: str
) -> None:
    task = that(Behaviour.GOOD, kind)
    result = play(task)
    assert result.failure is None
    assert result.cost_usd == ledger.lines("costs.jsonl")[0]["usd"]
    changed = git(checkout, "status", "--porcelain", "-uall").splitlines()
    assert {line[3:] for line in changed} == set(task.writes)
    assert gate(checkout) == 0
    wrote = {line["path"]: line["blob"] for line in ledger.lines("writes.jsonl")}
    assert wrote == {path: blob((checkout / path).read_bytes()) for path in task.writes}


@pytest.mark.parametrize("drawn", [Behaviour.WRONG, Behaviour.BROKEN])
def test_the_gate_refuses_what_is_wrong(play: Play, checkout: Path, drawn: Behaviour) -> None:
    assert play(that(drawn)).failure is None
    assert gate(checkout) != 0


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (Behaviour.TURNS, "max_turns"),
        (Behaviour.CRASHES, "without a result"),
        (Behaviour.EMPTY, "printed no event"),
    ],
)
def test_failures_are_the_agents(play: Play, drawn: Behaviour, said: str) -> None:
    failure = play(that(drawn)).failure
    assert failure is not None
    assert failure.kind is Kind.AGENT
    assert said in failure.summary


def test_a_usage_limit_is_one_for_as_long_as_it_lasts(play: Play, ledger: Ledger) -> None:
    before(ledger, Disturbance.USAGE_LIMIT)
    failure = play(that(Behaviour.GOOD)).failure
    assert failure is not None
    assert failure.kind is Kind.USAGE_LIMIT
    assert failure.resumes_at is not None
    assert time.time() < failure.resumes_at < time.time() + 5
    assert ledger.lines("writes.jsonl") == []


def test_a_storm_is_an_overloaded_service(play: Play, ledger: Ledger) -> None:
    before(ledger, Disturbance.OVERLOAD)
    failure = play(that(Behaviour.GOOD)).failure
    assert failure is not None
    assert failure.kind is Kind.OVERLOADED


def test_a_daemon_goes_on_after_its_session(play: Play, ledger: Ledger) -> None:
    assert play(that(Behaviour.DAEMON)).failure is None
    (told,) = [line["what"] for line in ledger.lines("deeds.jsonl") if line["what"].startswith("daemon ")]
    daemon = psutil.Process(int(told.split()[1]))
    assert daemon.environ()[VARIABLE] == str(ledger.folder)
    daemon.kill()
    until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)


def test_it_says_what_a_run_asks_before_it_starts() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(agent.__file__)), "--help"], capture_output=True, timeout=30
    )
    assert b"dontAsk" in said.stdout
