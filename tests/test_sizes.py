"""Sizes as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.settings.schema import schema
from pytest_agenttasks.settings.sizes import ALLOWED, format_size, parse_size
from tests.settings_texts import Read, message, reader


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path / "agenttasks.yaml")


@pytest.mark.parametrize(("text", "size"), [("16M", 16 << 20), ("4G", 4 << 30), ("1T", 1 << 40)])
def test_a_size_is_a_number_and_a_unit(read: Read, text: str, size: int) -> None:
    assert parse_size(text) == size
    assert read(f"limits: {{memory: {text}}}").limits.memory == size


@pytest.mark.parametrize(
    "value", ["15M", "4", "4GB", "4 G", "0.5G", "-1G", "0G", "", "G", 4, 4.5, True, ["4G"]]
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 512M or 4G"):
        parse_size(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("limits: {memory: 4}", f"agenttasks.yaml:1: `limits.memory`: expected {ALLOWED}, or null, got 4"),
        (
            "sandbox: none\nlimits:\n  memory: much",
            f'agenttasks.yaml:3: `limits.memory`: expected {ALLOWED}, or null, got the text "much"',
        ),
        (
            "limits: {processes: 3}",
            "agenttasks.yaml:1: `limits.processes`: expected a whole number from 16 to 4194304, or null, got 3",
        ),
        ("limits: {cpu: 3}", "agenttasks.yaml:1: unknown key `limits.cpu` (allowed here: memory, processes)"),
        (
            "limits: 4G",
            'agenttasks.yaml:1: `limits`: expected keys and values (memory, processes), got the text "4G"',
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(read: Read, text: str, said: str) -> None:
    assert message(read, text) == said


def test_null_is_the_default(read: Read) -> None:
    assert read("limits: {memory: null, processes: null}") == read("limits:") == read("")
    assert schema()["$defs"]["LimitsSettings"]["properties"]["memory"]["default"] is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1536, "1.5 KB"),
        (20 << 20, "20 MB"),
        (3 << 40, "3.0 TB"),
        (9 << 50, "9216 TB"),
    ],
)
def test_a_size_for_people(size: int, text: str) -> None:
    assert format_size(size) == text
