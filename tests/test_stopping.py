"""Stopping a run: by signals, by a kill, by limits. Nothing is left alive, nothing is lost, the next run just works."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from pytest_agenttasks.integration.limits import past
from tests.junit import cases_of, properties
from tests.living import until
from tests.queue_runs import Project, Result

STUBBORN = """
trap '' TERM INT HUP
echo changed >> src/a.txt
setsid sh -c 'trap "" TERM INT HUP; n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done' >/dev/null 2>&1 &
echo $! $$ > {ready}.part; mv {ready}.part {ready}
n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done
"""
"""An agent that ignores signals and has a daemon; it gives up by itself after 30 s, should all else fail."""


class Running:
    """A run in a process group of its own, as a shell with job control starts it."""

    def __init__(self, project: Project, *args: str, ignoring: tuple[signal.Signals, ...] = ()) -> None:
        self.project = project
        self.ready = project.path.parent / "ready"
        self.ready.unlink(missing_ok=True)
        self.junit = project.script.parent / "report.xml"
        self.junit.unlink(missing_ok=True)

        def ignore() -> None:
            for number in ignoring:
                signal.signal(number, signal.SIG_IGN)

        queue = ("--agent-tasks", "tasks/pending")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                *queue,
                f"--junitxml={self.junit}",
                "-p",
                "no:cacheprovider",
                *args,
            ],
            cwd=project.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=ignore,
        )

    def wait_for_agent(self, seconds: float = 20) -> list[psutil.Process]:
        """The agent's processes, once it says that it works."""
        until(lambda: self.ready.exists() or self.process.poll() is not None, seconds)
        assert self.ready.exists(), self.process.communicate()[0]
        return [psutil.Process(int(pid)) for pid in self.ready.read_text().split()]

    def result(self, timeout: float = 30) -> Result:
        output, _ = self.process.communicate(timeout=timeout)
        return self.project.result(self.process.returncode, output)


