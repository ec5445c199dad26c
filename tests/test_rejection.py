"""Taking a landed result back: the commits, the task file, what is refused, and what the next session is told."""

from __future__ import annotations

import json
import time

import pytest

from pytest_agenttasks import approvals
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.landing import InTheWay
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.prompt import LONGEST_REJECTED
from pytest_agenttasks.rejection import Rejection, reject
from pytest_agenttasks.run import Run
from tests.opened import attempt_task, opened
from tests.test_approvals import GATES, awaiting, land, queued
from tests.user_repository import UserRepository, task_text

__all__ = ["queued"]


def rejected(run: Run, name: str = "001-first", why: str = "not like that") -> Rejection:
    return reject(run, name, why, time.time())


def new_file(workspace: AgentWorkspace) -> None:
    (workspace.path / "src/new.txt").write_text("new\n")
    with (workspace.path / "src/a.txt").open("a") as file:
        file.write(f"attempt {workspace.attempt}\n")


SCOPE = ("src/a.txt", "src/new.txt")
CLAUDE = "# Project\n\n## Completed Tasks Log\n"


def test_a_rejected_result_is_reverted_and_its_task_queued_with_the_note(queued: UserRepository) -> None:
    with opened(queued, new_file, gates=GATES) as run:
        before = queued.head()
        done = attempt_task(run, scope=SCOPE).outcome
        assert done is not None
        files = queued.git("ls-tree", "-r", before, "--", "src")
        found = rejected(run)
        tracked = run.queue.tracked
        assert queued.git("ls-tree", "-r", "HEAD", "--", "src") == files
        assert queued.read("src/a.txt") == "a\n"
        assert not (queued.path / "src/new.txt").exists()
        assert queued.status() == ""
        note = (run.queue.pending / "001-first.md").read_text()
        assert note == f"{task_text('Task 001-first', SCOPE)}\n## Reviewer's note\nnot like that\n"
        assert not (run.queue.done / "001-first.md").exists()
        assert awaiting(run).landed == ()
        (record,) = approvals.read(run.repository, run.queue)
        assert isinstance(record, approvals.Rejected)
        assert (record.task, record.commit, record.why) == ("001-first", done.commit, "not like that")
    assert (found.commit, found.revert) == (
        done.commit,
        queued.git("rev-parse", "HEAD~1" if tracked else "HEAD"),
    )
    assert queued.git("show", "-s", "--format=%B", found.revert) == (
        'Revert "feat: complete 001-first (automated agent run)"\n\n'
        f"This reverts commit {done.commit}.\n\nRejected in review: not like that"
    )
    if tracked:
        assert queued.subjects()[-1] == "chore(tasks): queue 001-first again, rejected in review"
        assert queued.files_of("HEAD") == ["tasks/pending/001-first.md", "tasks/reviews.jsonl"]


def test_the_next_session_is_told_of_the_reason_and_the_diff(queued: UserRepository) -> None:
    with opened(queued, new_file, gates=GATES) as run:
        attempt_task(run, scope=SCOPE)
        done = rejected(run, why="keep `a` as it is\n\nplease")
        again = attempt_task(run, scope=SCOPE)
        assert again.outcome is not None
        assert again.outcome.landed, "the task is not held"
        prompt = (run.queue.logs / "001-first/attempt-2.prompt.md").read_text()
        section = prompt.partition("# Rejected in review")[2]
        assert "keep `a` as it is\n\nplease" in section
        assert "+attempt 1" in section
        assert "+++ b/src/new.txt" in section
        assert "tasks/" not in section, "the queue's files are nothing that it did"
        assert "## Reviewer's note\nkeep `a` as it is" in prompt.partition("# Rejected in review")[0]
        assert "attempt 1 of 2" in prompt
        # once it has landed again that is history
        assert run.journal.history.rejected == {}
        assert [landed.task for landed in awaiting(run).landed] == ["001-first"]
        assert done.commit != again.outcome.commit


def test_a_long_diff_is_cut_and_says_where_the_rest_is(repository: UserRepository) -> None:
    def much(workspace: AgentWorkspace) -> None:
        (workspace.path / "src/a.txt").write_text("".join(f"line {n}\n" for n in range(9999)))

    with opened(repository, much, gates=GATES) as run:
        commit = land(run, "001-first")
        rejected(run)
        land(run, "001-first")
        prompt = (run.queue.logs / "001-first/attempt-2.prompt.md").read_text()
    assert f"bytes more: git show {commit})" in prompt
    assert len(prompt) < LONGEST_REJECTED + 8000


