"""What a person types when a run is over, killed at each of its steps and typed again.

A run comes after that, and judges with what it makes of the queue: what was typed has to hold, once.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.oracle import (
    accounted,
    checkout,
    kept,
    left_alive,
    queue,
    repository_is_whole,
    status,
    users_files,
)
from tests.crash.play import Death, Step, Undone
from tests.crash.world import ADDS, BIG, FAILS, LANDS, Ran, World

WHY = "not like this, please"


@dataclass(frozen=True)
class Typed:
    """`words`, which end with status 0, or with 4 and something like `done_already` where all was done before the death.

    `wrong`: what is not as it must be afterwards. `come_to`: what the next run makes of each task.
    """

    name: str
    words: tuple[str, ...]
    wrong: Callable[[World], Iterator[str]]
    come_to: Mapping[str, str]
    done_already: str = "(?!)"
    prepare: Callable[[World], None] = lambda _: None


def verbs() -> Sequence[Typed]:
    usual = {LANDS: "done", FAILS: "failed", ADDS: "done"}
    return (
        Typed("reject", ("reject", LANDS, "-m", WHY), _is_taken_back, usual, "rejected already"),
        Typed("approve", ("approve",), _is_approved, usual),
        Typed("requeue", ("requeue", FAILS, "-m", WHY), _is_pending_again, usual, "pending already"),
        Typed("open", ("open", FAILS), _is_open, usual),
        Typed(
            "land", ("land", FAILS), _has_landed_by_hand, {**usual, FAILS: "done"}, "has landed|nothing is left",
            _mended_by_hand,
        ),
    )  # fmt: skip


class Saved:
    """A world as it is now, to come back to: its paths are in what the runner has written, so it stays where it is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._copy = world.folder.with_name(f"{world.folder.name}.saved")
        shutil.copytree(world.folder, self._copy, symlinks=True)
        self._starts = world.starts

    def back(self) -> World:
        shutil.rmtree(self.world.folder)
        shutil.copytree(self._copy, self.world.folder, symlinks=True)
        self.world.starts = self._starts
        return self.world


def steps_of(saved: Saved, verb: Typed) -> list[Step]:
    """Every step of an undisturbed use of `verb`."""
    world = saved.back()
    ran = world.type(*verb.words, plan=world.plan())
    assert ran.status == 0, ran.output
    return [Step(name, count, process) for process, count, name in world.steps]


def after_a_run(world: World, verb: Typed) -> Saved:
    ran = world.start()
    assert ran.status == 1, ran.output
    verb.prepare(world)
    return Saved(world)


def die_and_type_again(saved: Saved, verb: Typed, deaths: Sequence[Death]) -> list[Death]:
    """Use after use of `verb` ends in these deaths, then it is let to its end, and a run follows; those that were not come
    to. Raises Undone."""
    world = saved.back()
    before = users_files(world)
    died: list[Death] = []
    missed: list[Death] = []
    for death in deaths:
        step = death.step
        plan = world.plan(step=step.name, occurrence=step.occurrence, how=death.how, limit=death.limit)
        (died if world.type(*verb.words, plan=plan).status == -9 else missed).append(death)
    again = world.type(*verb.words)
    wrong = list(_typed(verb, again))
    wrong += [*verb.wrong(world), *_left_over(world), *_common(world, before)]
    run = world.start()
    wrong += [] if run.status in (0, 1, 5) else [f"the run after it ended with status {run.status}"]
    wrong += [*queue(world, verb.come_to), *accounted(world), *_common(world, before), *status(world)]
    if wrong:
        told = "\n".join([*map(str, died), "wrong:", *wrong, "said:", again.output, "then:", run.output])
        raise Undone(told)
    return missed


def _typed(verb: Typed, ran: Ran) -> Iterator[str]:
    if ran.status != 0 and not (ran.status == 4 and re.search(verb.done_already, ran.output)):
        yield f"typed again it ended with status {ran.status}: {ran.output.strip()[-300:]}"


def _left_over(world: World) -> Iterator[str]:
    found = [*world.path.glob("tasks/*/*.md.*"), *world.path.glob("tasks/*/.*.md.*")]
    yield from (f"{path} is left" for path in found)


