from __future__ import annotations

import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.evidence import census
from pytest_agenttasks.evidence.census import Census, Status, Test, Unreadable, merge, parse, read

Case = tuple[str, str, str, Status]

INNER = {
    Status.PASSED: "",
    Status.FAILED: "<failure message='no'>assert 0</failure>",
    Status.ERROR: "<error/>",
    Status.SKIPPED: "<skipped type='pytest.skip'/>",
    Status.XFAILED: "<skipped type='pytest.xfail'/>",
}


def report(*cases: Test, announced: int | None = None, name: str = "jest") -> bytes:
    """A report with these testcases."""
    suite = ET.Element("testsuite", name=name, tests=str(len(cases) if announced is None else announced))
    for case in cases:
        node = ET.SubElement(suite, "testcase", classname=case.classname, name=case.name)
        if case.file:
            node.set("file", case.file)
        if INNER[case.status]:
            node.append(ET.fromstring(INNER[case.status]))
    return b'<?xml version="1.0" encoding="utf-8"?>' + ET.tostring(suite)


def one(inner: str) -> Test:
    (test,) = parse(f"<testsuite><testcase classname='c' name='n' {inner}</testsuite>".encode()).tests
    return test


@pytest.mark.parametrize(
    ("inner", "status"),
    [
        ("/>", Status.PASSED),
        ("><system-out>failure</system-out></testcase>", Status.PASSED),
        ("><failure/></testcase>", Status.FAILED),
        ("><error>x</error></testcase>", Status.ERROR),
        ("><skipped/></testcase>", Status.SKIPPED),
        ("><skipped type='pytest.xfail'/></testcase>", Status.XFAILED),
        ("><failure/><skipped/></testcase>", Status.FAILED),
        ("><skipped/><failure/></testcase>", Status.FAILED),
        ("><properties><failure/></properties></testcase>", Status.PASSED),
        ("status='notrun'/>", Status.SKIPPED),
        ("><flakyFailure/></testcase>", Status.PASSED),
    ],
)
def test_how_a_test_ended(inner: str, status: Status) -> None:
    assert one(inner).status is status


def test_suites_may_be_nested() -> None:
    inner = "<testsuite><testcase name='b'/></testsuite>"
    text = f"<testsuites><testsuite tests='2'><testcase name='a'/>{inner}</testsuite></testsuites>"
    found = parse(text.encode())
    assert [test.name for test in found.tests] == ["a", "b"]
    assert found.short == 0


@pytest.mark.parametrize(
    ("attributes", "short"),
    [
        ("tests='3'", 2),
        ("tests='3' skipped='2'", 0),
        ("tests='0'", 0),
        ("tests='many'", 0),
        ("tests='٣'", 0),
        ("tests='99999999999999'", 0),
        ("tests='3' name='pytest'", 0),
    ],
)
def test_a_report_that_announces_more_than_it_holds_is_short(attributes: str, short: int) -> None:
    assert parse(f"<testsuite {attributes}><testcase name='a'/></testsuite>".encode()).short == short


def test_of_two_results_of_one_test_the_worse_counts_but_a_retry_that_passed() -> None:
    def found(*statuses: Status) -> Status:
        (test,) = parse(report(*(Test("c", "n", status) for status in statuses))).tests
        return test.status

    assert found(Status.FAILED, Status.ERROR) is Status.ERROR
    assert found(Status.ERROR, Status.FAILED) is Status.ERROR
    assert found(Status.PASSED, Status.FAILED) is Status.FAILED
    assert found(Status.FAILED, Status.PASSED) is Status.PASSED
    assert found(Status.PASSED, Status.SKIPPED) is Status.PASSED


