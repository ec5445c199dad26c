"""Runs on two queues of one repository: never two attempts on the same files at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.living import until
from tests.runner_processes import RunnerProcess, configured, go, hold, processes, queued, steps, there
from tests.user_repository import UserRepository, task_text

SECOND = "other/pending"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "agent.sh"
    file.write_text('echo "$TASK" >> "$FILE"\n')
    return file


@contextmanager
def on_two_queues(
    repository: UserRepository, script: Path, count: int = 1
) -> Iterator[tuple[list[RunnerProcess], list[RunnerProcess]]]:
    for folder in ("pending", "done", "failed"):
        repository.write(f"other/{folder}/.gitkeep", "")
    repository.commit("second queue")
    with ExitStack() as stack:
        first = stack.enter_context(processes(repository, script, count))
        second = stack.enter_context(processes(repository, script, count, SECOND))
        yield first, second


def test_sessions_on_the_same_files_never_overlap(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    log = tmp_path / "sessions"
    script.write_text(f'echo "+ $TASK" >> {log}; echo "$TASK" >> "$FILE"; echo "- $TASK" >> {log}\n')
    names = [f"{number:03}-x" for number in range(6)]
    queued(repository, dict.fromkeys(names[::2], "src/a.txt"))
    queued(repository, dict.fromkeys(names[1::2], "src/a.txt"), "other/pending")
    with on_two_queues(repository, script) as ([first], [second]):
        for name in names:
            (first if int(name[:3]) % 2 == 0 else second).tell("attempt", name)
        answers = [(first if int(name[:3]) % 2 == 0 else second).answer() for name in names]
    # Where two had worked on the file at the same time, one of them would have ended as `moved`.
    assert [answer["kind"] for answer in answers] == ["landed"] * 6, answers
    lines = log.read_text().splitlines()
    assert all(start[2:] == end[2:] for start, end in zip(lines[::2], lines[1::2], strict=True)), lines
    assert repository.status() == ""


def test_who_waits_is_told_for_whom_and_goes_on_when_that_one_is_killed(
    repository: UserRepository, script: Path, tmp_path: Path
) -> None:
    configured(repository)
    queued(repository, {"001-a": "src/a.txt"})
    queued(repository, {"002-all": "src/", "003-apart": "lib/x.txt"}, SECOND)
    script.write_text(
        hold(tmp_path, "001-a")
        + '[ "$TASK" != 002-all ] || FILE=src/new.txt\nmkdir -p lib\necho "$TASK" >> "$FILE"\n'
    )
    with on_two_queues(repository, script, 2) as ([first, _], [second, third]):
        first.tell("attempt", "001-a")
        until(lambda: "001-a-1" in there(tmp_path))
        second.tell("attempt", "002-all")
        until(lambda: "002-all: waiting for" in steps(script))
        assert (
            f"002-all: waiting for 001-a of process {first.process.pid} (queue {repository.path}/tasks/pending)"
            in steps(script)
        )
        assert third.attempt("003-apart")["kind"] == "landed"
        first.kill()
        assert second.answer()["kind"] == "landed"
    assert not list((repository.path / ".git/agenttasks/claims").glob("*.json"))


def test_claims_are_first_come_first_served(repository: UserRepository, script: Path, tmp_path: Path) -> None:
    """The third could run beside the first, but came after the second, which waits for that one."""
    configured(repository)
    queued(repository, {"001-a": "src/a/x.txt", "003-b": "src/b/x.txt"})
    repository.write(f"{SECOND}/002-both.md", task_text("Both", ("src/a/x.txt", "src/b/x.txt")))
    repository.commit("queue")
    script.write_text(
        f'mkdir -p "$(dirname $FILE)"\necho "$TASK" >> "$FILE"\n{hold(tmp_path, "001-a", "002-both")}'
    )
    with on_two_queues(repository, script, 2) as ([first, third], [second, _]):
        first.tell("attempt", "001-a")
        until(lambda: "001-a-1" in there(tmp_path))
        second.tell("attempt", "002-both")
        until(lambda: "002-both: waiting for 001-a" in steps(script))
        third.tell("attempt", "003-b")
        until(lambda: "003-b: waiting for 002-both" in steps(script))
        go(tmp_path, "001-a-1")
        assert first.answer()["kind"] == "landed"
        until(lambda: "002-both-1" in there(tmp_path))
        go(tmp_path, "002-both-1")
        assert second.answer()["kind"] == "landed"
        assert third.answer()["kind"] == "landed"
    assert repository.read("src/b/x.txt") == "003-b\n"
