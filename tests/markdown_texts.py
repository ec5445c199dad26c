"""Memory files for hypothesis: made of the lines that matter to Markdown, and of anything."""

from __future__ import annotations

from hypothesis import strategies as st

LINES = [
    "# Project",
    "## Do Not Touch",
    "## Known Issues",
    "## Architectural Invariants",
    "### Sub",
    "## Completed Tasks Log",
    "## Active Task Queue",
    "## Other",
    "text",
    "other text",
    "===",
    "---",
    "- a",
    "- b",
    "  - nested",
    "* c",
    "1. d",
    "- 2026-11-20 014-a: First",
    "- 2026-11-21 015-b: Second",
    "- src/core/",
    "```",
    "~~~",
    "<!--",
    "-->",
    "<pre>",
    "</pre>",
    "> quote",
    "> - q",
    "    code",
    "  indented",
    "[x]: y",
    "\t- tab",
    "",
    "",
]


def lines() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(LINES), st.text(max_size=10))


@st.composite
def memory_texts(draw: st.DrawFn) -> str:
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    bom, end = draw(st.sampled_from(["", "\ufeff"])), draw(st.sampled_from(["", newline]))
    return bom + newline.join(draw(st.lists(lines(), max_size=16))) + end
