"""Reading JUnit files strictly: well-formed, by the schema, one testcase a task."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import xmlschema

_SCHEMA = Path(__file__).with_name("junit.xsd")


def cases_of(file: Path) -> dict[str, ET.Element]:
    """The testcases by name, after checking the file against the schema."""
    xmlschema.XMLSchema(str(_SCHEMA)).validate(str(file))
    suite = next(ET.parse(file).iter("testsuite"))
    cases = {case.get("name", ""): case for case in suite.iter("testcase")}
    assert suite.get("tests") == str(len(cases)) == str(len(suite.findall("testcase")))
    return cases


def properties(case: ET.Element) -> dict[str, str]:
    return {found.get("name", ""): found.get("value", "") for found in case.iter("property")}
