from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pytest_agenttasks.journal_records import ProgramStarted
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.preflight import check, check_agent
from pytest_agenttasks.processes.supervisor import process_start_time
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.run import Run
from pytest_agenttasks.runs import going_on, run_lock
from pytest_agenttasks.trees.repository import discover
from tests.opened import attempt_task, fingerprint, opened
from tests.queue_runs import Project
from tests.user_repository import UserRepository

GATES = [{"name": "tests", "run": "true"}]


def silent(line: str) -> None:
    """Nobody reads it."""


def refusal(run: Run) -> str:
    with pytest.raises(SetupError) as refused:
        check(run, silent)
    return str(refused.value)


def test_a_run_without_gates_is_refused(repository: UserRepository) -> None:
    with opened(repository, gates=[]) as run:
        text = refusal(run)
    assert "no gate" in text
    assert "agenttasks init" in text
    assert "agenttasks.yaml" in text


def test_an_unknown_agent_is_refused(repository: UserRepository) -> None:
    repository.commit(
        "settings", **{"agenttasks.yaml": "{agent: {name: nobody}, gates: [{name: tests, run: 'true'}]}"}
    )
    with opened(repository) as run:
        assert "no agent named `nobody`; use claude, command or replay" in refusal(run)


def test_limits_in_money_of_an_agent_that_tells_no_costs_are_warned_of(repository: UserRepository) -> None:
    said: list[str] = []
    settings = "agent: {name: command, command: 'true'}\ngates: [{name: tests, run: 'true'}]\n"
    repository.commit("settings", **{"agenttasks.yaml": settings + "budget: {day_usd: 5, sessions: 9}\n"})
    with opened(repository) as run:
        check_agent(run, said.append)
    assert "`command` does not tell what its sessions cost, so budget.day_usd cannot count them" in said[-1]
    repository.commit("settings", **{"agenttasks.yaml": settings + "budget: {sessions: 9}\n"})
    with opened(repository) as run:
        check_agent(run, said.append)
    assert "WARNING" not in said[-1]


def test_a_full_disk_is_refused(repository: UserRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=150 * 1024 * 1024))
    with opened(repository, gates=GATES) as run:
        assert "only 150 MB free" in refusal(run)


def test_a_memory_file_that_cannot_be_read_is_refused(repository: UserRepository) -> None:
    repository.write("CLAUDE.md", b"# M\xff\n")
    with opened(repository, gates=GATES) as run:
        assert "CLAUDE.md: not UTF-8" in refusal(run)


def test_a_red_base_is_explained(repository: UserRepository) -> None:
    with opened(
        repository, gates=[{"name": "lint", "run": "true"}, {"name": "tests", "run": "seq 1 99; cat .env"}]
    ) as run:
        repository.write(".env", "A=1\n")
        text = refusal(run)
        assert "gate `tests` is red on the base, before any task" in text
        assert "command: seq 1 99; cat .env" in text
        assert f"whole log: {run.queue.logs}/base.gate-tests.log" in text
        assert "untracked; workspace.copy or workspace.setup can bring what is missing): .env" in text
        assert "\n    99\n" in text
        assert "\n    1\n" not in text
        assert "No such file" in text
        repository.write("new ñ", "")
        assert "missing): .env, new ñ\n" in refusal(run)


def test_a_green_base_is_verified_once(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=[{"name": "tests", "run": f"echo >> {tmp_path}/count"}]) as run:
        check(run, silent)
        check(run, silent)
    with opened(repository) as run:
        check(run, silent)
    assert (tmp_path / "count").read_text() == "\n"


def test_new_and_edited_task_files_are_committed_first(repository: UserRepository) -> None:
    repository.commit("task", **{"tasks/pending/001-first.md": "# One\n"})
    with opened(repository, gates=GATES) as run:
        said: list[str] = []
        repository.write("tasks/pending/001-first.md", "# One, edited\n")
        repository.write("tasks/pending/002-second.md", "# Two\n")
        check(run, said.append)
        assert repository.subjects()[-1] == "chore(tasks): update 2 task files"
        assert repository.status() == ""
        assert any("committed the queue" in line for line in said)


