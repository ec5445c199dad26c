"""What the installed plugin adds to an ordinary pytest run, which has nothing to do with it."""

from __future__ import annotations

import resource
import sys
from importlib.metadata import entry_points
from pathlib import Path

from . import tables
from .timing import median, run, timed

TITLE = "An ordinary pytest start"
EXPLANATION = """\
`pytest` running one test, with this plugin and without, and no other plugin in either (a start is then short enough for a few
milliseconds to show), in turns; medians, and the medians of the differences of neighbouring runs: of wall time, and of
processor time, which other work on the machine disturbs less."""


def measure(folder: Path, *, short: bool) -> str:
    if not any(point.value == "pytest_agenttasks.plugin" for point in entry_points(group="pytest11")):
        raise SystemExit("the plugin is not installed in this environment; `make bench` installs it")
    path = folder / "ordinary"
    path.mkdir()
    (path / "test_one.py").write_text("def test_one() -> None:\n    assert True\n")

    def start(*arguments: str) -> tuple[float, float]:
        """Seconds of wall and of processor time."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        before = _processor_time()
        wall = timed(lambda: run(command, path, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}))
        return wall, _processor_time() - before

    start("-p", "agenttasks")  # python's and pytest's compiled files
    pairs = 20 if short else 60
    walls, processor = [], []
    for number in range(pairs):
        both = [("-p", "agenttasks"), ()]
        found = {arguments: start(*arguments) for arguments in (both if number % 2 else reversed(both))}
        walls.append((found[both[0]][0], found[both[1]][0]))
        processor.append(found[both[0]][1] - found[both[1]][1])
    figures = (
        median(a for a, _ in walls), median(b for _, b in walls), median(a - b for a, b in walls), median(processor),
    )  # fmt: skip
    heads = ("pairs", "with", "without", "difference", "difference in processor time")
    return tables.table(heads, [(str(pairs), *map(tables.milliseconds, figures))])


def _processor_time() -> float:
    """Seconds that the children of this process have computed so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
