"""Task files that a kill has left half-way between two folders of the queue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_agenttasks import preflight
from pytest_agenttasks.journal_records import AttemptEnded
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.queue import Queue, finish_moves, move_untracked, rewrite
from tests.opened import opened
from tests.user_repository import UserRepository, task_text


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    found = Queue(pending=tmp_path / "tasks/pending", relative="tasks", tracked=False)
    for folder in (found.pending, found.done, found.failed):
        folder.mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("folder", "charged", "stays"),
    [
        ("done", (), "done"),
        ("done", ("001-x",), "done"),
        ("failed", ("001-x",), "failed"),
        ("failed", (), "pending"),
    ],
)
def test_a_move_that_was_cut_short_is_ended(
    queue: Queue, folder: str, charged: tuple[str, ...], stays: str
) -> None:
    """A task that was queued again has been charged with nothing since: its file was on its way back."""
    file, other = queue.pending / "001-x.md", queue.pending.parent / folder / "001-x.md"
    file.write_text("x")
    os.link(file, other)
    finish_moves(queue, lambda: charged)
    there = [at.parent.name for at in (file, other) if at.exists()]
    assert there == [stays]
    assert (queue.pending.parent / stays / "001-x.md").read_text() == "x"


def test_half_a_rewritten_task_file_goes_once_nobody_can_be_writing_it(queue: Queue) -> None:
    file = queue.pending / "001-x.md"
    file.write_text("x")
    left, young = queue.failed / ".002-y.md.new", queue.pending / ".003-z.md.new"
    for half in (left, young):
        half.write_text("ha")
    os.utime(left, (0, 0))
    finish_moves(queue, tuple)
    assert not left.exists()
    assert young.exists()
    rewrite(file, b"y")
    assert file.read_text() == "y"
    assert sorted(queue.pending.iterdir()) == [young, file]


def test_another_file_of_that_name_and_a_link_of_the_users_stay(queue: Queue, tmp_path: Path) -> None:
    same, linked = queue.pending / "001-x.md", queue.pending / "002-y.md"
    same.write_text("x")
    (queue.done / "001-x.md").write_text("x")
    linked.write_text("y")
    os.link(linked, tmp_path / "002-y.md")
    finish_moves(queue, tuple)
    assert same.exists()
    assert linked.exists()


def test_a_move_never_overwrites(queue: Queue) -> None:
    for folder in (queue.pending, queue.failed):
        (folder / "001-x.md").write_text(folder.name)
    with pytest.raises(FileExistsError):
        move_untracked(queue, "001-x", "failed")
    move_untracked(queue, "001-x", "failed", "001-x.2")
    assert (queue.failed / "001-x.md").read_text() == "failed"
    assert (queue.failed / "001-x.2.md").read_text() == "pending"


def test_a_task_whose_file_was_moved_before_the_kill_has_been_given_up(repository: UserRepository) -> None:
    """Else it would have no attempt left when somebody moves the file back."""
    repository.write("tasks/failed/001-x.md", task_text())
    repository.commit("queue")
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        run.journal.write(AttemptEnded(task="001-x", attempt=1, kind=Kind.GATE, summary="red"))
        preflight.check(run, lambda line: None)
        assert run.journal.history.charged == {}
