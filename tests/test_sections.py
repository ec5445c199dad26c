"""The structure of a Markdown text, by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.memory.sections import Document, heading_name, parse

MARKDOWN_LINES = st.sampled_from(
    [
        "# A",
        "## B",
        "### B",
        "text",
        "===",
        "---",
        "- a",
        "  - b",
        "1. c",
        "* d",
        "```",
        "<!--",
        "-->",
        "> q",
        "    x",
        "",
        " ",
    ]
)
MARKDOWN = st.builds(
    lambda bom, lines, newline, end: bom + newline.join(lines) + end,
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.one_of(MARKDOWN_LINES, st.text(max_size=8)), max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\n"]),
)


def titles(document: Document) -> list[str]:
    return [section.title for section in document.sections]


def content(document: Document, name: str) -> str:
    section = document.section(name)
    assert section is not None
    return "".join(document.lines[section.content : section.end])


def test_a_section_reaches_to_the_next_heading_of_any_level() -> None:
    document = parse("top\n# One\na\n## Two\nb\n# Three\nc")
    assert titles(document) == ["", "One", "Two", "Three"]
    assert [content(document, name) for name in ("one", "two", "three")] == ["a\n", "b\n", "c"]
    assert [section.path for section in document.sections] == [(), ("one",), ("one", "two"), ("three",)]


def test_an_underlined_heading_is_one_too() -> None:
    document = parse("One\n===\na\n\nTwo\n---\nb\n")
    assert [(s.level, s.title, s.content) for s in document.sections] == [
        (0, "", 0),
        (1, "One", 2),
        (2, "Two", 6),
    ]


def test_code_comments_quotes_and_lists_hold_no_headings() -> None:
    text = "```\n# code\n```\n<!--\n# comment\n-->\n> # quote\n\n- # item\n\n    # indented\n\n# Real\n"
    assert titles(parse(text)) == ["", "Real"]


def test_an_open_fence_swallows_the_rest() -> None:
    assert titles(parse("# One\n```\n# Two\n")) == ["", "One"]


def test_items_have_their_first_paragraph_depth_and_lines() -> None:
    document = parse("- a\n  more\n  - b\n\n\n- c\n-\n\n> - q\n")
    assert [(i.text, i.depth, i.start, i.end) for i in document.items] == [
        ("a\nmore", 0, 0, 3),
        ("b", 1, 2, 3),
        ("c", 0, 5, 6),
        ("", 0, 6, 7),
        ("q", 0, 8, 9),
    ]
    assert [(b.start, b.end, b.is_list, b.markup) for b in document.blocks] == [
        (0, 7, True, "-"),
        (8, 9, False, ">"),
    ]


def test_an_empty_item_does_not_take_the_text_after_the_list() -> None:
    assert [item.text for item in parse("-\n\ntext\n").items] == [""]


def test_a_line_ends_only_where_markdown_says_so() -> None:
    document = parse("a\u2028b\x0cc\x85d\r\ne\rf\n")
    assert document.lines == ("a\u2028b\x0cc\x85d\r\n", "e\r", "f\n")
    assert document.newline == "\r\n"


def test_a_bom_is_no_part_of_the_first_line() -> None:
    document = parse("\ufeff# One\n")
    assert (document.bom, titles(document)) == ("\ufeff", ["", "One"])


@given(MARKDOWN)
def test_sections_tile_the_text(text: str) -> None:
    document = parse(text)
    assert document.bom + "".join(document.lines) == text
    assert document.sections[0].start == 0
    assert document.sections[-1].end == len(document.lines)
    for section, following in zip(document.sections, document.sections[1:], strict=False):
        assert section.start <= section.content <= section.end == following.start


@pytest.mark.parametrize(
    "title",
    [
        "Known Issues",
        "KNOWN  issues",
        "**Known Issues**",
        "3. Known Issues",
        "🐛 Known Issues:",
        "Known Issues (open ones)",
    ],
)
def test_decoration_of_a_heading_does_not_count(title: str) -> None:
    assert heading_name(title) == "known issues"


@pytest.mark.parametrize("title", ["Known", "Known Issues and more", "Unknown Issues", "", "()"])
def test_other_words_do(title: str) -> None:
    assert heading_name(title) != "known issues"


def test_an_edit_keeps_line_ends_and_bom() -> None:
    document = parse("\ufeff# One\r\na\r\nb")
    assert document.edited(3, ["c"], without={1}) == "\ufeff# One\r\nb\r\nc\r\n"


def test_an_edit_that_would_make_or_hide_a_heading_is_refused() -> None:
    document = parse("# One\ntext\n# Two\n")
    assert document.edited(2, ["---"]) is None
    assert document.edited(2, ["```"]) is None
    assert document.edited(1, ["# Three"]) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# One\n- a\n\n# Two\n", "# One\n- a\n- new\n\n# Two\n"),
        ("# One\n- a\n# Two\n", "# One\n- a\n- new\n\n# Two\n"),
        ("# One\n* a\n", "# One\n* a\n\n- new\n"),
        ("# One\ntext\n\nTwo\n---\n", "# One\ntext\n\n- new\n\nTwo\n---\n"),
        ("# One\n\n# Two\n", "# One\n\n- new\n\n# Two\n"),
        ("# One\n# Two\n", "# One\n\n- new\n\n# Two\n"),
        ("# One", "# One\n\n- new\n"),
    ],
)
def test_lines_are_appended_to_a_section_with_the_blank_lines_they_need(before: str, after: str) -> None:
    document = parse(before)
    section = document.section("one")
    assert section is not None
    assert document.appended(section, ["- new"]) == after


def test_the_bullet_is_that_of_the_list_at_the_end_of_the_section() -> None:
    document = parse("* a\n# One\n+ b\n\ntext\n# Two\n- c\n\n* d\n")
    assert [document.bullet(section) for section in document.sections] == ["*", "-", "*"]


@given(MARKDOWN, st.data())
def test_appending_keeps_every_line_and_the_outline(text: str, data: st.DataObject) -> None:
    document = parse(text)
    section = data.draw(st.sampled_from(document.sections))
    appended = document.appended(section, ["- new"])
    if appended is None:
        assert document.blocks[-1].kind in ("fence", "html_block")
        return
    result = parse(appended)
    assert result.outline == document.outline
    kept = [line.rstrip("\r\n") for line in result.lines]
    for line in (line.rstrip("\r\n") for line in document.lines):
        kept = kept[kept.index(line) + 1 :]
