"""YAML for settings and task files: YAML 1.2's plain values, nothing clever, every error with its line."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.settings.strict_yaml import MAX_BYTES, MAX_DEPTH, YamlError, dotted, parse

LOADERS = [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("17:30", "17:30"),
        ("1:30:00", "1:30:00"),
        ("1:30.5", "1:30.5"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("2026-01-31", "2026-01-31"),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("=", "="),
        ("[a, [b], {c: d}]", ["a", ["b"], {"c": "d"}]),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_plain_values_mean_what_yaml_1_2_says(written: str, meant: object, loader: Any) -> None:
    value = parse(f"key: {written}", loader=loader).value["key"]
    assert value == meant
    assert type(value) is type(meant)


def test_no_document_is_none(loader: Any) -> None:
    assert parse("", loader=loader).value is None
    assert parse("# only a comment\n", loader=loader).value is None


def test_every_value_has_its_line(loader: Any) -> None:
    document = parse("a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n", loader=loader)
    assert document.value == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert document.line(("b", 0)) == 3
    assert document.line(("b", 1, "d")) == 5


def test_a_place_that_is_not_there_has_the_line_of_what_encloses_it() -> None:
    document = parse("a: 1\nb:\n  c: 2\n")
    assert document.line(("b", "missing", 3)) == 2
    assert document.line(("nowhere",)) == 0
    assert document.line(()) == 0


def test_lines_count_from_where_the_part_starts_in_its_file() -> None:
    assert parse("a: 1\nb: 2\n", first_line=5).line(("b",)) == 6
    with pytest.raises(YamlError) as caught:
        parse("a: 1\na: 2\n", first_line=5)
    assert caught.value.line == 6


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key `a` is written twice"),
        ("x: {a: 1, a: 2}", 1, "the key `a` is written twice"),
        ("a: 1\n2: x\n", 2, "the key `2` is not text"),
        ("true: x\n", 1, "the key `true` is not text"),
        ("? [a]\n: 1\n", 1, "a list or mapping as a key is not text"),
        ("a: &x [1]\n", 1, "anchors and aliases (`x`) are not supported"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases (`x`) are not supported"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "the tag `!!python/object/apply:os.system` is not"),
        ("a: !custom 1\n", 1, "the tag `!custom` is not supported"),
        ("a: !!set {b}\n", 1, "the tag `!!set` is not supported"),
        ('a: !!int "3"\n', 1, "the tag `!!int` is not supported"),
        ("a: 1\n---\nb: 2\n", 2, "a second document starts here"),
        ('a: "x\\0y"\n', 1, "NUL"),
        ("a: [1,\n", 2, "not valid YAML"),
        ("a: 1\n  b: 2\n", 2, "not valid YAML"),
        ("a:\n\tb: 1\n", 2, "not valid YAML"),
        ("ok: 1\na: \x01\n", 2, "the character 0x0001 is not allowed"),
        ("a: " + "[" * (MAX_DEPTH + 1), 1, "nested more than"),
    ],
)
def test_what_is_refused_is_refused_with_its_line(text: str, line: int, words: str, loader: Any) -> None:
    with pytest.raises(YamlError) as caught:
        parse(text, loader=loader)
    assert words in caught.value.message
    assert caught.value.line == line


def test_a_merge_key_is_a_key_like_any_other(loader: Any) -> None:
    assert parse("<<: {a: 1}\na: 2\n", loader=loader).value == {"<<": {"a": 1}, "a": 2}


def test_bytes_are_utf8_with_or_without_a_byte_order_mark() -> None:
    assert parse("ä: ö".encode()).value == {"ä": "ö"}
    assert parse(b"\xef\xbb\xbfa: 1").value == {"a": 1}
    with pytest.raises(YamlError, match="not UTF-8") as caught:
        parse(b"a: 1\nb: \xff\n")
    assert caught.value.line == 2


def test_depth_up_to_the_limit_is_fine(loader: Any) -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse(deep, loader=loader).value) == deep


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 400_000,
        "{a: " * 200_000,
        "- " * 400_000,
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(40)),
        "x" * (MAX_BYTES + 1),
    ],
    ids=["lists", "mappings", "sequences", "aliases", "size"],
)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    started = time.monotonic()
    with pytest.raises(YamlError):
        parse(bomb)
    assert time.monotonic() - started < 5


def error_line(text: str, loader: Any) -> int:
    """The line of the error in `text`; 0 when there is none."""
    try:
        parse(text, loader=loader)
    except YamlError as error:
        return error.line
    return 0


@given(st.text(max_size=200) | st.text(alphabet="ab:-?[]{},&*!|>'\"#%@` \n\t01", max_size=60))
def test_any_text_is_a_document_or_a_yaml_error(text: str) -> None:
    for loader in LOADERS:
        line = error_line(text, loader)
        assert 0 <= line <= len(text.splitlines()) + 2


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_a_yaml_error(data: bytes) -> None:
    try:
        parse(data)
    except YamlError:
        return


_TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(_JSON)
def test_json_is_read_as_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for loader in LOADERS:
        assert parse(text, loader=loader).value == value


@pytest.mark.parametrize(
    ("place", "text"),
    [(("gates", 0, "run"), "gates[0].run"), (("agent",), "agent"), ((0, "a"), "[0].a"), ((), "")],
)
def test_places_are_written_as_people_write_them(place: tuple[str | int, ...], text: str) -> None:
    assert dotted(place) == text
