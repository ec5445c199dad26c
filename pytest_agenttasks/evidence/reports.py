"""Where a gate leaves its test reports: asked for before it starts, collected when it has ended.

Every pytest below a gate reads `PYTEST_ADDOPTS`, after the project's own `addopts`; it is asked for a report in a
file of the folder in which it is started. Of several runs in one folder each would overwrite the last one's, so
reports are moved aside as they appear. A pytest that a test starts writes to another file, for it has
`PYTEST_CURRENT_TEST` set, and is not counted.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..settings.records import GateSettings
from ..trees.changes import shown
from ..trees.places import Place
from ..trees.removal import remove
from .census import MAX_BYTES, Census, Unreadable, merge, read

_NAME = "report${PYTEST_CURRENT_TEST}.xml"
_TAKEN = "taken.xml"
_OPTIONS = "-o junit_family=xunit1 -o junit_logging=no --junitprefix="
_OWN_OPTION = re.compile(r"--junit-?xml[= ]['\"]?([^\s'\";|&<>()]+)")
_MOST_FILES = 1000
_LOOK = 0.02
"""Seconds between two looks for new reports; the shortest run of pytest takes ten times as long."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Where reports will be looked for. `since` is the file system's time (ns) when the gate started."""

    gate: GateSettings
    top: Path
    folder: Path
    since: int
    refused: str = ""

    def variables(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """What the gate's environment needs; with `junit:` nothing, for then pytest is the project's own affair."""
        if self.gate.junit is not None:
            return {}
        asked = f"--junitxml={shlex.quote(f'{self.folder}/$PWD/{_NAME}')} {_OPTIONS}"
        return {"PYTEST_ADDOPTS": " ".join([*filter(None, [environment.get("PYTEST_ADDOPTS")]), asked])}


@dataclass(frozen=True, slots=True)
class Left:
    """What a gate left: its census, None without a report; `problem` says in words what is wrong with a report."""

    census: Census | None = None
    problem: str = ""


def expect(gate: GateSettings, where: Place, tracked: Collection[bytes]) -> Expected:
    """Prepare for the reports of a gate that starts now; what an earlier one left in their place is deleted.

    `tracked` are the paths of the tree: no report may be one of them.
    """
    folder = where.tmp / f"reports-{secrets.token_hex(8)}"
    refused = ""
    for file in _named(gate, where.path):
        path = os.fsencode(file.relative_to(where.path))
        if path in tracked:
            name = shown(path)
            refused = f"its report `{name}` is tracked by git, where it could be forged; ignore it and `git rm --cached` it"
        elif _lies_in(file, where.path):
            remove(file)
    mark = where.tmp / f"{folder.name}.start"
    mark.touch()
    since = mark.stat().st_mtime_ns
    mark.unlink()
    return Expected(gate, where.path, folder, since, refused)


@contextmanager
def gathering(expected: Expected) -> Iterator[None]:
    """While the gate runs: move each report aside as soon as it is begun, to where its writer goes on with it."""
    if expected.gate.junit is not None:
        yield
        return
    ended = threading.Event()

    def gather() -> None:
        number = 0
        while not ended.wait(_LOOK):
            for file in _written(expected, _NAME):
                number += 1
                with suppress(OSError):
                    file.rename(file.with_name(f"{number:06}.{_TAKEN}"))

    thread = threading.Thread(target=gather, name="agenttasks-reports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def collect(expected: Expected) -> Left:
    """The reports that are there now; the folder that was made for them is gone afterwards."""
    try:
        return _collect(expected)
    finally:
        remove(expected.folder)


def _collect(expected: Expected) -> Left:
    gate = expected.gate
    if expected.refused:
        return Left(problem=expected.refused)
    files = list(_named(gate, expected.top)) if gate.junit is not None else list(_asked_for(expected))
    if len(files) > _MOST_FILES:
        return Left(problem=f"it left {len(files)} reports; at most {_MOST_FILES} are read")
    found: list[Census] = []
    room = MAX_BYTES
    for file in files:
        name = (
            f"its report `{file.relative_to(expected.top)}`" if gate.junit is not None else "its test report"
        )
        if gate.junit is not None and not _lies_in(file, expected.top):
            return Left(problem=f"{name} lies outside the checkout")
        try:
            status = file.lstat()
            room -= status.st_size
            if room < 0:
                return Left(problem=f"its test reports hold more than {MAX_BYTES // 1024 // 1024} MB")
            if status.st_mtime_ns < expected.since:
                if gate.junit is None:
                    continue
                return Left(problem=f"{name} is older than the gate's start: it was copied, not made")
            found.append(read(file))
        except Unreadable as error:
            return Left(problem=f"{name} {error}")
        except OSError as error:
            return Left(problem=f"{name} cannot be read ({error.strerror})")
    if not found:
        return Left(problem=f"it left no report at `{gate.junit}`" if gate.junit is not None else "")
    return Left(merge(found))


def _named(gate: GateSettings, top: Path) -> Iterator[Path]:
    """What is at the path or glob of `junit:` now."""
    if gate.junit is not None:
        yield from sorted(file for file in top.glob(gate.junit) if file.is_symlink() or not file.is_dir())


def _asked_for(expected: Expected) -> Iterator[Path]:
    """The reports of pytest runs in the order in which they ended, then one that the gate's own line asks for."""
    yield from sorted(_written(expected, _TAKEN), key=lambda file: file.name)
    yield from _written(expected, _NAME)
    if own := _OWN_OPTION.search(expected.gate.run):
        file = expected.top / (expected.gate.cwd or ".") / own[1]
        if file.exists():
            yield file


def _written(expected: Expected, end: str) -> list[Path]:
    """The files with such names of pytest runs that were started in the checkout."""
    tops = dict.fromkeys((str(expected.top), os.path.realpath(expected.top), "/$PWD"))
    found = []
    for top in tops:
        for folder, _, names in islice(os.walk(f"{expected.folder}{top}"), _MOST_FILES):
            found += [Path(folder, name) for name in names if name.endswith(end)]
    return found


def _lies_in(file: Path, top: Path) -> bool:
    return Path(os.path.realpath(file.parent)).is_relative_to(os.path.realpath(top))
