from __future__ import annotations

import json

import pytest

from pytest_agenttasks.cli import main
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import AttemptEnded
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.trees.repository import discover
from tests.queue_runs import Project


@pytest.fixture
def queue(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-same", scope=("src/",))
    project.task("003-other", scope=("docs/x.md",))
    project.task("004-last", scope=("docs/y.md",), front="depends_on: [003-other]")
    monkeypatch.chdir(project.path)
    return project


def test_what_runs_beside_what_and_why_not(queue: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-n", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 tasks, 3 agents; each counted as 1, for none has landed yet",
        "       0  agent 1  003-other",
        "       0  agent 2  001-a",
        "       1  agent 1  002-same (shares files with 001-a)",
        "       1  agent 2  004-last (after 003-other)",
        "critical path: 003-other -> 004-last",
        "the last one lands after 2; no plan is shorter than 2 (the chain 003-other -> 004-last)",
    ]


def test_the_order_is_that_of_a_run(queue: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"]) == 0
    planned = [task["name"] for task in json.loads(capsys.readouterr().out)["tasks"]]
    listed = queue.run("--collect-only", "-q").output
    assert planned == [line.rpartition("::")[2] for line in listed.splitlines() if "::" in line]


def test_times_are_those_of_tasks_that_have_landed(
    queue: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(discover(queue.path).home / "journal.jsonl")
    for name, kinds in (("one", (Kind.GATE, Kind.LANDED)), ("two", (Kind.SCOPE,))):
        for number, kind in enumerate(kinds, 1):
            journal.write(AttemptEnded(task=name, attempt=number, kind=kind, summary="", seconds=60.0))
    assert main(["plan"]) == 0
    told = capsys.readouterr().out
    assert "4 tasks, 1 agent; 2m 00s each, the median of those that have landed" in told
    assert (
        "the last one lands after 8m 00s; no plan is shorter than 8m 00s (all the work on 1 worker)" in told
    )


def test_what_cannot_run_is_named(queue: Project, capsys: pytest.CaptureFixture[str]) -> None:
    queue.task("005-none", "# No scope\n")
    queue.task("006-behind", scope=("src/b.txt",), front="depends_on: [005-none]")
    assert main(["plan"]) == 0
    told = capsys.readouterr().out
    assert " refused  005-none: no `## Files in Scope`" in told
    assert " blocked  006-behind: waits for 005-none, which cannot land" in told


def test_an_empty_queue_and_a_wrong_number_are_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    assert main(["plan"]) == 5
    assert "no task in the queue can run" in capsys.readouterr().out
    assert main(["plan", "-n", "0"]) == 4
    assert "-n 0: at least one agent is needed" in capsys.readouterr().err
