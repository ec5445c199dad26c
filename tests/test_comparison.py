from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.evidence.census import Census, Status, Test
from pytest_agenttasks.evidence.comparison import NAMES_TOLD, Known, lost, told, touched
from pytest_agenttasks.tasks.guarded_files import usual_test
from pytest_agenttasks.trees.changes import ABSENT_MODE, Change

P, F, E, S, X = Status.PASSED, Status.FAILED, Status.ERROR, Status.SKIPPED, Status.XFAILED


def of(**statuses: Status) -> Census:
    """A census of `test_NAME`; `a_1` stands for the parametrized `test_a[1]`."""
    return Census(tuple(_test(name, status) for name, status in statuses.items()))


def _test(name: str, status: Status) -> Test:
    function, _, case = name.partition("_")
    return Test("tests.test_a", f"test_{function}" + f"[{case}]" * bool(case), status, "tests/test_a.py")


def gone(before: Census, now: Census) -> dict[str, Status | None]:
    return {item.test.name: item.now for item in lost(before, now)}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (of(a=P, b=P), of(a=P, b=P, c=P), {}),
        (of(a=P, b=P), of(a=P), {"test_b": None}),
        (of(a=P), of(a=S), {"test_a": S}),
        (of(a=P), of(a=X), {"test_a": X}),
        (of(a=F), of(a=S), {"test_a": S}),
        (of(a=P), of(a=F), {}),
        (of(a=S, b=X), of(), {}),
        (of(a=S), of(a=P), {}),
        (of(a_1=P, a_2=P), of(a_3=P, a_4=P), {}),
        (of(a_1=P, a_2=P), of(a_1=P), {"test_a[2]": None}),
        (of(a_1=P, a_2=P), of(a_1=P, a_2=S), {"test_a[2]": S}),
        (of(a_1=P, a_2=P), of(a_1=P, a_3=S), {"test_a[2]": None}),
        (of(a_1=P, a_2=P), of(), {"test_a[1]": None, "test_a[2]": None}),
    ],
)
def test_what_is_lost(before: Census, now: Census, expected: dict[str, Status | None]) -> None:
    assert gone(before, now) == expected


names = st.sampled_from(["a", "b", "a_1", "a_2", "a_3", "b_1"])
censuses = st.dictionaries(names, st.sampled_from(Status)).map(lambda found: of(**found))


@given(censuses)
def test_nothing_is_lost_without_a_change(census: Census) -> None:
    assert lost(census, census) == []


@given(censuses, censuses)
def test_as_many_are_lost_as_each_function_runs_less(before: Census, now: Census) -> None:
    def ran(census: Census, function: str) -> int:
        return sum(t.status.ran for t in census.tests if t.name.partition("[")[0] == function)

    found = [item.test.name.partition("[")[0] for item in lost(before, now)]
    for function in ("test_a", "test_b"):
        assert found.count(function) == max(ran(before, function) - ran(now, function), 0)


def change(name: str, *, added: bool = False, deleted: bool = False) -> Change:
    old, new = (ABSENT_MODE if added else "100644"), (ABSENT_MODE if deleted else "100644")
    return Change(name.encode(), old, new, "a" * 40, "b" * 40)


@pytest.mark.parametrize(
    ("classname", "file", "changed", "expected"),
    [
        ("tests.test_a", "tests/test_a.py", "tests/test_a.py", True),
        ("tests.test_a", "tests/test_a.py", "tests/test_b.py", False),
        ("tests.test_a", "tests/test_a.py", "api/tests/test_a.py", True),
        ("tests.test_a", "tests/test_a.py", "tests.py", False),
        ("tests.test_a.TestX", "tests/base.py", "tests/test_a.py", True),
        ("com.acme.FooTest", "", "src/test/java/com/acme/FooTest.java", True),
        ("com.acme.FooTest", "", "src/test/java/com/acme/BarTest.java", False),
        ("adds numbers", "", "math.test.js", True),
        ("adds numbers", "", "math.js", False),
        ("x", "/place/project/math.test.js", "math.test.js", True),
    ],
)
def test_a_test_is_found_in_the_changed_files(
    classname: str, file: str, changed: str, expected: bool
) -> None:
    test = Test(classname, "works", P, file)
    assert touched(test, [change(changed)], [n for n in [changed] if usual_test(n)]) is expected
    assert touched(test, [change(changed, deleted=True)], [n for n in [changed] if usual_test(n)]) is expected
    assert not touched(test, [change(changed, added=True)], [])


@pytest.mark.parametrize(
    ("written", "test"),
    [
        ("tests/test_a.py::test_x", Test("tests.test_a", "test_x", F)),
        ("tests/test_a.py::TestC::test_x[a::b/c.py]", Test("tests.test_a.TestC", "test_x[a::b/c.py]", F)),
        ("Suite one::works", Test("Suite one", "works", F)),
        ("a::b::works", Test("a::b", "works", F)),
        ("works", Test("", "works", F)),
    ],
)
def test_known_red_takes_ids_as_they_are_printed(written: str, test: Test) -> None:
    assert test in Known([written])
    assert test not in Known([f"{written}2"])
    assert Known([written]).passing(Census((Test(test.classname, test.name, P),))) == [written]


def test_what_is_told_of_a_red_gate() -> None:
    before = of(a=P, b=F, c=F)
    now = of(a=F, b=F, c=F, d=E, e=S)
    assert told(now, before, Known(["tests/test_a.py::test_c"])) == [
        "tests: 3 failed, 1 error, 1 skipped",
        "  new failure: tests/test_a.py::test_a",
        "  new failure: tests/test_a.py::test_d",
        "  was red before: tests/test_a.py::test_b",
        "  known_red: tests/test_a.py::test_c",
    ]
    assert told(of(a=F), None, Known([])) == ["tests: 1 failed", "  failed: tests/test_a.py::test_a"]
    assert told(Census(), None, Known([])) == ["tests: none"]


def test_at_most_fifty_names_are_told_and_hostile_ones_are_made_harmless() -> None:
    many = Census(tuple(Test("m", f"t{n}\x1b[31m\n", F) for n in range(NAMES_TOLD + 7)))
    lines = told(many, None, Known([]))
    assert len(lines) == NAMES_TOLD + 2
    assert lines[-1] == "  and 7 more"
    assert not any("\x1b" in line or "\n" in line for line in lines)


def test_ten_thousand_tests_are_compared_in_a_moment() -> None:
    whole = Census(tuple(Test(f"m{n % 100}", f"t{n // 10}[{n}]", P) for n in range(10_000)))
    begun = time.process_time()
    assert len(lost(whole, Census(whole.tests[:5000]))) == 5000
    assert time.process_time() - begun < 0.5
