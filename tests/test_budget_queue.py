"""Budgets of whole runs: over workers, over a kill, over days."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pytest_agenttasks.cli import main
from tests.living import until
from tests.queue_runs import Project
from tests.test_claude_cost import EACH, USAGE, said

AGENT = f"""
import json, os, pathlib, pytest
from pytest_agenttasks.agents.contract import AgentResult

STREAM = {json.dumps(said("m1", USAGE))!r}

@pytest.hookimpl(tryfirst=True)
def pytest_agenttasks_run_agent(task, workspace):
    (workspace.path / task.scope[0].pattern).write_text(task.name)
    workspace.stream.write_text(STREAM + chr(10))
    beside = pathlib.Path(os.environ["BESIDE"])
    with open(beside / "caps", "a") as caps:
        caps.write(f"{{workspace.budget_usd}}" + chr(10))
    if "hangs" in task.name and not (beside / "ready").exists():
        workspace.execute(["sh", "-c", f"touch {{beside}}/ready; sleep 60"], stdout=workspace.logs / "said")
    return AgentResult(cost_usd=0.75)
"""
"""A session costs 0.75 USD, or what its stream says where it does not live to tell."""


@pytest.fixture
def costly(project: Project, tmp_path: Path) -> Project:
    project.repository.commit("agent", **{"tasks/conftest.py": AGENT})
    project.environment["BESIDE"] = str(tmp_path)
    return project


def status(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict:  # type: ignore[type-arg]
    monkeypatch.chdir(project.path)
    capsys.readouterr()
    assert main(["status", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_workers_together_spend_what_the_run_may_and_not_more(
    costly: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"00{n}-x" for n in range(6)]
    for name in names:
        costly.task(name, scope=(f"src/{name}.txt",))
    result = costly.run("-n", "2", "--agent-budget-usd=3", timeout=200)
    assert result.status == 2, result.output
    assert sorted(result.outcomes.values()) == ["landed"] * 4
    assert "the budget of 3.00 USD is spent (3.00 USD)" in result.output
    caps = [float(line) for line in (tmp_path / "caps").read_text().split()]
    assert len(caps) == 4
    assert caps[0] == pytest.approx(1.5)
    assert min(caps) >= 0.75 - 1e-6, "none is cut short while there is enough for one"
    found = status(costly, monkeypatch, capsys)
    assert (found["run"]["spent_usd"], found["run"]["left_usd"], found["today"]["sessions"]) == (3.0, 0.0, 4)


def test_what_a_run_had_spent_that_was_killed_is_known_to_the_next(
    costly: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costly.configure("budget: {day_sessions: 2}\nwait: 0\n")
    costly.task("001-hangs")
    costly.task("002-later", scope=("src/b.txt",))
    process = costly.start()
    until((tmp_path / "ready").exists, 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert status(costly, monkeypatch, capsys)["today"]["running"] == 1
    result = costly.run(timeout=120)
    assert result.outcomes == {"001-hangs": "landed", "002-later": "interrupted"}, result.output
    assert result.status == 2
    assert "all 2 sessions of today are used" in result.output
    found = status(costly, monkeypatch, capsys)
    assert found["today"]["spent_usd"] == pytest.approx(0.75 + EACH, abs=1e-4)
    assert {key: found["today"][key] for key in ("sessions", "running", "estimated", "unknown")} == {
        "sessions": 2, "running": 0, "estimated": 1, "unknown": 0,
    }  # fmt: skip
    assert found["run"]["spent_usd"] == 0.75
    assert costly.where("002-later") == ["pending"]
    lines = (costly.path / ".git/agenttasks/journal.jsonl").read_text().splitlines()
    ended = [each for each in map(json.loads, lines) if each["record"] == "attempt-ended"]
    cut = next(each for each in ended if each["kind"] == "interrupted")
    assert cut["task"] == "001-hangs"
    assert cut["cost_usd"] == pytest.approx(EACH)


def test_a_task_that_has_used_up_its_budget_is_given_up(costly: Project) -> None:
    costly.configure(gate="! grep -rq 00 src")
    costly.task("001-dear", front="budget: {usd: 0.5}\nmax_attempts: 5")
    result = costly.run(timeout=120)
    assert (result.status, result.outcomes) == (1, {"001-dear": "agent"}), result.output
    assert result.properties["001-dear"]["attempt.1"].startswith("gate")
    assert "the budget of 001-dear, 0.50 USD, is spent (0.75 USD)" in result.output
    assert costly.where("001-dear") == ["failed"]
