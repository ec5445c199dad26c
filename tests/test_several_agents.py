"""`-n`, end to end: real workers of pytest-xdist, real git, scripted agents."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.junit import cases_of
from tests.living import until
from tests.queue_runs import GREEN, Project, Result
from tests.test_stopping import STUBBORN, alive, fingerprint, journal, running

SCOPED = (
    'for file in $(sed -n "s/^- .\\(src[^\\`]*\\).*/\\1/p"); do echo "by $AGENTTASKS_TASK" >> $file; done'
)
"""An agent that changes every file in its scope, which it reads in its prompt."""
TOGETHER = """
touch ../../here-$AGENTTASKS_TASK
n=0; while [ $(ls -d ../../here-* | wc -l) -lt {count} ]; do sleep 0.02; n=$((n+1)); [ $n -lt 1000 ]; done
"""
"""Goes on when as many agents are there at once: their workspaces are siblings."""
WORKER = "$(ps -o ppid= -p $PPID)"
"""The worker's process: the agent's parent is the reaper, and the reaper's the worker."""


def files(project: Project, names: str) -> None:
    project.repository.commit("files", **{f"src/{name}.txt": f"{name}\n" for name in names})


def spans(project: Project) -> dict[str, tuple[str, str]]:
    """Task → when its first attempt began and its last one ended, from the event log."""
    found: dict[str, tuple[str, str]] = {}
    for line in (project.path / "tasks/logs/orchestration.log").read_text().splitlines():
        moment, event, task = line.split()[:3]
        if event == "attempt-started":
            found.setdefault(task, (moment, ""))
        elif event == "attempt-ended":
            found[task] = (found[task][0], moment)
    return found


def gate_every_commit(project: Project, gate: str = GREEN) -> int:
    """Run the gate on every commit of a task, on its own; how many there are."""
    commits = project.repository.git("log", "--format=%H", "--grep=^Agent-Task: ").split()
    for commit in commits:
        folder = project.path.parent / f"again-{commit}"
        folder.mkdir()
        archive = subprocess.run(
            ["git", "-C", str(project.path), "archive", commit], capture_output=True, check=True
        )
        subprocess.run(["tar", "x", "-C", str(folder)], input=archive.stdout, check=True)
        assert subprocess.run(["sh", "-c", gate], cwd=folder).returncode == 0, commit
    return len(commits)


def test_tasks_land_beside_each_other_in_order_and_never_share_a_file(project: Project) -> None:
    files(project, "abcdef")
    gate = "test ! -e src/broken.txt && (! grep -q 004 src/d.txt || grep -q 001 src/a.txt)"
    project.configure(gate=gate)
    project.agent(f"case $AGENTTASKS_TASK in 001*|002*|006*) {TOGETHER.format(count=3)} ;; esac\n{SCOPED}")
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    project.task("003-c", scope=("src/c.txt", "src/[a]*"))
    project.task("004-d", scope=("src/d.txt",), front="depends_on: [001-a]")
    project.task("005-e", scope=("src/e.txt",), front="depends_on: [004-d]")
    project.task("006-f", scope=("src/f.txt",))
    result = project.run("-n", "3")
    assert result.status == 0, result.output
    names = ["001-a", "002-b", "003-c", "004-d", "005-e", "006-f"]
    assert result.outcomes == dict.fromkeys(names, "landed")
    assert gate_every_commit(project, gate) == 6
    time = spans(project)
    for before, after in (("001-a", "003-c"), ("001-a", "004-d"), ("004-d", "005-e")):
        assert time[before][1] <= time[after][0]
    assert project.repository.status() == ""
    cases = cases_of(result.junit)
    assert sorted(cases) == names
    assert result.properties["005-e"]["commit"][:10] in result.output
    assert "6 passed" in result.output
    assert "landed 6 of 6" in result.output


