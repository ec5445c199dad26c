"""A workspace with a large dependency folder: the first one, the next ones, beside `cp -a`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import msgspec

from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.run import open_run
from pytest_agenttasks.settings.records import Settings, WorkspaceSettings
from pytest_agenttasks.trees.checkout import ready
from pytest_agenttasks.trees.repository import discover

from . import tables
from .repositories import make_repository
from .timing import in_turns, median, run, timed

TITLE = "A workspace with a large node_modules"
EXPLANATION = """\
1,000 tracked files and `workspace: {copy: [node_modules]}`, small files in packages of twenty: the first workspace
(checkout, copy, record of every copied file), a later one (nothing is copied, every file is looked at), and `cp -a` of
the folder alone."""


def measure(folder: Path, *, short: bool) -> str:
    packages = 100 if short else 1000
    path = make_repository(folder / "dependencies", 1000)
    _install(path / "node_modules", packages)
    repository = discover(path)
    settings = msgspec.structs.replace(Settings(), workspace=WorkspaceSettings(copy=("node_modules",)))
    no_extensions = cast("Any", None)  # a workspace asks them nothing
    opened = open_run(
        repository, open_queue(repository, path / "tasks/pending"), settings, path / "x.yaml", no_extensions
    )
    tip = repository.tip()
    tree = repository.tree_of(tip)
    copy = folder / "copy"

    def again() -> float:
        return timed(lambda: ready(opened, "agent", tree, tip))

    def first() -> float:
        shutil.rmtree(ready(opened, "agent", tree, tip).root)
        return again()

    def copied() -> float:
        seconds = timed(lambda: run(["cp", "-a", "--", str(path / "node_modules"), str(copy)], path))
        shutil.rmtree(copy)
        return seconds

    found = in_turns(1 if short else 3, first, again, copied)
    opened.close()
    one, next_one, bare = (median(values) for values in found)
    cells = [tables.milliseconds(value) for value in (one, next_one, bare)]
    rows = [(tables.count(packages * 20), *cells, tables.times(one, bare))]
    return tables.table(("files copied", "first", "later", "cp -a", "first / cp -a"), rows)


def _install(folder: Path, packages: int) -> None:
    for number in range(packages):
        package = folder / f"package-{number:04d}" / "lib"
        package.mkdir(parents=True)
        for n in range(20):
            (package / f"module{n:02d}.js").write_text(f"module.exports = {number * n};\n" * 20)
