"""What the hook and the `notify` command hear of a run: each event once, with and without `-n`."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.living import until
from tests.queue_runs import Project
from tests.test_several_agents import SCOPED

HOOK = (
    "import json, os, pathlib\n"
    "def pytest_agenttasks_event(event):\n"
    "    with pathlib.Path(__file__).with_name('heard').open('a') as file:\n"
    "        file.write(json.dumps({**event, 'in': os.getpid()}) + '\\n')\n"
)
AGENT = (
    'case "$AGENTTASKS_TASK.$AGENTTASKS_ATTEMPT" in\n'
    "  001*.1) echo bad >> src/a.txt ;;\n"
    "  001*) echo good > src/a.txt ;;\n"
    "  *) exit 3 ;;\n"
    "esac"
)


@pytest.fixture
def listening(project: Project, tmp_path: Path) -> Project:
    project.repository.commit("hook", **{"tasks/conftest.py": HOOK})
    project.configure(f"notify: 'cat >> {tmp_path}/told'\n", gate="! grep -rq bad src")
    project.agent(AGENT)
    return project


def told(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def heard(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.path / "tasks/heard").read_text().splitlines()]


@pytest.mark.parametrize("several", [(), ("-n", "2")])
def test_every_event_is_heard_once_whoever_has_the_task(
    listening: Project, tmp_path: Path, several: tuple[str, ...]
) -> None:
    listening.task("001-again", scope=("src/a.txt",))
    listening.task("002-fails", scope=("src/b.txt",), front="max_attempts: 1")
    listening.task("003-blocked", scope=("src/c.txt",), front="depends_on: [002-fails]")
    result = listening.run(*several, timeout=200)
    assert result.status == 1, result.output
    events = told(tmp_path)
    assert Counter((event["event"], event.get("task")) for event in events) == {
        ("run-started", None): 1,
        ("task-retried", "001-again"): 1,
        ("task-ended", "001-again"): 1,
        ("task-ended", "002-fails"): 1,
        ("task-ended", "003-blocked"): 1,
        ("run-ended", None): 1,
    }
    assert (events[0]["event"], events[-1]["event"]) == ("run-started", "run-ended")
    for event in events:
        assert event["version"] == 1
        assert (event["repository"], event["branch"]) == (str(listening.path), "work")
        assert event["queue"] == str(listening.path / "tasks/pending")
        assert event["run"] == events[0]["run"]
    by = {event["task"]: event for event in events if event["event"] == "task-ended"}
    assert {name: event["outcome"] for name, event in by.items()} == {
        "001-again": "landed",
        "002-fails": "agent",
        "003-blocked": "blocked",
    }
    assert by["001-again"]["commit"] == listening.repository.git(
        "log", "--format=%H", "--grep=^Agent-Task: 001"
    )
    assert by["001-again"]["attempts"] == 2
    retried = next(event for event in events if event["event"] == "task-retried")
    assert (retried["outcome"], retried["attempts"]) == ("gate", 1)
    end = events[-1]
    assert (end["status"], end["landed"], end["sessions"], end["not_run"]) == (1, 1, 3, 0)
    assert end["outcomes"] == {"landed": 1, "agent": 1, "blocked": 1}
    assert "stopped" not in end
    # The hook hears all that is in the event log, in one process.
    log = [
        line.split()[1] for line in (listening.path / "tasks/logs/orchestration.log").read_text().splitlines()
    ]
    all_events = heard(listening)
    assert Counter(event["event"] for event in all_events) == Counter(log)
    assert len({event["in"] for event in all_events}) == 1
    assert Counter(log)["attempt-started"] == 3


@pytest.mark.parametrize("several", [(), ("-n", "2")])
def test_a_stop_says_by_what_kind_of_a_limit(
    listening: Project, tmp_path: Path, several: tuple[str, ...]
) -> None:
    listening.agent(SCOPED)
    for name in "ab":
        listening.task(f"00{name}-x", scope=(f"src/{name}.txt",))
    result = listening.run("--agent-max-sessions", "1", *several, timeout=200)
    assert result.status == 2, result.output
    events = told(tmp_path)
    assert [event["event"] for event in events] == ["run-started", "task-ended", "run-ended"]
    assert (events[-1]["status"], events[-1]["stopped"], events[-1]["not_run"]) == (2, "budget", 1)
    assert events[-1]["why"] == "1 session used, as many as this run may"


def test_a_review_stop_is_a_checkpoint(listening: Project, tmp_path: Path) -> None:
    listening.agent(SCOPED)
    for name in "ab":
        listening.task(f"00{name}-x", scope=(f"src/{name}.txt",))
    result = listening.run("--agent-review-every", "1")
    assert result.status == 2, result.output
    events = told(tmp_path)
    assert [event["event"] for event in events] == ["run-started", "task-ended", "checkpoint", "run-ended"]
    assert events[-2]["landed"] == 1
    assert (events[-1]["status"], events[-1]["stopped"], events[-1]["not_run"]) == (2, "review", 1)


@pytest.mark.parametrize("several", [(), ("-n", "2")])
def test_an_interrupted_run_says_so(listening: Project, tmp_path: Path, several: tuple[str, ...]) -> None:
    listening.agent("touch ../../begun; sleep 600")
    listening.task("001-long")
    process = listening.start(*several)
    try:
        # `os.walk` minds no folder that goes meanwhile.
        until(
            lambda: any("begun" in names for top in (tmp_path, Path.home()) for _, _, names in os.walk(top)),
            60,
        )
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    events = told(tmp_path)
    assert [event["event"] for event in events] == ["run-started", "task-ended", "run-ended"], output
    assert events[1]["outcome"] == "interrupted"
    assert (events[-1]["status"], events[-1]["stopped"]) == (2, "interrupted")


def test_a_run_that_cannot_start_is_told_of_once(listening: Project, tmp_path: Path) -> None:
    listening.task("001-x")
    listening.repository.write("src/a.txt", "bad\n")
    for _ in range(2):
        assert listening.run().status == 4
    (end,) = told(tmp_path)
    assert (end["event"], end["status"], end["stopped"]) == ("run-ended", 4, "setup")
    assert "src/a.txt" in end["why"]
    listening.repository.commit("red")
    assert listening.run().status == 4
    assert [event["status"] for event in told(tmp_path)] == [4, 4]


def test_a_command_that_fails_and_a_hook_that_raises_are_notes(project: Project) -> None:
    hook = "def pytest_agenttasks_event(event):\n    raise RuntimeError('no network')\n"
    project.repository.commit("hook", **{"tasks/conftest.py": hook})
    project.configure("notify: 'echo webhook refused; exit 9'\n")
    project.task("001-x")
    result = project.run()
    assert result.status == 0, result.output
    assert "was not told of 3 of 3 events: exit status 9: webhook refused" in result.output
    assert "pytest_agenttasks_event failed" in result.output
    assert "RuntimeError: no network" in result.output
