"""What reaches terminals, reports and prompts is harmless, and says as much of the original as it can."""

from __future__ import annotations

import os
import re
import time
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_agenttasks.report.printable import one_line, printable, tail, tail_of_file

ANY_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cc", "Cs", "Cf"]),
        st.sampled_from("\x1b[]P;\\m0\x07\x9b\x9d\r\n\t \u202e\ufffe"),
    )
)
BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@given(ANY_TEXT)
@example("\x1b\x1b[0m[31m")
@example("\x9b\x9b0m31m")
@example("a\x1b]0;\x1b[0mtitle\x07")
def test_the_result_is_harmless_everywhere(text: str) -> None:
    result = printable(text)
    result.encode("utf-8")
    assert not XML_FORBIDDEN.search(result)
    assert {c for c in result if unicodedata.category(c) in ("Cc", "Cs")} <= {"\n", "\t"}
    assert not set(result) & set(BIDI_CONTROLS)
    element = ET.Element("failure")
    element.text = result
    assert ET.fromstring(ET.tostring(element)).text == (result or None)


@given(ANY_TEXT)
def test_printing_twice_changes_nothing_more(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"], max_codepoint=0xDFFFF)))
def test_ordinary_text_of_every_language_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx\x1b[?25l\x1b[2K\x1b[1 q", "x"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP+q544e\x1b\\x\x1b_Gpayload\x1b\\", "x"),
        ("\x1b(Bx\x1b7y\x1b8\x1bc", "xy"),
        ("\x9d0;t\x9cx", "x"),
    ],
)
def test_terminal_sequences_are_removed(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x00b", "a\\x00b"),
        ("\x07\x08\x7f\x0b\x0c", "\\x07\\x08\\x7f\\x0b\\x0c"),
        ("\x85\u2028\u2029", "\\u0085\\u2028\\u2029"),
        ("\ud800 \udcff", "\\ud800 \\udcff"),
        ("\ufffe\uffff", "\\ufffe\\uffff"),
        ("user\u202enimda", "user\\u202enimda"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("hidden\U000e0041", "hidden\\U000e0041"),
        ("\x1b", "\\x1b"),
        ("\x1b[31", "\\x1b[31"),
    ],
)
def test_unsafe_characters_are_shown_as_escapes(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_an_unterminated_sequence_hides_nothing_that_follows() -> None:
    assert printable("\x1b]0;title\nFAILED test_x\n") == "\\x1b]0;title\nFAILED test_x\n"


def test_a_family_emoji_and_joined_letters_stay_whole() -> None:
    text = "👨‍👩‍👧 می‌خواهم ⚠️"
    assert printable(text) == text


def test_a_long_run_of_one_control_character_is_counted_instead_of_repeated() -> None:
    assert printable("\x00" * 8) == "\\x00" * 8
    assert printable("a" + "\x00" * 4096 + "b") == "a\\x00*4096b"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("one\r\r\ntwo", "one\ntwo"),
        ("get 10%\rget 55%\rget 100%\ndone\n", "get 100%\ndone\n"),
        ("get 10%\rget 100%\r", "get 100%"),
        ("FAILED test_x\rall is well\n", "FAILED test_x\nall is well\n"),
        ("a\rb\ra\n", "a\nb\na\n"),
        ("\r\n\r\n", "\n\n"),
    ],
)
def test_carriage_returns_keep_one_state_of_each_wording(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_a_megabyte_of_hostile_text_is_no_burden() -> None:
    for piece in ("\x1b[1;", "\x1b]", "\x9d", "\x1b[ ", "x", "\x1bP\x9c"):
        started = time.process_time()
        printable(piece * 300_000 + "\r")
        assert time.process_time() - started < 5


def test_one_line_folds_and_cuts() -> None:
    assert one_line(" a\n\tb \x1b[1mc\r\n") == "a b c"
    assert one_line("x" * 300) == "x" * 199 + "…"
    assert one_line("abcdef", limit=6) == "abcdef"
    assert one_line("abc defg", limit=5) == "abc…"


@given(ANY_TEXT, st.integers(1, 300))
def test_one_line_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


def test_a_short_tail_is_the_whole() -> None:
    assert tail(b"one\ntwo\n") == "one\ntwo\n"
    assert tail(b"") == ""


def test_a_tail_starts_with_a_whole_line_and_says_what_is_missing() -> None:
    data = b"".join(b"line %04d\n" % n for n in range(1000))
    assert tail(data, 35) == "[… 9,970 bytes left out]\nline 0997\nline 0998\nline 0999\n"


def test_a_tail_within_one_endless_line_starts_at_a_character() -> None:
    note, text = tail("é".encode() * 100, 31).split("\n")
    assert (note, text) == ("[… 170 bytes left out]", "é" * 15)
    assert tail("😀".encode() * 10, 11) == "[… 32 bytes left out]\n😀😀"


def test_a_late_line_end_does_not_cost_most_of_the_tail() -> None:
    assert tail(b"a" * 100 + b"\nb", 50) == "[… 52 bytes left out]\n" + "a" * 48 + "\nb"


def test_undecodable_bytes_are_replaced() -> None:
    assert tail(b"caf\xe9\n") == "caf\ufffd\n"


@given(st.binary(max_size=400), st.integers(0, 120))
def test_a_tail_keeps_its_limit_and_counts_what_it_left_out(data: bytes, limit: int) -> None:
    text = tail(data, limit)
    left_out = 0
    if match := re.match(r"\[… (\d+) bytes left out\]\n", text):
        text, left_out = text[match.end() :], int(match[1])
    assert len(text.encode()) <= limit
    assert text == printable(data[left_out:].decode("utf-8", "replace"))


@given(data=st.binary(max_size=400), limit=st.integers(0, 120))
def test_the_tail_of_a_file_is_the_tail_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, limit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "log"
    path.write_bytes(data)
    assert tail_of_file(path, limit) == tail(data, limit)


def test_the_tail_of_a_huge_sparse_file_reads_only_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 1 << 36)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    assert tail_of_file(path, 20) == "[… 68,719,476,725 bytes left out]\n\\x00*11\nthe end\n"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tail_of_file(tmp_path / "log")
