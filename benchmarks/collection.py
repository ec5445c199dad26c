"""Collecting a long queue, beside pytest collecting as many tests."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from . import tables
from .repositories import add_tasks, make_repository
from .timing import in_turns, median, run, timed

TITLE = "Collecting"
EXPLANATION = """\
`--collect-only -q` of a queue, every task file read and linted, beside pytest's own collection of as many test
functions: one in each file, as with tasks (compiled before), and, for comparison, in files of a hundred."""

_TEST = "def test_{number}() -> None:\n    assert True\n"


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for number in (1000,) if short else (1000, 10_000):
        path = make_repository(
            folder / f"collection-{number}",
            1000,
            {"agenttasks.yaml": "gates: [{name: tests, run: 'true'}]\n", "pytest.ini": "[pytest]\n"},
        )
        add_tasks(path / "tasks/pending", 1, number)
        _write_tests(path / "single", number, 1)
        _write_tests(path / "hundreds", number, 100)
        queue, single, hundreds = (
            median(found)
            for found in in_turns(
                2 if short or number > 1000 else 5,
                partial(_seconds, path, "--agent-tasks", "tasks/pending"),
                partial(_seconds, path, "single"),
                partial(_seconds, path, "hundreds"),
            )
        )
        rows.append(
            (
                tables.count(number),
                *(f"{value:.2f} s" for value in (queue, single, hundreds)),
                tables.times(queue, single),
                tables.times(queue, hundreds),
            )
        )
    header = (
        "items",
        "task files",
        "a test in each file",
        "files of 100 tests",
        "ratio to the former",
        "to the latter",
    )
    return tables.table(header, rows)


def _seconds(path: Path, *arguments: str) -> float:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    return timed(lambda: run(command, path))


def _write_tests(folder: Path, number: int, in_a_file: int) -> None:
    folder.mkdir()
    for first in range(0, number, in_a_file):
        text = "".join(_TEST.format(number=n) for n in range(first, min(first + in_a_file, number)))
        (folder / f"test_{first:05d}.py").write_text(text)
    _seconds(folder.parent, folder.name)  # compiles them