def test_reruns_blocked_refused_and_failed_tasks_are_told_as_without_n(project: Project) -> None:
    files(project, "abcd")
    project.configure(gate="! grep -rq bad src")
    project.agent(
        'case "$AGENTTASKS_TASK.$AGENTTASKS_ATTEMPT" in\n'
        "  001*.1) echo bad >> src/a.txt ;;\n"
        "  001*) echo good > src/a.txt ;;\n"
        "  002*) printf 'cut \\355\\240\\200 \\033[31m'; exit 3 ;;\n"
        "  *) exit 1 ;;\n"
        "esac"
    )
    project.task("001-again", scope=("src/a.txt",))
    project.task("002-fails", scope=("src/b.txt",), front="max_attempts: 1")
    project.task("003-blocked", scope=("src/c.txt",), front="depends_on: [002-fails]")
    project.task("004-refused", "# Refused \x07 ]]>\n")
    result = project.run("-n", "2")
    assert result.status == 1, result.output
    assert result.outcomes == {
        "001-again": "landed",
        "002-fails": "agent",
        "003-blocked": "blocked",
        "004-refused": "refused",
    }
    assert result.properties["001-again"]["attempts"] == "2"
    assert "2 failed, 1 passed, 1 skipped, 1 rerun" in result.output
    assert "003-blocked [gw" in result.output
    assert "landed 1 of 4" in result.output
    assert "FAILED tasks/pending/002-fails.md::002-fails" in result.output
    cases = cases_of(result.junit)
    assert len(cases) == 4
    failure = cases["002-fails"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("agent: ")
    assert "\n" not in (failure.get("message") or "")
    assert "\nnext: " in (failure.text or "")
    assert project.where("002-fails") == ["failed"]
    assert project.where("003-blocked") == ["pending"]


def test_a_task_whose_worker_is_killed_runs_again_after_its_agent_has_been_ended(project: Project) -> None:
    files(project, "ab")
    ready = project.path.parent / "ready"
    project.agent(
        f"if [ $AGENTTASKS_TASK = 001-a ] && [ ! -e {ready} ]; then {STUBBORN.format(ready=ready)} fi\n{SCOPED}"
    )
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",), front="depends_on: [001-a]")
    with running(project, "-n", "2") as run:
        processes = run.wait_for_agent()
        worker = psutil.Process(psutil.Process(processes[1].ppid()).ppid())
        assert worker.ppid() == run.process.pid
        worker.kill()
        result = run.result()
    assert not alive(processes)
    assert result.status == 0, result.output
    assert result.outcomes == {"001-a": "landed", "002-b": "landed"}
    assert "its worker gw" in result.output
    told = [(entry["record"], entry.get("task"), str(entry["owner"])) for entry in journal(project)]
    mended = next(number for number, entry in enumerate(told) if entry[0] == "recovered")
    again = [number for number, entry in enumerate(told) if entry[:2] == ("attempt-started", "001-a")][1]
    assert mended < again, "nobody gets the task before its agent's work is stored"
    assert told[mended][2].startswith(f"{run.process.pid}-")
    assert "2 passed, 1 rerun" in result.output
    assert len(cases_of(result.junit)) == 2
    assert "+changed" in (project.path / "tasks/logs/001-a/attempt-1.diff").read_text()
    assert project.repository.read("src/a.txt") == "a\nby 001-a\n"


@pytest.mark.parametrize(
    ("event", "outcome", "folder"), [("attempt-ended", "landed", "done"), ("task-failed", "agent", "failed")]
)
def test_what_a_worker_could_not_tell_any_more_is_no_reason_for_another_session(
    project: Project, event: str, outcome: str, folder: str
) -> None:
    files(project, "ab")
    killed = project.path.parent / "killed"
    hook = (
        "import os, pathlib, signal\n"
        "from pytest_agenttasks.report.eventlog import EventLog\n"
        "real = EventLog.write\n"
        "def write(self, event, /, *, task=None, **values):\n"
        "    real(self, event, task=task, **values)\n"
        f"    if event == {event!r} and task == '001-a' and 'PYTEST_XDIST_WORKER' in os.environ:\n"
        f"        pathlib.Path({str(killed)!r}).touch(exist_ok=False)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "EventLog.write = write\n"
    )
    project.repository.commit("hook", **{"conftest.py": hook})
    sessions = project.path.parent / "sessions"
    fails = "exit 1" if outcome == "agent" else "true"
    project.agent(f"echo $AGENTTASKS_TASK >> {sessions}\n[ $AGENTTASKS_TASK != 001-a ] || {fails}\n{SCOPED}")
    project.task("001-a", scope=("src/a.txt",), front="max_attempts: 1")
    project.task("002-b", scope=("src/b.txt",))
    result = project.run("-n", "2")
    assert killed.exists(), result.output
    assert result.outcomes == {"001-a": outcome, "002-b": "landed"}, result.output
    assert project.where("001-a") == [folder]
    assert sessions.read_text().split().count("001-a") == 1
    assert "its worker gw" in result.output
    assert result.status == (0 if outcome == "landed" else 1)


def test_a_task_that_kills_its_workers_is_given_up_for_this_run(project: Project) -> None:
    files(project, "ab")
    project.agent(f"[ $AGENTTASKS_TASK != 001-a ] || kill -9 {WORKER}\nsleep 0.1\n{SCOPED}")
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    result = project.run("-n", "2")
    assert result.status == 1, result.output
    assert result.outcomes == {"001-a": "internal", "002-b": "landed"}
    assert project.where("001-a") == ["pending"]
    assert "1 failed, 1 passed, 2 rerun" in result.output
    assert len(cases_of(result.junit)) == 2


@pytest.fixture
def two(project: Project) -> Project:
    """Two tasks that can run beside each other, and a third one for later; all in the last commit."""
    files(project, "abc")
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    project.task("003-c", scope=("src/c.txt",))
    project.repository.commit("queue")
    return project


def both_stubborn(project: Project) -> Path:
    """Agents that ignore signals; returns the folder in which each leaves the ids of its processes."""
    folder = project.path.parent / "agents"
    folder.mkdir()
    project.agent(STUBBORN.format(ready=f"{folder}/$AGENTTASKS_TASK"))
    return folder


def processes_of(folder: Path) -> list[psutil.Process]:
    return [psutil.Process(int(pid)) for file in folder.glob("00?-?") for pid in file.read_text().split()]


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGHUP, True)],
    ids=["ctrl-c", "SIGINT", "SIGTERM", "hangup"],
)
def test_a_signal_ends_all_agents_and_keeps_their_work(
    two: Project, number: signal.Signals, group: bool
) -> None:
    folder = both_stubborn(two)
    before = fingerprint(two)
    with running(two, "-n", "2") as run:
        until(lambda: len(list(folder.glob("00?-?"))) == 2 or run.process.poll() is not None)
        processes = processes_of(folder)
        assert len(alive(processes)) == 4
        os.killpg(run.process.pid, number) if group else run.process.send_signal(number)
        result = run.result()
    assert not alive(processes)
    assert result.status == 2, result.output
    assert fingerprint(two) == before
    assert result.outcomes == {"001-a": "interrupted", "002-b": "interrupted"}, result.output
    assert "not run, still pending (1): 003-c" in result.output
    assert "Traceback" not in result.output
    for name in ("001-a", "002-b"):
        assert "+changed" in (two.path / f"tasks/logs/{name}/attempt-1.diff").read_text()
    ended = [entry["kind"] for entry in journal(two) if entry["record"] == "attempt-ended"]
    assert ended == ["interrupted", "interrupted"]
    if number is signal.SIGTERM:
        two.agent(SCOPED)
        assert two.run("-n", "2").outcomes == dict.fromkeys(["001-a", "002-b", "003-c"], "landed")


