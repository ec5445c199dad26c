from __future__ import annotations

import os
import shlex
import threading
from pathlib import Path

import pytest

from pytest_agenttasks.evidence import reports
from pytest_agenttasks.evidence.reports import Expected, Left, collect, expect, gathering
from pytest_agenttasks.settings.records import GateSettings
from pytest_agenttasks.trees.places import Place

GREEN = '<testsuite><testcase name="{}"/></testsuite>'


@pytest.fixture
def where(tmp_path: Path) -> Place:
    place = Place("gate", 0, tmp_path / "place", tmp_path / "place/project", tmp_path / "index")
    place.path.mkdir(parents=True)
    place.tmp.mkdir()
    return place


def gate(run: str = "pytest", junit: str | None = None) -> GateSettings:
    return GateSettings(name="tests", run=run, junit=junit)


def asked(expected: Expected, folder: Path | str) -> Path:
    """Where a pytest that is started in `folder` writes its report."""
    found = shlex.split(expected.variables({})["PYTEST_ADDOPTS"])[0].removeprefix("--junitxml=")
    return Path(found.replace("$PWD", str(folder)))


def write(file: Path, *names: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(GREEN.format(name) for name in names))


def names(left: Left) -> list[str]:
    assert left.census is not None, left.problem
    return sorted(test.name for test in left.census.tests)


def test_pytest_is_asked_after_what_the_gate_asks_itself(where: Place) -> None:
    expected = expect(gate(), where, ())
    options = expected.variables({"PYTEST_ADDOPTS": "-x -m 'not slow'"})["PYTEST_ADDOPTS"]
    assert shlex.split(options)[:3] == ["-x", "-m", "not slow"]
    assert str(where.tmp) in options
    assert expect(gate(junit="r.xml"), where, ()).variables({"PYTEST_ADDOPTS": "-x"}) == {}


def test_no_two_runs_of_a_gate_share_a_place(where: Place) -> None:
    assert asked(expect(gate(), where, ()), "/") != asked(expect(gate(), where, ()), "/")


def test_each_report_is_moved_aside_and_its_writer_goes_on(where: Place) -> None:
    expected = expect(gate(), where, ())
    file = asked(expected, where.path)
    file.parent.mkdir(parents=True)
    with gathering(expected):
        for name in ("one", "two"):
            with file.open("w") as stream:
                for _ in range(1000):
                    if not file.exists():
                        break
                    threading.Event().wait(0.01)
                stream.write(GREEN.format(name))
    assert names(collect(expected)) == ["one", "two"]
    assert not os.listdir(where.tmp)


def test_what_was_started_elsewhere_does_not_count(where: Place) -> None:
    expected = expect(gate(), where, ())
    write(asked(expected, where.path / "api"), "inside")
    write(asked(expected, "$PWD"), "without a folder")
    write(asked(expected, "/somewhere/else"), "elsewhere")
    nested = asked(expected, where.path)
    write(nested.with_name("report" + "tests::test_x (call).xml"), "nested")
    assert names(collect(expected)) == ["inside", "without a folder"]


def test_the_gates_own_report_counts_when_it_is_fresh(where: Place) -> None:
    file = where.path / "out/own.xml"
    write(file, "old")
    os.utime(file, (1, 1))
    expected = expect(gate("pytest --junit-xml=out/own.xml"), where, ())
    assert collect(expected) == Left()
    write(file, "new")
    assert names(collect(expected)) == ["new"]


def test_a_hostile_folder_is_not_followed(where: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "keep.xml", "x")
    expected = expect(gate(), where, ())
    expected.folder.symlink_to(outside)
    assert collect(expected) == Left()
    assert (outside / "keep.xml").exists()
    assert not expected.folder.exists()


def test_a_pipe_in_the_place_of_a_report_blocks_nobody(where: Place) -> None:
    expected = expect(gate(), where, ())
    file = asked(expected, where.path)
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    assert collect(expected).problem == "its test report is not a file"


def test_only_reports_in_the_checkout_are_deleted_or_read(where: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "report.xml", "x")
    (where.path / "linked").symlink_to(outside)
    write(where.path / "reports/old.xml", "x")
    (where.path / "reports/folder.xml").mkdir()
    expect(gate(junit="reports/*.xml"), where, ())
    assert os.listdir(where.path / "reports") == ["folder.xml"]
    expected = expect(gate(junit="linked/*.xml"), where, ())
    assert (outside / "report.xml").exists()
    assert collect(expected).problem == "its report `linked/report.xml` lies outside the checkout"


def test_reports_are_limited_together(where: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = expect(gate(junit="*.xml"), where, ())
    write(where.path / "a.xml", "a")
    write(where.path / "b.xml", "b")
    assert names(collect(expected)) == ["a", "b"]
    monkeypatch.setattr(reports, "_MOST_FILES", 1)
    assert "it left 2 reports" in collect(expected).problem
    monkeypatch.setattr(reports, "_MOST_FILES", 9)
    monkeypatch.setattr(reports, "MAX_BYTES", 60)
    assert "hold more than" in collect(expected).problem
