"""Headings and list items of a task file: only what Markdown calls so, by the short way and the long one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_agenttasks.tasks import markdown as task_markdown
from pytest_agenttasks.tasks.markdown import Heading, Item, headings, items, lines_of

_LINE = st.one_of(
    st.sampled_from(
        [
            *(
                "# Title",
                "## Files in Scope",
                "## Objective ##",
                "##\tTabbed",
                "##",
                "## #",
                "### Deeper",
                "#nothing",
            ),
            *(
                " ## Indented",
                "    ## code",
                "\t## code",
                "> ## quoted",
                "- ## in a list",
                "  ## below it",
                "\\## no",
            ),
            *(
                "```",
                "~~~",
                "````py",
                "  ```",
                "- ```",
                "<!--",
                "-->",
                "<div>",
                "</div>",
                "<b>",
                "- <div>",
                "<",
            ),
            *(
                "---",
                "===",
                "- - -",
                "-",
                "text",
                "  text",
                "",
                "",
                "    deep",
                "[a]: b",
                "[a]:",
                "> quote",
                ">",
            ),
            *(
                "- a",
                "- `b` — c",
                "* d",
                "+ e",
                "1. f",
                "2) g",
                "  - nested",
                "-h",
                "-  i",
                "-\tj",
                "- .k",
                "- @l",
            ),
            *(
                "- a  ",
                "- a\\",
                "-     code",
                "- [ ] todo",
                "-  ",
                "10. x",
                "- 1. x",
                "- _x_",
                "- ___",
                "- `",
                "- ``` x",
            ),
        ]
    ),
    st.text("#-`>< ab\t*=~_1.", max_size=8),
)
_LINES = st.lists(_LINE, max_size=14)
_REFERENCE = MarkdownIt("commonmark").disable("reference")


def reference_headings(lines: list[str]) -> list[tuple[int, str, int]]:
    tokens = _REFERENCE.parse("\n".join(lines))
    return [
        (int(token.tag[1]), tokens[at + 1].content, token.map[0])
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.tag in ("h1", "h2") and token.map
    ]


@given(_LINES)
def test_headings_are_those_of_markdown(lines: list[str]) -> None:
    assert [(h.level, h.name, h.start) for h in headings(lines)] == reference_headings(lines)


_PLAIN = st.lists(
    st.sampled_from(["- a", "- `b` — c", "* d", "+ .e", "- @f", "", "- 1. g", "- _h", "-", "i"])
)


@given(st.one_of(_LINES, _PLAIN))
def test_the_short_way_to_items_finds_what_the_long_one_does(lines: list[str]) -> None:
    # A space at the end of a blank line sends every text the long way.
    assert items(lines) == [item for item in items([*lines, "", " "])]  # noqa: C416


@given(_LINES, _LINES)
def test_a_section_reads_the_same_alone_and_within_its_file(before: list[str], body: list[str]) -> None:
    tokens = _REFERENCE.parse("\n".join([*before, "## Section", *body]))
    if ("## Section", len(before)) not in [
        (f"## {h.name}", h.start) for h in headings([*before, "## Section"])
    ]:
        return
    within = [
        token.map[0]
        for token in tokens
        if token.type == "list_item_open" and token.level == 1 and token.map and token.map[0] > len(before)
    ]
    assert [item.start + len(before) + 1 for item in items(body)] == within


@pytest.mark.parametrize("opening", ["```", "~~~", "<!--", "<div>"])
def test_a_heading_in_code_or_html_is_none(opening: str) -> None:
    assert headings([opening, "## Files in Scope", "- a"]) == []


def test_underlined_and_indented_headings_count() -> None:
    assert headings(["Title", "===", "Section", "---", "  ## Other"]) == [
        Heading(1, "Title", 0, 2),
        Heading(2, "Section", 2, 4),
        Heading(2, "Other", 4, 5),
    ]


def test_a_section_begins_after_its_heading() -> None:
    for more in ([], ["```", "```"]):
        assert headings(["# T", "## S", *more]) == [Heading(1, "T", 0, 1), Heading(2, "S", 1, 2)]


@pytest.mark.parametrize(
    "lines",
    [
        ["```", "- src/a.py", "```"],
        ["> - src/a.py"],
        ["<!--", "- src/a.py", "-->"],
        ["    - src/a.py"],
        ["text", "    - src/a.py"],
        ["-src/a.py"],
    ],
)
def test_a_list_in_code_quote_or_comment_is_none(lines: list[str]) -> None:
    assert items(lines) == []


def test_items_of_all_lists_are_found_with_their_lines() -> None:
    assert items(["- a", "", "text", "", "* b", "1. c", "   more"]) == [
        Item(0, "a", nested=False),
        Item(4, "b", nested=False),
        Item(5, "c\nmore", nested=False),
    ]


def test_an_item_that_holds_a_list_is_nested() -> None:
    assert items(["- a", "  - b", "- c"]) == [Item(0, "a", nested=True), Item(2, "c", nested=False)]
    assert items(["- - b"]) == [Item(0, "", nested=True)]
    assert items(["- a", "", "text", "", "> - quoted"]) == [Item(0, "a", nested=False)]
    assert items(["1. a", "   - b"]) == [Item(0, "a", nested=True)]
    assert items(["- a", "", "> - quoted"]) == [Item(0, "a", nested=False)]


def test_an_item_that_opens_otherwise_has_no_text() -> None:
    assert items(["- > a"]) == [Item(0, "", nested=False)]
    assert items(["- # a"]) == [Item(0, "", nested=False)]
    assert items(["-"]) == [Item(0, "", nested=False)]


def test_lazy_lines_belong_to_the_item() -> None:
    assert items(["- src/a.py", "src/b.py"]) == [Item(0, "src/a.py\nsrc/b.py", nested=False)]


def test_the_usual_scope_needs_no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_markdown, "_BLOCKS", None)
    assert len(items(["", "- src/a.py", "- `src/b.py` — comment", "* .github/x", ""])) == 3
    assert len(headings(["# T", "text", "## S", "- a", "### deeper"])) == 2


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "\ufeffa\nb"])
def test_lines_have_no_ends(text: str) -> None:
    assert lines_of(text) == ["a", "b"]


def test_only_line_ends_end_lines() -> None:
    assert lines_of("a\x0bb\x85c\u2028d") == ["a\x0bb\x85c\u2028d"]