def test_a_killed_run_leaves_no_agent_and_the_next_one_goes_on(two: Project) -> None:
    folder = both_stubborn(two)
    with running(two, "-n", "2") as run:
        until(lambda: len(list(folder.glob("00?-?"))) == 2 or run.process.poll() is not None)
        processes = processes_of(folder)
        workers = psutil.Process(run.process.pid).children()
        assert len(alive(processes)) == 4
        run.process.kill()
        run.process.communicate()
        until(lambda: not alive([*processes, *workers]))
    two.agent(SCOPED)
    again = two.run("-n", "2")
    assert again.outcomes == dict.fromkeys(["001-a", "002-b", "003-c"], "landed"), again.output
    assert gate_every_commit(two) == 3
    assert two.repository.read("src/a.txt") == "a\nby 001-a\n"
    assert "+changed" in (two.path / "tasks/logs/001-a/attempt-1.diff").read_text()


def test_after_a_failure_with_x_siblings_finish_and_nothing_more_is_handed_out(two: Project) -> None:
    two.configure("max_attempts: 1")
    two.agent(
        f"{TOGETHER.format(count=2)}\n"
        f"[ $AGENTTASKS_TASK != 001-a ]\n"
        # until the run has heard of the failure
        "n=0; while ! grep -q 'attempt-ended 001-a' "
        f"{two.path}/tasks/logs/orchestration.log; do sleep 0.02; n=$((n+1)); [ $n -lt 1000 ]; done; sleep 0.5\n"
        f"{SCOPED}"
    )
    result = two.run("-n", "2", "-x")
    assert result.outcomes == {"001-a": "agent", "002-b": "landed"}, result.output
    assert result.status == 1
    assert "stopping after 1 failures" in result.output
    assert "not run, still pending (1): 003-c" in result.output


