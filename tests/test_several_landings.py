"""Landings of several runner processes that race for one branch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_agenttasks import pause
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.queue import task_files
from pytest_agenttasks.run import Run
from tests.living import until
from tests.opened import attempt_task, opened
from tests.runner_processes import RunnerProcess, configured, go, hold, processes, queued, steps
from tests.user_repository import UserRepository, task_text


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The agent: writes its task's name into the file of its scope."""
    file = tmp_path / "agent.sh"
    file.write_text('echo "$TASK" >> "$FILE"\n')
    return file


def run_all(started: list[RunnerProcess], names: list[str]) -> dict[str, str]:
    """The outcomes of these tasks, dealt out in turn."""
    for position, name in enumerate(names):
        started[position % len(started)].tell("attempt", name)
    return {name: started[position % len(started)].answer()["kind"] for position, name in enumerate(names)}


def regated(repository: UserRepository, commit: str, folder: Path) -> int:
    """The gate's exit status on a clean copy of a commit's tree."""
    folder.mkdir()
    archive = subprocess.Popen(["git", "archive", commit], cwd=repository.path, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=folder, stdin=archive.stdout, check=True)
    archive.communicate()
    return subprocess.run(["sh", "gate.sh"], cwd=folder, check=False).returncode


def test_twenty_tasks_of_four_processes_make_twenty_verified_commits(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    names = [f"{number:03}-task" for number in range(20)]
    queued(repository, {name: f"src/{name}.txt" for name in names})
    before = repository.head()
    with processes(repository, script, 4) as started:
        assert run_all(started, names) == dict.fromkeys(names, "landed")
    subjects = repository.git("log", "--format=%H %s", f"{before}..HEAD").splitlines()
    landed = {line.split()[3]: line.split()[0] for line in subjects if " complete " in line}
    assert sorted(landed) == names
    for name, commit in landed.items():
        assert regated(repository, commit, tmp_path / name) == 0
        changed = {f"src/{name}.txt", f"tasks/pending/{name}.md", f"tasks/done/{name}.md"}
        assert set(repository.files_of(commit)) == changed
    memory = repository.read("CLAUDE.md")
    log = memory.partition("## Completed Tasks Log")[2].splitlines()
    assert [sum(name in line for line in log) for name in names] == [1] * 20
    queue = memory.partition("## Active Task Queue")[2].partition("##")[0]
    assert not any(name in queue for name in names), queue
    assert sorted(path.stem for path in (repository.path / "tasks/done").glob("*.md")) == names
    assert not list((repository.path / "tasks/pending").glob("*.md"))
    assert repository.status() == ""


def test_a_task_that_others_have_overtaken_twice_is_never_charged_and_then_lands_first(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    repository.commit(
        "gate",
        **{
            "gate.sh": "clash() { echo clash with $1; exit 1; }\n"
            "[ -e src/c.txt ] || exit 0\n"
            "! [ -e src/x.txt ] || grep -q attempt-2 src/c.txt || clash x\n"
            "! [ -e src/y.txt ] || grep -q attempt-3 src/c.txt || clash y\n"
            "! [ -e src/z.txt ] || clash z\n"
        },
    )
    queued(
        repository,
        {"001-c": "src/c.txt", "002-x": "src/x.txt", "003-y": "src/y.txt", "004-z": "src/z.txt"},
    )
    script.write_text(
        f'echo "$TASK attempt-$ATTEMPT" >> "$FILE"\ncp "$PROMPT" {tmp_path}/prompt-$TASK-$ATTEMPT\n'
        + hold(tmp_path, "001-c")
    )
    with processes(repository, script, 2) as (clashing, other):
        for attempt, blocker in ((1, "002-x"), (2, "003-y")):
            clashing.tell("attempt", "001-c")
            until((tmp_path / f"there-001-c-{attempt}").exists)
            assert other.attempt(blocker)["kind"] == "landed"
            go(tmp_path, f"001-c-{attempt}")
            answer = clashing.answer()
            assert answer["kind"] == "moved", answer
            assert "passes alone, fails together with what landed meanwhile" in answer["summary"]
            assert f"clash with {blocker[-1]}" in answer["evidence"]
        clashing.tell("attempt", "001-c")
        until((tmp_path / "there-001-c-3").exists)
        other.tell("attempt", "004-z")
        until(lambda: "waiting for a task that others have overtaken" in steps(script))
        passed = Journal(repository.path / ".git/agenttasks/journal.jsonl").history.passed
        assert "004-z" in passed, "a stop while it waits costs no session"
        go(tmp_path, "001-c-3")
        assert clashing.answer()["kind"] == "landed"
        assert other.answer()["kind"] == "moved"
    told = (tmp_path / "prompt-001-c-2").read_text()
    assert "attempt 1 of 2" in told
    assert "clash with x" in told
    assert "passes alone, fails together with what landed meanwhile" in told
    assert "The files of the last attempt are in place" in told
    assert "clash with y" in (tmp_path / "prompt-001-c-3").read_text()
    history = Journal(repository.path / ".git/agenttasks/journal.jsonl").history
    assert [ended.kind for ended in history.ended["001-c"]] == ["moved", "moved", "landed"]
    assert history.charged.get("001-c", 0) == 0
    assert history.together == {"004-z": 1}
    assert repository.status() == ""


def test_whose_gates_ran_already_waits_too_for_one_that_others_have_overtaken(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    gate = (
        f"if [ -e src/w.txt ] && [ ! -e {tmp_path}/open ]; then touch {tmp_path}/gating; read on < {tmp_path}/gate; fi\n"
        "[ -e src/c.txt ] || exit 0\n"
        "! [ -e src/x.txt ] || grep -q attempt-2 src/c.txt || exit 1\n"
        "! [ -e src/y.txt ] || grep -q attempt-3 src/c.txt || exit 1\n"
    )
    repository.commit("gate", **{"gate.sh": gate})
    os.mkfifo(tmp_path / "gate")
    queued(
        repository,
        {"001-c": "src/c.txt", "002-x": "src/x.txt", "003-y": "src/y.txt", "004-w": "src/w.txt"},
    )
    script.write_text('echo "$TASK attempt-$ATTEMPT" >> "$FILE"\n' + hold(tmp_path, "001-c"))
    with processes(repository, script, 2) as (clashing, other):
        for attempt, blocker in ((1, "002-x"), (2, "003-y")):
            clashing.tell("attempt", "001-c")
            until((tmp_path / f"there-001-c-{attempt}").exists)
            assert other.attempt(blocker)["kind"] == "landed"
            go(tmp_path, f"001-c-{attempt}")
            assert clashing.answer()["kind"] == "moved"
        other.tell("attempt", "004-w")
        until((tmp_path / "gating").exists)
        clashing.tell("attempt", "001-c")
        until((tmp_path / "there-001-c-3").exists)
        (tmp_path / "open").touch()
        (tmp_path / "gate").write_text("on\n")
        until(lambda: "waiting for a task that others have overtaken" in steps(script))
        go(tmp_path, "001-c-3")
        assert clashing.answer()["kind"] == "landed"
        assert other.answer()["kind"] == "landed"
    subjects = [subject for subject in repository.subjects() if " complete " in subject]
    assert [subject.split()[2] for subject in subjects] == ["002-x", "003-y", "001-c", "004-w"]


def test_a_task_that_fails_alone_too_is_charged_whatever_landed_meanwhile(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    queued(repository, {"001-bad": "src/bad.txt", "002-x": "src/x.txt"})
    script.write_text(
        f'echo "$TASK" > "$FILE"\n{hold(tmp_path, "001-bad")}[ $TASK != 001-bad ] || echo broken >> "$FILE"\n'
    )
    with processes(repository, script, 2) as (bad, other):
        bad.tell("attempt", "001-bad")
        until((tmp_path / "there-001-bad-1").exists)
        assert other.attempt("002-x")["kind"] == "landed"
        go(tmp_path, "001-bad-1")
        answer = bad.answer()
    assert answer["kind"] == "gate"
    assert "alone" not in answer["summary"]


def test_who_has_lost_twice_gets_a_turn_that_the_others_wait_for(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    """The gates of the slow one wait for a word each time; each time but the last another lands meanwhile."""
    configured(
        repository,
        gate=f"! [ -e src/slow.txt ] || [ -e {tmp_path}/landed ] || "
        f"{{ echo >> {tmp_path}/gates; read go < {tmp_path}/go; }}",
    )
    queued(repository, {"001-slow": "src/slow.txt", **{f"00{n}-x": f"src/{n}.txt" for n in (2, 3, 4)}})
    os.mkfifo(tmp_path / "go")

    def gates_begun(count: int) -> None:
        until(lambda: (tmp_path / "gates").exists() and len((tmp_path / "gates").read_text()) == count)

    with processes(repository, script, 2) as (slow, other):
        slow.tell("attempt", "001-slow")
        for lost in (1, 2):
            gates_begun(lost)
            assert other.attempt(f"00{lost + 1}-x")["kind"] == "landed"
            (tmp_path / "go").write_text("on\n")
        gates_begun(3)
        other.tell("attempt", "004-x")
        until(lambda: "004-x: waiting for another task to land" in script.with_suffix(".steps").read_text())
        assert (repository.path / "tasks/pending/004-x.md").exists()
        (tmp_path / "go").write_text("on\n")
        assert slow.answer()["kind"] == "landed"
        (tmp_path / "landed").touch()
        assert other.answer()["kind"] == "landed"
    subjects = [subject.split()[2] for subject in repository.subjects() if " complete " in subject]
    assert subjects == ["002-x", "003-x", "001-slow", "004-x"]


def test_a_turn_ends_with_the_process_that_has_it(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(
        repository, gate=f"! [ -e src/slow.txt ] || {{ echo >> {tmp_path}/gates; read go < {tmp_path}/go; }}"
    )
    queued(repository, {"001-slow": "src/slow.txt", **{f"00{n}-x": f"src/{n}.txt" for n in (2, 3, 4)}})
    os.mkfifo(tmp_path / "go")
    with processes(repository, script, 2) as (slow, other):
        slow.tell("attempt", "001-slow")
        for lost in (1, 2):
            until(lambda: (tmp_path / "gates").exists())
            (tmp_path / "gates").unlink()
            assert other.attempt(f"00{lost + 1}-x")["kind"] == "landed"
            (tmp_path / "go").write_text("on\n")
        until(lambda: (tmp_path / "gates").exists())
        slow.kill()
        assert other.attempt("004-x")["kind"] == "landed"


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 2)])
def test_no_more_sets_of_gates_run_at_a_time_than_there_are_slots(
    repository: UserRepository, script: Path, tmp_path: Path, slots: int, most: int
) -> None:
    log = tmp_path / "gates"
    configured(repository, gate=f"echo + >> {log}; sleep 0.2; echo - >> {log}", gate_slots=slots)
    names = [f"00{n}-x" for n in range(4)]
    queued(repository, {name: f"src/{name}.txt" for name in names})
    with processes(repository, script, 4) as started:
        assert run_all(started, names) == dict.fromkeys(names, "landed")
    running, seen = 0, 0
    for sign in log.read_text().split():
        running += 1 if sign == "+" else -1
        seen = max(seen, running)
    assert seen <= most
    assert seen == slots  # else it shows nothing
    assert "waiting for a gate slot" in script.with_suffix(".steps").read_text()


def test_the_queue_is_kept_while_others_land(repository: UserRepository, script: Path) -> None:
    """One process commits new task files and gives tasks up, while two land theirs as fast as they can."""
    configured(repository)
    names = [f"{number:03}-task" for number in range(12)]
    queued(repository, {name: f"src/{name}.txt" for name in names})
    added = [f"{number:03}-new" for number in range(100, 106)]
    with processes(repository, script, 3) as (keeper, *landers):
        for position, name in enumerate(names):
            landers[position % 2].tell("attempt", name)
        for position, name in enumerate(added):
            repository.write(f"tasks/pending/{name}.md", task_text(f"Task {name}", (f"src/{name}.txt",)))
            committed = keeper.do("commit-queue")
            assert committed["commit"], committed
            if position % 2:
                assert keeper.do("give-up", name) == {"note": None}
        assert [landers[position % 2].answer()["kind"] for position in range(12)] == ["landed"] * 12
    folders = {
        folder: sorted(path.stem for path in task_files(repository.path / "tasks" / folder))
        for folder in ("pending", "done", "failed")
    }
    assert folders == {"pending": added[::2], "done": names, "failed": added[1::2]}
    assert repository.status() == ""
    queue = repository.read("CLAUDE.md").partition("## Active Task Queue")[2].partition("##")[0]
    assert not any(name in queue for name in (*names, *added[1::2])), queue


def test_nobody_waits_for_a_task_that_is_ahead_and_waits_for_its_service(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may go out while the task waits for another that is ahead."""
    out = [True, False]
    held: list[bool] = []

    def waits(run: Run, *_: object) -> float:
        held.append(run.overtaken.is_locked)
        return 0.0

    def goes_on(run: Run) -> bool:
        held.append(run.overtaken.is_locked)
        return out.pop(0)

    monkeypatch.setattr(pause, "wait", waits)
    monkeypatch.setattr(pause, "goes_on", goes_on)
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        run.journal.history.together["001-first"] = 2
        outcome = attempt_task(run).outcome
        assert outcome is not None
        assert outcome.landed
        assert not run.overtaken.is_locked
    assert held == [False, True, False, True]
