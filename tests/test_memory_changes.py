"""What an agent may do to the memory file, and what becomes of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.memory.agent_changes import MAX_ADDED, Addition, agent_changes, merge_additions
from pytest_agenttasks.memory.sections import Document, Section, parse
from pytest_agenttasks.report.printable import one_line
from tests.markdown_texts import lines, memory_texts

BASE = """\
# Project

## Do Not Touch
- src/core/

## Active Task Queue
- 017-jwt: Rotate

## Completed Tasks Log
- 2026-11-20 014-a: First

## Known Issues
- flaky clock

### Windows
- slow

## Architectural Invariants
Layers only import downwards.

## Style
- tabs
"""
ISSUES = ("project", "known issues")


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def the_reason(agent: str) -> str:
    result = agent_changes(BASE, agent)
    assert result.additions == ()
    (violation,) = result.violations
    reason, _, allowed = violation.rpartition("; ")
    assert allowed == "an agent may only add lines under *Known Issues* and *Architectural Invariants*"
    return reason


def test_an_untouched_file_is_no_change() -> None:
    result = agent_changes(BASE, BASE)
    assert (result.additions, result.dropped, result.violations) == ((), (), ())


def test_lines_under_known_issues_and_invariants_are_kept() -> None:
    agent = changed("- flaky clock\n", "- flaky clock\n- new issue\n  with detail\n")
    agent = agent.replace("downwards.\n", "downwards.\n\nNo cycles.\n")
    result = agent_changes(BASE, agent)
    assert result.additions == (
        Addition(ISSUES, ("- new issue", "  with detail")),
        Addition(("project", "architectural invariants"), ("No cycles.",)),
    )
    assert result.violations == ()


def test_subsections_of_an_open_section_are_open() -> None:
    result = agent_changes(BASE, changed("- slow\n", "- slow\n- crlf\n"))
    assert result.additions == (Addition((*ISSUES, "windows"), ("- crlf",)),)


def test_lines_apart_are_additions_apart() -> None:
    result = agent_changes(BASE, changed("- flaky clock\n", "- one\n- flaky clock\n- two\n\n- three\n"))
    assert result.additions == (Addition(ISSUES, ("- one",)), Addition(ISSUES, ("- two", "", "- three")))


def test_an_insertion_before_an_equal_line_is_no_change_of_that_line() -> None:
    result = agent_changes(BASE, changed("- flaky clock\n", "- flaky clock\n- flaky clock\n"))
    assert result.violations == ()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "- 017-jwt: Rotate\n",
            "- [x] 017-jwt: Rotate\n",
            (
                "*Active Task Queue*: added `- [x] 017-jwt: Rotate`",
                "*Active Task Queue*: removed `- 017-jwt: Rotate`",
            ),
        ),
        ("- 2026-11-20 014-a: First\n", "", ("*Completed Tasks Log*: removed `- 2026-11-20 014-a: First`",)),
        (
            "014-a: First\n",
            "014-a: First\n### Today\n- done\n",
            ("*Completed Tasks Log*: added `### Today`", "*Completed Tasks Log*: added `- done`"),
        ),
    ],
)
def test_what_is_done_to_the_runners_sections_is_dropped(old: str, new: str, told: tuple[str, ...]) -> None:
    result = agent_changes(BASE, changed(old, new))
    assert (result.additions, result.violations) == ((), ())
    assert result.dropped == told


def test_a_long_list_of_dropped_lines_is_cut() -> None:
    result = agent_changes(BASE, changed("- 017-jwt: Rotate\n", "- 017-jwt: Rotate\n" + "- x\n" * 50))
    assert len(result.dropped) == 11
    assert result.dropped[-1] == "*Active Task Queue*: and 40 more"
    result = agent_changes(BASE, changed("- 017-jwt: Rotate\n", "- 017-jwt: Rotate\n" + "- x\n" * 11))
    assert result.dropped[-1] == "*Active Task Queue*: and 1 more"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("- src/core/\n", "", "line 4 of the base: removes or changes under *Do Not Touch*: `- src/core/`"),
        ("- src/core/\n", "- src/core/\n- x/\n", "line 5: adds lines under *Do Not Touch*: `- x/`"),
        ("- src/core/\n", "- src/core/x\n", ""),
        (
            "- flaky clock\n",
            "",
            "line 13 of the base: removes or changes under *Known Issues*: `- flaky clock`",
        ),
        ("- flaky clock\n", "  - flaky clock\n", ""),
        ("- tabs\n", "- tabs\n- more\n", "line 23: adds lines under *Style*: `- more`"),
        ("# Project\n", "hello\n# Project\n", "line 1: adds lines under the top: `hello`"),
        (
            "## Style\n",
            "## Security\n- open\n\n## Style\n",
            "line 21: adds or changes the heading *Security*",
        ),
        ("## Style\n", "## Fashion\n", "line 21: adds or changes the heading *Fashion*"),
        ("## Style\n", "### Style\n", "line 21: adds or changes the heading *Style*"),
        ("## Style\n- tabs\n", "", "line 21 of the base: removes, moves or hides the heading *Style*"),
        ("- tabs\n", "- tabs\n## Last\n", "line 23: adds or changes the heading *Last*"),
        (
            "- flaky clock\n",
            "- flaky clock\n### Do Not Touch\n",
            "line 14: adds or changes the heading *Do Not Touch*",
        ),
        ("- flaky clock\n", "- flaky clock\n\nText\n---\n", "line 15: adds or changes the heading *Text*"),
        (
            "downwards.\n",
            "downwards.\n---\n",
            "line 19: adds or changes the heading *Layers only import downwards.*",
        ),
        (
            "- flaky clock\n",
            "- flaky clock\n```\n",
            "line 15 of the base: removes, moves or hides the heading *Windows*",
        ),
        (
            "- flaky clock\n",
            "- flaky clock\n<!--\n",
            "line 15 of the base: removes, moves or hides the heading *Windows*",
        ),
        (
            "## Do Not Touch\n",
            "<!--\n## Do Not Touch\n-->\n",
            "line 3 of the base: removes, moves or hides the heading *Do Not Touch*",
        ),
    ],
)
def test_anything_else_is_a_violation_with_its_line(old: str, new: str, reason: str) -> None:
    if reason:
        assert the_reason(changed(old, new)) == reason
    else:
        assert agent_changes(BASE, changed(old, new)).violations


def test_a_fence_left_open_at_the_very_end_is_a_violation() -> None:
    base = "## Known Issues\n- a\n"
    (violation,) = agent_changes(base, base + "```\n- b\n").violations
    assert violation.startswith(
        "line 3: opens a code block or a comment without closing it under *Known Issues*"
    )


def test_a_comment_left_open_in_a_list_item_is_a_violation() -> None:
    base = "## Known Issues\n- a\n\n## Architectural Invariants\n- b\n"
    changed = base.replace("- a\n", "- a\n- <!-- x\n")
    (violation,) = agent_changes(base, changed).violations
    assert "opens a code block or a comment without closing it" in violation
    assert not agent_changes(base, base.replace("- a\n", "- a\n- c <!-- x -->\n")).violations


def test_a_heading_inside_a_code_block_of_the_base_may_not_be_moved_out_of_it() -> None:
    base = "## Known Issues\n```\ncode\n```\n"
    (violation,) = agent_changes(base, base.replace("code", "code\n# Do Not Touch")).violations
    assert violation.startswith("line 4: adds a heading under *Known Issues*: `# Do Not Touch`")


def test_a_closed_code_block_may_be_added() -> None:
    block = "```sh\n# a comment\n\nmake\n```"
    result = agent_changes(BASE, changed("- flaky clock\n", f"- flaky clock\n\n{block}\n"))
    assert result.additions == (Addition(ISSUES, tuple(block.split("\n"))),)


def test_an_open_section_inside_a_closed_one_is_open_and_the_other_way_round() -> None:
    base = "# Do Not Touch\n## Known Issues\n- a\n### Do Not Touch\n- x/\n"
    assert agent_changes(base, base.replace("- a\n", "- a\n- b\n")).violations == ()
    assert agent_changes(base, base + "- y/\n").violations


def test_line_ends_blank_lines_bom_and_trailing_spaces_are_no_change() -> None:
    agent = "\ufeff" + BASE.replace("\n\n", "\n").replace("- tabs", "- tabs  ").replace("\n", "\r\n")
    result = agent_changes(BASE, agent)
    assert (result.additions, result.dropped, result.violations) == ((), (), ())


def test_what_hides_in_an_addition_is_made_visible() -> None:
    result = agent_changes(BASE, changed("- flaky clock\n", "- flaky clock\n- a\u202eb\x1b[8m \n"))
    assert result.additions == (Addition(ISSUES, ("- a\\u202eb",)),)


def test_lines_with_nothing_to_see_are_no_addition() -> None:
    result = agent_changes(BASE, changed("- flaky clock\n", "- flaky clock\n\x1b[0m\n\x1b[0m\n- a\n"))
    assert result.additions == (Addition(ISSUES, ("- a",)),)
    assert agent_changes(BASE, changed("- tabs\n", "- tabs\n\x1b[0m\n")).violations == ()


def test_a_heading_behind_an_escape_sequence_is_seen() -> None:
    result = agent_changes(BASE, changed("- flaky clock\n", "- flaky clock\n\n\x1b[0m# Do Not Touch\n"))
    assert len(result.violations) == 1


def test_a_file_that_grows_too_much_is_refused_without_a_closer_look() -> None:
    assert agent_changes(BASE, BASE + "x" * MAX_ADDED).violations[0].startswith("line 23: ")
    assert (
        agent_changes(BASE, BASE + "x" * (MAX_ADDED + 1)).violations[0].startswith("adds 16,385 characters")
    )


def test_creating_and_deleting_the_file_is_a_violation() -> None:
    assert agent_changes(None, "x").violations[0].startswith("creates the memory file")
    assert agent_changes("x", None).violations[0].startswith("deletes the memory file")
    assert agent_changes(None, None).violations == ()


# merging


def test_additions_are_placed_on_the_current_text() -> None:
    tip = changed("- flaky clock\n", "- flaky clock\n- of another task\n").replace("- tabs", "- spaces")
    additions = [Addition(ISSUES, ("- mine", "  and more")), Addition((*ISSUES, "windows"), ("Text.",))]
    merged = merge_additions(tip, additions)
    assert merged == tip.replace("another task\n", "another task\n- mine\n  and more\n").replace(
        "- slow\n", "- slow\n\nText.\n"
    )


def test_what_is_there_already_is_not_added_twice() -> None:
    additions = [Addition(ISSUES, ("- flaky clock", "- mine", "", "- flaky clock"))]
    once = merge_additions(BASE, additions)
    assert once == changed("- flaky clock\n", "- flaky clock\n- mine\n")
    assert merge_additions(once, additions) == once


def test_code_blocks_are_compared_as_a_whole() -> None:
    base = "## Known Issues\n```\na\n```\n"
    merged = merge_additions(
        base,
        [Addition(("known issues",), ("```", "b", "```")), Addition(("known issues",), ("```", "a", "```"))],
    )
    assert merged == base + "\n```\nb\n```\n"


def test_paragraphs_of_several_additions_stay_apart() -> None:
    additions = [
        Addition(ISSUES, ("One.",)),
        Addition(ISSUES, ("- a",)),
        Addition(ISSUES, ("- b",)),
        Addition(ISSUES, ("Two.", "three.")),
    ]
    assert (
        merge_additions("# Known Issues\n", additions)
        == "# Known Issues\n\nOne.\n\n- a\n- b\n\nTwo.\nthree.\n"
    )


def test_link_definitions_are_lines_like_others() -> None:
    addition = Addition(("known issues",), ("[1]: https://example.org",))
    assert merge_additions("# Known Issues\n", [addition]) == "# Known Issues\n\n[1]: https://example.org\n"


def test_a_vanished_subsection_is_replaced_by_the_section_around_it() -> None:
    tip = changed("### Windows\n- slow\n\n", "")
    merged = merge_additions(tip, [Addition((*ISSUES, "windows"), ("- crlf",))])
    assert merged == tip.replace("- flaky clock\n", "- flaky clock\n- crlf\n")


def test_a_moved_section_is_found_by_its_name() -> None:
    tip = "# Other title\n# Known Issues\n- a\n"
    assert merge_additions(tip, [Addition(ISSUES, ("- b",))]) == tip + "- b\n"


def test_of_several_sections_with_one_name_the_one_at_its_place_is_taken() -> None:
    tip = "# A\n## Known Issues\n- a\n# B\n## Known Issues\n- b\n"
    assert merge_additions(tip, [Addition(("b", "known issues"), ("- c",))]) == tip + "- c\n"


def test_without_the_section_nothing_is_added() -> None:
    tip = "# Project\n- a\n"
    assert merge_additions(tip, [Addition(ISSUES, ("- b",))]) == tip


def test_additions_take_the_line_ends_of_the_file() -> None:
    assert merge_additions("# Known Issues\r\n- a", [Addition(("known issues",), ("- b", "", "- c"))]) == (
        "# Known Issues\r\n- a\r\n- b\r\n\r\n- c\r\n"
    )


# any text


@given(memory_texts(), memory_texts())
def test_any_two_texts_are_judged(base: str, agent: str) -> None:
    result = agent_changes(base, agent)
    check_merge(base, result.additions)
    for violation in result.violations:
        assert violation == one_line(violation, 1000)


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, str]:
    base = draw(memory_texts())
    edited = base.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(edited)))
        edited[at:at] = draw(st.lists(lines(), min_size=1, max_size=3))
    return base, "\n".join(edited)


@given(edited_texts())
def test_what_is_kept_of_any_insertion_changes_no_structure(texts: tuple[str, str]) -> None:
    base, agent = texts
    check_merge(base, agent_changes(base, agent).additions)


def check_merge(base: str, additions: tuple[Addition, ...]) -> None:
    merged = merge_additions(base, additions)
    before, after = parse(base), parse(merged)
    assert after.outline == before.outline
    remaining = [line.rstrip("\r\n") for line in after.lines]
    for line in (line.rstrip("\r\n") for line in before.lines):
        remaining = remaining[remaining.index(line) + 1 :]
    assert merge_additions(merged, additions) == merged
    for old, new in zip(before.sections, after.sections, strict=True):
        if not {"known issues", "architectural invariants"} & set(old.path):
            assert section_lines(after, new) == section_lines(before, old)


def section_lines(document: Document, section: Section) -> list[str]:
    return "".join(document.lines[section.start : section.end]).rstrip().splitlines()


def test_thousands_of_separate_additions_are_merged_in_no_time() -> None:
    started = time.process_time()
    base = "## Known Issues\n" + "- a\n- b\n" * 1000
    result = agent_changes(base, base.replace("- b", "- b\n- new"))
    assert len(result.additions) == 1000
    assert merge_additions(base, result.additions) == base + "- new\n"
    assert time.process_time() - started < 10


def test_hostile_texts_are_judged_in_no_time() -> None:
    started = time.process_time()
    for piece in ("- \n", "> ", "\n", "# !", "((", "[a]: b\n", "a\n=\n", "`", "<!--\n", "- a\n"):
        base = "## Known Issues\n" + piece * (30_000 // len(piece))
        agent_changes(base, base + "\n" + piece * (MAX_ADDED // len(piece) - 1))
    assert time.process_time() - started < 10