BILLION = """<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>"""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is not whole XML"),
        (b"<testsuite><testcase name='a'/>", "is not whole XML"),
        (b"<testsuite/><testsuite/>", "is not whole XML"),
        (b"<testsuite><testcase name='\xff'/></testsuite>", "is not whole XML"),
        (b"<testsuite><testcase name='\xed\xa0\x80'/></testsuite>", "is not whole XML"),
        (b"<testsuite><testcase name='&#xD800;'/></testsuite>", "is not whole XML"),
        (b"<testsuite><testcase name='&x;'/></testsuite>", "is not whole XML"),
        (
            "<testsuite><testcase name='\ud800'/></testsuite>".encode("utf-16", "surrogatepass"),
            "is not|holds text",
        ),
        (b"<?xml version='1.0' encoding='no-such'?><testsuite/>", "is not|holds text"),
        (BILLION.encode(), "declares a document type"),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><testsuite/>", "declares a document type"),
        (b"<html/>", "starts with <html>"),
        (b"<testsuite>" + b"<a>" * 100_000, "is nested more than 64 deep"),
    ],
)
def test_what_is_no_report_is_refused_in_words(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse(data)


def test_a_report_is_limited_in_size_and_number_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    data = report(*(Test("c", str(n), Status.PASSED) for n in range(20)))
    monkeypatch.setattr(census, "MAX_TESTS", 10)
    with pytest.raises(Unreadable, match="more than 10 tests"):
        parse(data)
    monkeypatch.setattr(census, "MAX_BYTES", 10)
    with pytest.raises(Unreadable, match="is larger than"):
        parse(data)


def test_long_names_are_cut_and_stay_apart() -> None:
    long = "x" * 100_000
    first, second = parse(
        report(Test("c", f"{long}1", Status.PASSED), Test("c", f"{long}2", Status.PASSED))
    ).tests
    assert len(first.name) <= census.LONGEST_NAME
    assert first.name != second.name


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_bytes(report(Test("c", "n", Status.PASSED)))
    assert len(read(file).tests) == 1
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(OSError, match="symbolic links"):
        read(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="is not a file"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("classname", "name", "file", "shown"),
    [
        ("tests.test_a", "test_x[1]", "tests/test_a.py", "tests/test_a.py::test_x[1]"),
        ("tests.test_a.TestC", "test_x", "tests/test_a.py", "tests/test_a.py::TestC::test_x"),
        ("tests.test_ab", "test_x", "tests/test_a.py", "tests.test_ab::test_x"),
        ("Suite one", "works", "", "Suite one::works"),
        ("", "works", "", "works"),
    ],
)
def test_a_test_is_shown_as_pytest_prints_it(classname: str, name: str, file: str, shown: str) -> None:
    assert Test(classname, name, Status.PASSED, file).shown == shown


xml_text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"),
    max_size=20,
)
tests = st.builds(Test, xml_text, xml_text, st.sampled_from(Status), xml_text)


@given(st.lists(tests, unique_by=lambda test: test.key))
def test_what_was_written_is_read(cases: list[Test]) -> None:
    assert parse(report(*cases)) == Census(tuple(cases))


@given(
    st.binary() | st.text("<>/abcdetsiu='&; ").map(str.encode) | st.binary().map(lambda b: b"<testsuite>" + b)
)
def test_no_bytes_do_harm(data: bytes) -> None:
    try:
        found = parse(data)
    except Unreadable as error:
        str(error).encode()
    else:
        assert isinstance(found, Census)


@given(st.lists(tests), st.integers(0, 200))
def test_a_truncated_report_is_never_taken_for_a_whole_one(cases: list[Test], cut: int) -> None:
    data = report(*cases)
    with pytest.raises(Unreadable):
        parse(data[: max(len(data) - 1 - cut, 0)])


@given(st.lists(st.lists(tests)))
def test_merging_reports_loses_no_test(found: list[list[Test]]) -> None:
    whole = merge(Census(tuple(cases)) for cases in found)
    assert {test.key for test in whole.tests} == {test.key for cases in found for test in cases}
    assert len(whole.tests) == len({test.key for test in whole.tests})


def test_ten_thousand_tests_take_a_moment() -> None:
    data = report(
        *(
            Test(f"tests.test_{n % 100}", f"test_{n}[{n}]", Status.PASSED, f"tests/test_{n % 100}.py")
            for n in range(10_000)
        )
    )
    begun = time.process_time()
    found = parse(data)
    assert len(found.tests) == 10_000
    assert time.process_time() - begun < 0.5
