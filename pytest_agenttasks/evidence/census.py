"""Which tests ran and how each ended, read from JUnit XML that nobody vouches for. Pure but for `read`."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from xml.parsers import expat

import msgspec

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of one report; 100,000 tests take about 20 MB."""
MAX_TESTS = 500_000
MAX_DEPTH = 64
LONGEST_NAME = 1000
"""Characters of an id or a path; longer ones are cut, with a digest of the whole."""

_PYTEST = frozenset({"pytest", "pytest tests"})
"""What pytest calls its suites; it counts a test and its subtests there, but writes one testcase for them."""


class Status(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"

    @property
    def bad(self) -> bool:
        return self in (Status.FAILED, Status.ERROR)

    @property
    def ran(self) -> bool:
        """Whether the test could have turned the gate red."""
        return self not in (Status.SKIPPED, Status.XFAILED)


class Test(msgspec.Struct, frozen=True, array_like=True):
    """One test; `file` is as the runner wrote it, "" where it does not say."""

    __test__ = False

    classname: str
    name: str
    status: Status
    file: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.classname, self.name

    @property
    def shown(self) -> str:
        """The id as pytest prints it where the file is known and fits, else `classname::name`."""
        module = self.file.removesuffix(".py").replace("/", ".")
        if self.file.endswith(".py") and f"{self.classname}.".startswith(f"{module}."):
            classes = self.classname[len(module) + 1 :]
            return "::".join([self.file, *filter(None, classes.split(".")), self.name])
        return f"{self.classname}::{self.name}" if self.classname else self.name


class Census(msgspec.Struct, frozen=True):
    """Every test of one gate, once each; `short` is how many more its reports announce than they hold."""

    tests: tuple[Test, ...] = ()
    short: int = 0

    @property
    def bad(self) -> tuple[Test, ...]:
        return tuple(test for test in self.tests if test.status.bad)

    @property
    def counts(self) -> Mapping[Status, int]:
        return Counter(test.status for test in self.tests)


class Unreadable(ValueError):
    """A report that is not JUnit XML as tools write it; the message says why, in words that follow `it`."""


def read(file: Path) -> Census:
    """The census of one report. Raises Unreadable; OSError where it cannot be opened."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - opened so that a link or a pipe does no harm
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is not a file")
        data = stream.read(MAX_BYTES + 1)
    return parse(data)


def parse(data: bytes) -> Census:
    """The census of a report's bytes. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES // 1024 // 1024} MB")
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unreadable(f"is not whole XML ({error})") from error
    except (UnicodeError, LookupError) as error:
        raise Unreadable("holds text that is not in its encoding") from error
    return merge([Census(tuple(reader.tests), reader.short)])


def merge(found: Iterable[Census]) -> Census:
    """Several reports as one. Of two results of one test the worse counts, but a later pass is a retry that passed."""
    tests: dict[tuple[str, str], Test] = {}
    short = 0
    for census in found:
        short += census.short
        for test in census.tests:
            known = tests.get(test.key)
            if (
                known is None
                or test.status is Status.PASSED
                or _BADNESS[test.status] > _BADNESS[known.status]
            ):
                tests[test.key] = test
    return Census(tuple(tests.values()), short)


_BADNESS = {
    status: n
    for n, status in enumerate((Status.SKIPPED, Status.XFAILED, Status.PASSED, Status.FAILED, Status.ERROR))
}


class _Reader:
    """Collects testcases from expat's events: no tree is built, no text kept, no entity declared."""

    def __init__(self) -> None:
        self.tests: list[Test] = []
        self.short = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._depth = 0
        self._case: tuple[str, str, str] | None = None
        self._case_depth = 0
        self._status = Status.PASSED
        self._suites: list[tuple[int, int]] = []  # announced, tests found before

    def _doctype(self, *_: object) -> None:
        raise Unreadable("declares a document type, which no test report needs")

    def _start(self, tag: str, attributes: dict[str, Any]) -> None:
        self._depth += 1
        if self._depth == 1 and tag not in ("testsuites", "testsuite"):
            raise Unreadable(f"starts with <{tag[:40]}>, not with <testsuites> or <testsuite>")
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"is nested more than {MAX_DEPTH} deep")
        if self._case is not None:
            if self._depth == self._case_depth + 1:
                self._result(tag, attributes)
        elif tag in ("testsuite", "testsuites"):
            self._suites.append((_announced(attributes), len(self.tests)))
        elif tag == "testcase":
            if len(self.tests) >= MAX_TESTS:
                raise Unreadable(f"holds more than {MAX_TESTS:,} tests")
            self._case = (
                _cut(attributes.get("classname", "")),
                _cut(attributes.get("name", "")),
                _cut(attributes.get("file", "")),
            )
            self._case_depth = self._depth
            left_out = attributes.get("status") in ("notrun", "disabled", "skipped")
            self._status = Status.SKIPPED if left_out else Status.PASSED

    def _result(self, tag: str, attributes: dict[str, Any]) -> None:
        found = {"failure": Status.FAILED, "error": Status.ERROR, "skipped": Status.SKIPPED}.get(tag)
        if found is Status.SKIPPED and attributes.get("type") == "pytest.xfail":
            found = Status.XFAILED
        if found is None or self._status.bad:
            return
        self._status = found

    def _end(self, tag: str) -> None:
        if self._case is not None:
            if self._depth == self._case_depth:
                classname, name, file = self._case
                self.tests.append(Test(classname, name, self._status, file))
                self._case = None
        elif tag in ("testsuite", "testsuites"):
            announced, before = self._suites.pop()
            self.short = max(self.short, announced - (len(self.tests) - before))
        self._depth -= 1


def _announced(attributes: Mapping[str, str]) -> int:
    """How many testcases a suite says it holds; those that a tool counts but may leave out are not among them."""
    if attributes.get("name") in _PYTEST:
        return 0
    numbers = [attributes.get(key, "0") for key in ("tests", "skipped", "disabled")]
    if not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        return 0
    total, *left_out = map(int, numbers)
    return total - sum(left_out)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[: LONGEST_NAME - 20]}…{hashlib.sha256(text.encode()).hexdigest()[:16]}"