def _common(world: World, before: Mapping[str, str]) -> Iterator[str]:
    yield from (what for what in checkout(world, before) if ".git/worktrees" not in what)
    yield from kept(world)
    yield from repository_is_whole(world)
    yield from (f"a process is left: {process}" for process in left_alive(world))


def _reviews(world: World) -> list[dict[str, Any]]:
    if world.shape.tracked:
        text = world.repository.git("show", "HEAD:tasks/reviews.jsonl", check=False)
    else:
        file = world.own / "reviews.jsonl"
        text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _landed_as(world: World, task: str) -> str:
    return world.repository.git("log", "--format=%H", f"--grep=^Agent-Task: {task}$", "base..HEAD")


def _has_note_once(world: World, task: str) -> Iterator[str]:
    file = world.path / f"tasks/pending/{task}.md"
    text = file.read_text() if file.exists() else ""
    if text.count(WHY) != 1:
        yield f"the note is {text.count(WHY)} times in the pending {task}"


def _is_taken_back(world: World) -> Iterator[str]:
    commits = _landed_as(world, LANDS).split()
    reverts = world.repository.git("log", "--format=%H", f"--grep=This reverts commit {commits[0]}").split()
    if len(commits) != 1 or len(reverts) != 1:
        yield f"{len(commits)} commits of {LANDS}, {len(reverts)} reverts"
    for path, text in (("src/a.txt", "a\n"), ("src/b.txt", "b\n"), ("src/big.txt", BIG)):
        if world.repository.read(path) != text:
            yield f"{path} is not as it was before"
    if (world.path / "lib").exists():
        yield "lib/ is still there"
    yield from queue(world, {LANDS: "pending"})
    yield from _has_note_once(world, LANDS)
    found = [(one["review"], one["task"], one["commit"], one["why"]) for one in _reviews(world)]
    if found != [("rejected", LANDS, commits[0], WHY)]:
        yield f"reviews: {found}"
    if world.shape.memory and LANDS in world.repository.read("CLAUDE.md").partition("## Completed")[2]:
        yield f"{LANDS} is still in the log of completed tasks"


def _is_approved(world: World) -> Iterator[str]:
    found = _reviews(world)
    wanted = {(task, _landed_as(world, task) or None) for task in (LANDS, ADDS, FAILS)}
    if len(found) != 1 or {(one["task"], one.get("commit")) for one in found[0]["tasks"]} != wanted:
        yield f"reviews: {found}"
    yield from queue(world, {LANDS: "done", FAILS: "failed", ADDS: "done"})


def _is_pending_again(world: World) -> Iterator[str]:
    yield from queue(world, {FAILS: "pending"})
    yield from _has_note_once(world, FAILS)
    if (world.path / f"tasks/failed/{FAILS}.report.md").exists():
        yield "its report is still beside the failed ones"
    if not list(world.path.glob(f"tasks/logs/{FAILS}/report*.md")):
        yield "its report is lost"


def _worktrees(world: World) -> list[Path]:
    listed = world.repository.git("worktree", "list", "--porcelain").splitlines()
    return [Path(line[9:]) for line in listed if line.startswith("worktree ")][1:]


def _is_open(world: World) -> Iterator[str]:
    told = re.search(r"(?:are|attempt \d+) in (.+)$", world.last.output, re.M)
    if told is None or "broken" not in Path(told[1], "other/c.txt").read_text():
        yield "the files of the attempt are not where it says"
    left = {str(path) for path in _worktrees(world)} - {told[1] if told else ""}
    yield from (
        f"{path} is left, and nothing was said of it"
        for path in left
        if f"left {path}, which" not in world.last.output
    )


def _mended_by_hand(world: World) -> None:
    assert world.type("open", FAILS).status == 0, world.last.output
    (found,) = _worktrees(world)
    (found / "other/c.txt").write_text("mended by hand\n")
    (found / "other/.gitignore").unlink()


def _has_landed_by_hand(world: World) -> Iterator[str]:
    commits = _landed_as(world, FAILS).split()
    if len(commits) != 1:
        yield f"{len(commits)} commits of {FAILS}"
    if world.repository.read("other/c.txt") != "mended by hand\n":
        yield "the checkout has not what was done by hand"
    yield from queue(world, {FAILS: "done"})