def test_a_revert_that_conflicts_is_refused_and_done_by_hand(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        commit = land(run, "001-first")
        (queued.path / "src/a.txt").write_text("all anew\n")
        queued.git("commit", "-qam", "the user's")
        head = queued.head()
        with pytest.raises(SetupError) as refused:
            rejected(run)
        said = str(refused.value)
        assert "later commits changed the same lines of src/a.txt; nothing was done" in said
        assert f"`git revert {commit[:10]}`" in said
        assert "the user's" in said
        assert (queued.head(), queued.status()) == (head, "")
        assert (run.queue.done / "001-first.md").exists()
        assert run.journal.history.forward is None

        queued.git("revert", "--no-edit", commit, check=False)  # as it says
        (queued.path / "src/a.txt").write_text("mended\n")
        queued.git("add", "src/a.txt")
        queued.git("-c", "core.editor=true", "revert", "--continue")
        assert rejected(run).revert == ""
        assert queued.read("src/a.txt") == "mended\n"
        assert "not like that" in (run.queue.pending / "001-first.md").read_text()
        assert not (run.queue.done / "001-first.md").exists()


def test_a_revert_that_was_reverted_is_none(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        commit = land(run, "001-first")
        repository.git("revert", "--no-edit", commit)
        repository.git("revert", "--no-edit", "HEAD")
        assert rejected(run).revert
        assert repository.read("src/a.txt") == "a\n"


def test_what_was_reverted_by_hand_gets_its_note(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        commit = land(run, "001-first")
        queued.git("revert", "--no-edit", commit)
        found = rejected(run)
        assert found.revert == ""
        assert "Reviewer's note" in (run.queue.pending / "001-first.md").read_text()
        assert run.journal.history.landed == {}
        assert queued.read("src/a.txt") == "a\n"


def test_a_rejection_that_a_kill_cut_short_is_finished_by_doing_it_again(
    queued: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(queued, gates=GATES) as run:
        land(run, "001-first")
        write = run.journal.write

        def killed(record: object) -> None:
            if type(record).__name__ == "Rejected":
                raise KeyboardInterrupt
            write(record)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(run.journal, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                rejected(run)
        found = rejected(run)
        assert found.revert == ""
        assert (run.queue.pending / "001-first.md").read_text().count("not like that") == 1
        assert queued.read("src/a.txt") == "a\n"
        assert "001-first" in run.journal.history.rejected


def test_the_users_edits_are_never_taken_along(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        land(run, "001-first")
        repository.write("src/b.txt", "mine\n")
        repository.write("tasks/pending/002-mine.md", task_text())
        rejected(run)
        assert repository.read("src/b.txt") == "mine\n"
        assert repository.status() == " M src/b.txt\n?? tasks/pending/002-mine.md"
        repository.git("checkout", "-q", "src/b.txt")
        land(run, "001-first")
        head = repository.head()
        repository.write("src/a.txt", "mine\n")
        with pytest.raises(InTheWay, match=r"src/a\.txt"):
            rejected(run)
        assert (repository.head(), repository.read("src/a.txt")) == (head, "mine\n")


def test_the_memory_forgets_it(repository: UserRepository) -> None:
    with opened(repository, own_file, gates=GATES) as run:
        repository.commit("memory", **{"CLAUDE.md": CLAUDE})
        run.titles["001-first"] = "Task 001-first"
        attempt_task(run, scope=("src/*.txt",))
        attempt_task(run, name="002-second", scope=("src/*.txt",))
        assert "001-first: Task 001-first" in repository.read("CLAUDE.md")
        rejected(run)
        log = repository.read("CLAUDE.md").partition("## Completed Tasks Log")[2]
        assert "001-first" not in log
        assert "002-second" in log
        assert repository.status() == ""


def own_file(workspace: AgentWorkspace) -> None:
    """Each session adds a file that no other one touches."""
    (workspace.path / "src" / f"{len(list((workspace.path / 'src').iterdir()))}.txt").write_text("x")


def test_dependents_are_named(queued: UserRepository) -> None:
    with opened(queued, own_file, gates=GATES) as run:
        attempt_task(run, scope=("src/*.txt",))
        depends = "depends_on: [001-first]"
        attempt_task(run, name="002-next", front=depends, scope=("src/*.txt",))
        (run.queue.pending / "003-later.md").write_text(task_text(front=depends))
        found = rejected(run)
        assert (found.landed_on_it, found.waiting) == (("002-next",), ("003-later",))


def test_only_what_has_landed_on_this_branch_can_be_rejected(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        before = repository.head()
        land(run, "001-first")
        with pytest.raises(
            SetupError, match=r"002-none: has not landed.*`agenttasks requeue 002-none -m WHY`"
        ):
            rejected(run, "002-none")
        with pytest.raises(SetupError, match="would change the task itself"):
            rejected(run, why="x\n\n## Files in Scope\n- src/\n")
        repository.git("reset", "-q", "--hard", before)
        with pytest.raises(SetupError, match="is not part of `work`"):
            rejected(run)


def test_a_reason_that_is_no_utf8_is_no_reason_to_stop_half_way(queued: UserRepository) -> None:
    with opened(queued, gates=GATES) as run:
        land(run, "001-first")
        rejected(run, why="no\udcff")
        land(run, "001-first")


def test_a_record_of_a_rejection_is_json_of_one_line(repository: UserRepository) -> None:
    with opened(repository, gates=GATES) as run:
        commit = land(run, "001-first")
        rejected(run, why="one\ntwo")
    line = json.loads(repository.read("tasks/reviews.jsonl"))
    assert line.pop("at").endswith("Z")
    assert line == {
        "review": "rejected",
        "by": "Test User <test@example.org>",
        "task": "001-first",
        "commit": commit,
        "why": "one\ntwo",
    }