def test_a_limit_counts_the_sessions_of_all_workers(two: Project) -> None:
    two.agent(SCOPED)
    result = two.run("-n", "3", "--agent-max-sessions", "2")
    assert list(result.outcomes.values()) == ["landed", "landed"], result.output
    assert result.status == 2
    assert "2 sessions used, as many as this run may" in result.output


def chosen(result: Result) -> list[str]:
    return sorted(result.outcomes)


def test_tasks_are_chosen_as_without_n(two: Project) -> None:
    two.agent(SCOPED)
    listed = two.run("-n", "2", "--collect-only", "-q")
    assert "tasks/pending/001-a.md::001-a" in listed.output
    assert listed.status == 0
    none = two.run("-n", "2", "-k", "nothing")
    assert (none.status, none.outcomes) == (5, {}), none.output
    assert "sandbox:" not in none.output, "nothing was looked at"
    by_id = two.run("-n", "2", "tasks/pending/002-b.md::002-b")
    assert (by_id.status, chosen(by_id)) == (0, ["002-b"]), by_id.output
    by_keyword = two.run("-n", "2", "-k", "c")
    assert (by_keyword.status, chosen(by_keyword)) == (0, ["003-c"]), by_keyword.output


def test_last_failed_and_n0(two: Project) -> None:
    two.agent(f"[ $AGENTTASKS_TASK != 002-b ]\n{SCOPED}")
    cache = ("-p", "cacheprovider")
    first = two.run("-n", "2", *cache, "--agent-max-attempts", "1")
    assert first.outcomes == {"001-a": "landed", "002-b": "agent", "003-c": "landed"}, first.output
    gone = two.run("-n", "2", *cache, "--lf")
    assert (gone.status, gone.outcomes) == (5, {})
    assert "--lf: the tasks that failed last are not pending; `agenttasks requeue 002-b`" in gone.output
    two.agent(SCOPED)
    two.task("004-d", scope=("src/a.txt",))
    serial = two.run("-n0")
    assert serial.outcomes == {"004-d": "landed"}, serial.output
    assert "[gw" not in serial.output


def test_without_xdist_it_is_said(two: Project) -> None:
    result = two.run("-p", "no:xdist", "-n", "2")
    assert result.status == 4
    assert "-n: several agents at once need pytest-xdist, which is not loaded" in result.output
    assert "Traceback" not in result.output


def test_a_run_that_cannot_start_says_so_and_hands_out_nothing(two: Project) -> None:
    two.repository.commit("break", **{"src/broken.txt": "x"})
    result = two.run("-n", "2")
    assert (result.status, result.outcomes) == (4, {}), result.output
    assert "gate `tests`" in result.output
    assert "Traceback" not in result.output
    two.repository.git("rm", "-q", "src/broken.txt")
    two.repository.git("commit", "-qm", "mend")
    two.repository.git("checkout", "-qb", "main")
    refused = two.run("--tx", "2*popen", "--dist", "loadscope")
    assert (refused.status, refused.outcomes) == (4, {}), refused.output
