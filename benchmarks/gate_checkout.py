"""A kept gate checkout moved to the next tree, beside a fresh clone."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_agenttasks.trees.places import place
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.trees.shadow import prepare
from pytest_agenttasks.trees.workspace import move_to, tags, write_git

from . import tables
from .repositories import BRANCH, CHANGED, FILES_A_FOLDER, make_repository
from .timing import in_turns, median, run, timed

TITLE = "A gate checkout of the next commit"
EXPLANATION = """\
The kept checkout moved to a commit that changes eleven files (everything else is removed, and it gets its `.git`), beside
`git clone` of the same commit into a new folder on the same disk."""


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for files in (100, 1000) if short else (100, 1000, 20_000):
        path = make_repository(folder / f"gate-{files}", files)
        commits = [run(["git", "rev-parse", "HEAD"], path).strip()]
        for n in range(11):
            (path / CHANGED).with_name(f"f{n % FILES_A_FOLDER:05d}.txt").write_text("changed\n")
        run(["git", "commit", "-qam", "eleven files"], path)
        commits.append(run(["git", "rev-parse", "HEAD"], path).strip())
        rounds = 3 if short or files == 20_000 else 9
        kept, fresh = (median(found) for found in _compare(path, folder / f"clone-{files}", commits, rounds))
        rows.append(
            (
                tables.count(files),
                tables.milliseconds(kept),
                tables.milliseconds(fresh),
                tables.times(kept, fresh),
            )
        )
    return tables.table(("files", "kept checkout", "fresh clone", "ratio"), rows)


def _compare(path: Path, clone: Path, commits: list[str], rounds: int) -> list[list[float]]:
    repository = discover(path)
    shadow = prepare(repository, [])
    where = place(shadow, "gate", 0)
    known = tags(repository)

    def moved() -> float:
        commits.reverse()
        tree = repository.tree_of(commits[0])

        def ready() -> None:
            move_to(shadow, where, tree, ())
            write_git(shadow, where, commits[0], f"refs/heads/{BRANCH}", known)

        return timed(ready)

    def cloned() -> float:
        seconds = timed(lambda: run(["git", "clone", "-q", str(path), str(clone)], path.parent))
        shutil.rmtree(clone)
        return seconds

    moved()
    moved()  # the first one wrote every file
    return in_turns(rounds, moved, cloned)