def test_the_queue_is_not_committed_when_the_run_is_refused(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        repository.write("tasks/pending/001-first.md", "# One\n")
        repository.write("src/a.txt", "mine\n")
        before = fingerprint(repository.path)
        assert "src/a.txt" in refusal(run)
        assert fingerprint(repository.path) == before


def started(process: subprocess.Popen[bytes]) -> float:
    found = process_start_time(process.pid)
    assert found is not None
    return found


def test_what_a_killed_run_left_running_is_ended(repository: UserRepository) -> None:
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        with opened(repository, gates=GATES) as run:
            run.journal.write(ProgramStarted(pid=left.pid, started=started(left)))
            said: list[str] = []
            check(run, said.append)
            assert f"ended process {left.pid}, left over from a run that was killed" in said
        left.wait(timeout=10)  # whatever its status is: who ended it may have collected it too
        assert not psutil.pid_exists(left.pid)
    finally:
        left.kill()
        left.wait()


def test_another_process_of_that_number_is_left_alone(repository: UserRepository) -> None:
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        with opened(repository, gates=GATES) as run:
            run.journal.write(ProgramStarted(pid=other.pid, started=started(other) - 1000))
            check(run, silent)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


HOLD = """
import sys
from pathlib import Path
from pytest_agenttasks.runs import run_lock
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.trees.repository import discover
top = Path(sys.argv[1])
with run_lock(discover(top), open_queue(discover(top), top / "tasks/pending")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_and_told_of_the_first_until_that_is_gone(project: Project) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        project.agent("touch ../ran")
        project.task("001-first")
        result = project.run()
        assert result.status == 4
        assert (
            f"another run is using this repository (process {holder.pid}, queue {project.path}/tasks/pending"
            in result.output
        )
        assert not (project.path.parent / "ran").exists()
    finally:
        holder.kill()
        holder.communicate()
    found = discover(project.path)
    with run_lock(found, open_queue(found, project.path / "tasks/pending")):
        assert [known["pid"] for known in going_on(found)] == [os.getpid()]
    assert going_on(found) == []


def test_a_run_in_another_worktree_of_the_repository_is_refused_too(
    repository: UserRepository, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "-q", str(tmp_path / "second"), "-b", "agents/queue")
    first, second = discover(repository.path), discover(tmp_path / "second")
    with run_lock(first, open_queue(first, first.top / "tasks/pending")):
        queue = open_queue(second, second.top / "tasks/pending")
        with pytest.raises(SetupError, match="another run is using"), run_lock(second, queue):
            pass


def test_runs_on_two_queues_of_a_checkout_go_on_beside_each_other(repository: UserRepository) -> None:
    found = discover(repository.path)
    repository.write("other/pending/.gitkeep", "")
    queues = [open_queue(found, repository.path / folder) for folder in ("tasks/pending", "other/pending")]
    with run_lock(found, queues[0]), run_lock(found, queues[1]):
        assert {known["queue"] for known in going_on(found)} == {str(queue.pending) for queue in queues}
        for queue in queues:
            with pytest.raises(SetupError, match="another run is using"), run_lock(found, queue):
                pass
    assert going_on(found) == []


def test_a_second_process_with_other_settings_is_refused_while_one_is_there(
    repository: UserRepository,
) -> None:
    with opened(repository, gates=GATES):
        with (
            pytest.raises(SetupError, match="was started with other settings"),
            opened(repository, gates=GATES, workspace={"copy": ["node_modules"]}),
        ):
            pass
        with opened(repository, gates=GATES) as second:
            assert second.worker == 1
    with opened(repository, gates=GATES, workspace={"copy": ["node_modules"]}) as alone:
        assert alone.worker == 0


def test_two_worktrees_take_turns(repository: UserRepository, tmp_path: Path) -> None:
    with opened(repository, gates=GATES):
        pass
    repository.git("worktree", "add", "-q", str(tmp_path / "second"), "-b", "agents/queue")
    second = UserRepository(tmp_path / "second")
    for number, place in enumerate((repository, second, repository, second)):
        with opened(place) as run:
            this = attempt_task(run, name=f"00{number}-task")
            assert this.outcome is not None
            assert this.outcome.landed, this.outcome
    for place in (repository, second):
        assert place.read("src/a.txt") == "a\nattempt 1\nattempt 1\n"
        assert place.status() == ""
