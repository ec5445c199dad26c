"""What the installed plugin adds to an ordinary pytest run, which has nothing to do with it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

from . import tables
from .timing import in_turns, median, run, timed

TITLE = "An ordinary pytest start"
EXPLANATION = """\
`pytest` running one test, with the plugin installed and with `-p no:agenttasks`, in turns; the median of the differences of
neighbouring runs."""


def measure(folder: Path, *, short: bool) -> str:
    if not any(point.value == "pytest_agenttasks.plugin" for point in entry_points(group="pytest11")):
        raise SystemExit("the plugin is not installed in this environment; `make bench` installs it")
    path = folder / "ordinary"
    path.mkdir()
    (path / "test_one.py").write_text("def test_one() -> None:\n    assert True\n")

    def with_it() -> float:
        return _seconds(path)

    def without() -> float:
        return _seconds(path, "-p", "no:agenttasks")

    with_it()
    rounds = 10 if short else 60
    found = in_turns(rounds, with_it, without)
    difference = median(a - b for a, b in zip(*found, strict=True))
    cells = [tables.milliseconds(value) for value in (median(found[0]), median(found[1]), difference)]
    return tables.table(("pairs", "with", "without", "difference"), [(str(rounds), *cells)])


def _seconds(path: Path, *arguments: str) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return timed(lambda: run(command, path))
