"""Two censuses of one gate: which tests are lost, which failures are new. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..report.printable import one_line
from ..trees.changes import Change
from .census import Census, Status, Test

NAMES_TOLD = 50
_MODULE = re.compile(r"[\w$]+(?:\.[\w$]+)+")
"""What a class or module is called where its file can be told from it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A test that ran on the base and does not now; `now` is None where it is not even mentioned."""

    test: Test
    now: Status | None


def lost(before: Census, now: Census) -> list[Lost]:
    """The tests that no longer run, in the base's order.

    Cases of one parametrized test are counted, not told apart: ids made from dates or addresses change by
    themselves. A test that was skipped on the base cannot be lost.
    """
    present = {test.key: test.status for test in now.tests}
    still: dict[tuple[str, str], int] = defaultdict(int)
    for test in now.tests:
        still[_function(test)] += test.status.ran
    groups: dict[tuple[str, str], list[Test]] = defaultdict(list)
    for test in before.tests:
        if test.status.ran:
            groups[_function(test)].append(test)
    found = []
    for function, tests in groups.items():
        shortfall = len(tests) - still[function]
        if shortfall > 0:
            gone = [test for test in tests if (status := present.get(test.key)) is None or not status.ran]
            found += [Lost(test, present.get(test.key)) for test in gone[:shortfall]]
    return found


def _function(test: Test) -> tuple[str, str]:
    name = test.name
    return test.classname, name[: name.index("[")] if name.endswith("]") and "[" in name else name


def touched(test: Test, changes: Sequence[Change], test_files: Collection[str]) -> bool:
    """Whether a test lies in a file that `changes` modify or delete; `test_files` are those of them that hold tests.

    Where the report says neither file nor a class that fits one, any changed test file may be its own.
    """
    names = [change.name for change in changes if not change.added]
    if test.file and any(_same_file(test.file, name) for name in names):
        return True
    if test.file and f"{test.classname}.".startswith(f"{_dotted(test.file)}."):
        return False  # the class is in that file, and not only inherited from there
    modules = {test.classname, test.classname.rpartition(".")[0]} - {""}
    paths = [_dotted(name) for name in test_files]
    if any(path == module or path.endswith(f".{module}") for path in paths for module in modules):
        return True
    return not test.file and not _MODULE.fullmatch(test.classname) and bool(test_files)


def _dotted(path: str) -> str:
    return re.sub(r"\.\w+$", "", path).replace("/", ".")


def _same_file(reported: str, changed: str) -> bool:
    """Reports name files from the folder in which the runner was started, or absolutely."""
    reported = reported.removeprefix("./")
    return changed == reported or changed.endswith(f"/{reported}") or reported.endswith(f"/{changed}")


class Known:
    """The ids of `known_red`: as pytest prints them, or `classname::name`."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._keys = {key: text for text in ids for key in _keys(text)}

    def __contains__(self, test: Test) -> bool:
        return test.key in self._keys

    def __bool__(self) -> bool:
        return bool(self._keys)

    def passing(self, census: Census) -> list[str]:
        """Those that pass now, as they were written."""
        passed = (test for test in census.tests if test.status is Status.PASSED)
        return [self._keys[test.key] for test in passed if test.key in self._keys]

    def unheard_of(self, census: Census) -> list[str]:
        """Those that no test of the census has, as they were written."""
        heard = {self._keys[test.key] for test in census.tests if test.key in self._keys}
        return [text for text in dict.fromkeys(self._keys.values()) if text not in heard]


def _keys(text: str) -> Iterator[tuple[str, str]]:
    address, bracket, parameters = text.partition("[")
    *above, name = address.split("::")
    name += bracket + parameters
    yield "::".join(above), name
    if above:  # as pytest's own reports put it
        above[0] = above[0].replace("/", ".").removesuffix(".py")
        yield ".".join(above), name


def told(census: Census, before: Census | None, known: Known) -> list[str]:
    """Counts, then each failed test with whose failure it is, at most `NAMES_TOLD` of them."""
    counts = census.counts
    parts = [f"{counts[status]} {status}" for status in Status if status in counts]
    lines = [f"tests: {', '.join(parts) or 'none'}"]
    old = {test.key for test in before.bad} if before is not None else set()
    bad = sorted(census.bad, key=lambda test: test in known or test.key in old)  # what is new comes first
    for test in bad[:NAMES_TOLD]:
        if test in known:
            word = "known_red"
        elif before is None:
            word = "failed"
        else:
            word = "was red before" if test.key in old else "new failure"
        lines.append(f"  {word}: {one_line(test.shown)}")
    if len(bad) > NAMES_TOLD:
        lines.append(f"  and {len(bad) - NAMES_TOLD} more")
    return lines