@contextmanager
def running(project: Project, *args: str, ignoring: tuple[signal.Signals, ...] = ()) -> Iterator[Running]:
    run = Running(project, *args, ignoring=ignoring)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def stubborn(project: Project) -> None:
    project.agent(STUBBORN.format(ready=project.path.parent / "ready"))


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def journal(project: Project) -> list[dict[str, object]]:
    lines = (project.path / ".git/agenttasks/journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def fingerprint(project: Project) -> tuple[object, ...]:
    """Everything of the user's that a stopped run must leave as it was."""
    git = project.repository.git
    files = {
        path: path.read_bytes()
        for path in sorted(project.path.rglob("*"))
        if path.is_file()
        and not path.is_relative_to(project.path / ".git")
        and "tasks/logs/" not in str(path)
    }
    return (
        git("for-each-ref"),
        git("symbolic-ref", "HEAD"),
        git("status", "--porcelain"),
        git("ls-files", "-s"),
        files,
    )


@pytest.fixture
def committed(project: Project) -> Project:
    """The project with one task that is in the last commit, so that a run has nothing to commit first."""
    project.task("001-first")
    project.repository.commit("queue")
    return project


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_ends_the_agent_keeps_its_work_and_leaves_the_rest_as_it_was(
    committed: Project, number: signal.Signals
) -> None:
    stubborn(committed)
    committed.task("002-second")
    committed.repository.commit("another")
    before = fingerprint(committed)
    with running(committed) as run:
        processes = run.wait_for_agent()
        assert len(alive(processes)) == 2
        os.killpg(run.process.pid, number)
        sent = time.monotonic()
        result = run.result()
    assert time.monotonic() - sent < 5
    assert not alive(processes)
    assert result.status == 2, result.output
    assert fingerprint(committed) == before
    assert "+changed" in (committed.path / "tasks/logs/001-first/attempt-1.diff").read_text()
    assert [entry["kind"] for entry in journal(committed) if entry["record"] == "attempt-ended"] == [
        "interrupted"
    ]
    assert not [entry for entry in journal(committed) if entry["record"] == "failed"]
    assert result.outcomes == {"001-first": "interrupted"}
    assert cases_of(result.junit)["001-first"].find("failure") is not None
    assert "not run, still pending (1): 002-second" in result.output
    assert "Traceback" not in result.output
    if number is signal.SIGTERM:
        committed.agent('echo "by $AGENTTASKS_TASK" >> src/a.txt')
        again = committed.run()
        assert again.outcomes == {"001-first": "landed", "002-second": "landed"}, again.output
        assert committed.repository.read("src/a.txt") == "a\nby 001-first\nby 002-second\n"
        assert (committed.path / "tasks/logs/001-first/attempt-2.diff").exists()


def test_a_second_signal_while_the_first_is_obeyed_leaves_nothing_alive(committed: Project) -> None:
    stubborn(committed)
    before = fingerprint(committed)
    with running(committed) as run:
        processes = run.wait_for_agent()
        os.killpg(run.process.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            run.process.wait(timeout=0.2)
        os.killpg(run.process.pid, signal.SIGINT)
        result = run.result()
    assert not alive(processes)
    assert result.status in (2, -signal.SIGINT), "pytest itself may be cut short while it shows the first one"
    assert fingerprint(committed) == before


def test_a_run_under_nohup_survives_the_end_of_its_terminal(committed: Project) -> None:
    ready, go = committed.path.parent / "ready", committed.path.parent / "go"
    committed.agent(
        f"echo x >> src/a.txt; echo $$ > {ready}.part; mv {ready}.part {ready}\n"
        f"n=0; while [ ! -e {go} ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done"
    )
    with running(committed, ignoring=(signal.SIGHUP,)) as run:
        run.wait_for_agent()
        os.killpg(run.process.pid, signal.SIGHUP)
        go.touch()
        result = run.result()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.status == 0


def test_a_stop_while_a_gate_runs(committed: Project) -> None:
    ready = committed.path.parent / "ready"
    loop = "n=0; while [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done"
    committed.configure(
        gate=f"! grep -q changed src/a.txt || {{ echo $$ > {ready}.part; mv {ready}.part {ready}; {loop}; }}"
    )
    committed.agent("echo changed >> src/a.txt")
    before = fingerprint(committed)
    with running(committed) as run:
        processes = run.wait_for_agent()
        run.process.terminate()
        result = run.result()
    assert not alive(processes)
    assert result.status == 2, result.output
    assert result.outcomes == {"001-first": "interrupted"}
    assert fingerprint(committed) == before
    assert "+changed" in (committed.path / "tasks/logs/001-first/attempt-1.diff").read_text()


def test_a_stop_in_the_pause_before_the_next_attempt_is_no_pass(committed: Project) -> None:
    committed.agent("exit 1")
    log = committed.path / "tasks/logs/orchestration.log"
    with running(committed, "--agent-retry-delay=10m") as run:
        until(lambda: (log.exists() and " waiting " in log.read_text()) or run.process.poll() is not None)
        sent = time.monotonic()
        os.killpg(run.process.pid, signal.SIGINT)
        result = run.result()
    assert time.monotonic() - sent < 5
    assert result.status == 2, result.output
    case = cases_of(result.junit)["001-first"]
    assert case.find("failure") is not None
    found = properties(case)
    assert (found["outcome"], found["attempts"]) == ("interrupted", "1")
    assert found["attempt.1"].startswith("agent: ")
    assert "001-first: waiting 10m 00s more: pause before the next attempt" in result.output
    assert committed.where("001-first") == ["pending"]
    committed.agent('echo "by $AGENTTASKS_ATTEMPT" >> src/a.txt')
    assert committed.run("-q").status == 0
    assert committed.repository.read("src/a.txt") == "a\nby 2\n"


def test_a_killed_runner_takes_its_agent_along_and_the_next_run_lands_once(committed: Project) -> None:
    stubborn(committed)
    with running(committed) as run:
        processes = run.wait_for_agent()
        run.process.kill()
        run.process.communicate()
        until(lambda: not alive(processes), seconds=5)
    committed.agent('echo "by $AGENTTASKS_TASK" >> src/a.txt')
    result = committed.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert "001-first: kept what attempt 1 had done when the last run was killed" in result.output
    assert "+changed" in (committed.path / "tasks/logs/001-first/attempt-1.diff").read_text()
    ended = [entry for entry in journal(committed) if entry["record"] == "attempt-ended"]
    assert [(entry["attempt"], entry["kind"]) for entry in ended] == [(1, "interrupted"), (2, "landed")]
    assert committed.repository.read("src/a.txt") == "a\nby 001-first\n"
    assert [line for line in committed.repository.subjects() if "complete 001-first" in line] == [
        "feat: complete 001-first (automated agent run)"
    ]
    assert committed.repository.status() == ""


def test_a_second_run_is_refused_while_one_goes_on(committed: Project) -> None:
    stubborn(committed)
    with running(committed) as run:
        run.wait_for_agent()
        second = committed.start("-q")
        output, _ = second.communicate(timeout=30)
        assert second.returncode == 4, output
        assert f"another run is using this repository (process {run.process.pid}, " in output
        run.process.terminate()
        assert run.result().status == 2


COSTLY = """
import datetime
import pytest
from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.integration import limits

class Clock(datetime.datetime):
    step = datetime.timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.datetime(2030, 1, 1, 23, 0) + cls.step

limits.datetime = Clock

@pytest.hookimpl(tryfirst=True)
def pytest_agenttasks_run_agent(task, workspace):
    (workspace.path / "src/a.txt").write_text(task.name)
    Clock.step += datetime.timedelta(hours=2)
    return AgentResult(cost_usd=0.75)
"""


@pytest.mark.parametrize(
    ("option", "landed", "words"),
    [
        ("--agent-max-sessions=1", 1, "1 session used, as many as this run may"),
        ("--agent-budget-usd=1.50", 2, "the budget of 1.50 USD is spent (1.50 USD)"),
        ("--agent-until=02:30", 2, "it is past 02:30"),
    ],
)
def test_a_limit_stops_the_run_between_two_tasks(
    project: Project, option: str, landed: int, words: str
) -> None:
    project.repository.commit("agent", **{"tasks/conftest.py": COSTLY})
    names = ["001-a", "002-b", "003-c"]
    for name in names:
        project.task(name)
    result = project.run(option)
    assert result.status == 2, result.output
    assert result.outcomes == dict.fromkeys(names[:landed], "landed")
    assert f"Interrupted: {words}" in result.output
    assert f"not run, still pending ({3 - landed}): {', '.join(names[landed:])}" in result.output
    assert [project.where(name) for name in names] == [["done"]] * landed + [["pending"]] * (3 - landed)


@pytest.mark.parametrize(
    ("clock", "began", "now", "expected"),
    [
        ("06:30", "2030-01-01 22:00", "2030-01-01 23:59", False),
        ("06:30", "2030-01-01 22:00", "2030-01-02 06:29", False),
        ("06:30", "2030-01-01 22:00", "2030-01-02 06:30", True),
        ("23:00", "2030-01-01 22:00", "2030-01-01 23:00", True),
        ("22:00", "2030-01-01 22:00", "2030-01-01 22:01", False),
        ("21:00", "2030-01-01 22:00", "2030-01-01 22:01", False),
        ("21:00", "2030-01-01 22:00", "2030-01-05 03:00", True),
    ],
)
def test_a_time_of_day_is_the_next_one_after_the_start(
    clock: str, began: str, now: str, expected: bool
) -> None:
    moments = [datetime.datetime.fromisoformat(text) for text in (began, now)]
    assert past(clock, moments[0], moments[1]) is expected
