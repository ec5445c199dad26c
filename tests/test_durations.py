"""Durations in settings and in reports."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.settings.durations import (
    LONGEST,
    PATTERN,
    Seconds,
    format_duration,
    parse_duration,
    short_duration,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("45m", 2700),
        ("2h", 7200),
        ("1.5h", 5400),
        ("30", 30),
        (30, 30),
        (0, 0),
        (2.5, 2.5),
        (" 5m ", 300),
    ],
)
def test_seconds_or_a_number_with_a_unit(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5 m",
        "5x",
        "1h30m",
        "-5",
        -5,
        "5M",
        "٣s",
        "1e3",
        ".5h",
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        10**400,
        "366h" * 9,
    ],
)
def test_anything_else_says_what_is_allowed(written: object) -> None:
    with pytest.raises(
        ValueError, match=r"expected a duration: seconds, or a number with a unit such as 90s"
    ):
        parse_duration(written)


def test_the_longest_duration_is_a_year() -> None:
    assert parse_duration("8760h") == Seconds(LONGEST)
    assert parse_duration(LONGEST) == Seconds(LONGEST)
    for longer in ("8761h", LONGEST + 1):
        with pytest.raises(ValueError, match="365 days at most"):
            parse_duration(longer)


@given(st.from_regex(PATTERN, fullmatch=True))
def test_the_schemas_pattern_and_the_parser_agree(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError:
        assert float(text.strip().rstrip("smh")) * 3600 > LONGEST


@given(st.integers(0, LONGEST))
def test_a_short_duration_is_read_back(seconds: int) -> None:
    text = short_duration(seconds)
    assert parse_duration(text) == Seconds(seconds)
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3600, "1h"), (7200, "2h"), (720, "12m"), (30, "30"), (0, "0"), (90, "90"), (2.5, "2.5")],
)
def test_a_short_duration_uses_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert short_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.43, "0.4 s"),
        (0.97, "1 s"),
        (12.2, "12 s"),
        (59.4, "59 s"),
        (59.7, "1m 00s"),
        (185, "3m 05s"),
        (3599.6, "1h 00m"),
        (7800, "2h 10m"),
        (100_000, "27h 46m"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
