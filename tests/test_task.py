"""One task file: what is read from it, and what is refused with its line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks.names import name_problem
from pytest_agenttasks.tasks.task import MAX_BYTES, MAX_ENTRIES, Problem, ScopeEntry, Task, parse, read

FULL = """\
---
depends_on: [016-extract-pool]
tags: [auth]
---
# Task 017: Refactor Auth Middleware

## Objective
Rotate keys.

```
## Rollback
- not/a/scope.py
```

## Constraints
None.

## Files in Scope
<!-- - src/commented.py -->
- src/middleware/auth.ts
- `src/config/auth-keys.ts` — a comment may follow

### Tests
* tests/

> - src/quoted.py

## Definition of Done
- [ ] it works

## Rollback
git revert

## On Completion
Tell.
"""


def task(text: str, name: str = "017-jwt") -> Task:
    return parse(Path(f"pending/{name}.md"), text.encode())


def scope(body: str) -> str:
    return f"# T\n## Objective\nx\n## Definition of Done\n- y\n## Files in Scope\n{body}"


def refusals(found: Task) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in found.problems if not problem.hint]


def hints(found: Task) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in found.problems if problem.hint]


def test_a_whole_task() -> None:
    found = task(FULL)
    assert found.problems == ()
    assert not found.refused
    assert (found.name, found.title, found.title_line) == ("017-jwt", "Task 017: Refactor Auth Middleware", 5)
    assert found.front.depends_on == ("016-extract-pool",)
    assert found.scope == (
        ScopeEntry("src/middleware/auth.ts", 20),
        ScopeEntry("src/config/auth-keys.ts", 21),
        ScopeEntry("tests/", 24),
    )
    assert found.text == FULL
    assert found.data == FULL.encode()
    assert found.section("Constraints") == "None."
    assert found.section("Objective").startswith("Rotate keys.\n\n```\n## Rollback")
    assert found.section("Nothing") == ""


@pytest.mark.parametrize(
    "change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t.rstrip()]
)
def test_line_ends_byte_order_marks_and_missing_newlines_make_no_difference(change: object) -> None:
    text = change(FULL)  # type: ignore[operator]
    found = task(text)
    assert (found.scope, found.problems, found.title_line) == (task(FULL).scope, (), 5)
    assert found.text == text
    assert [name for name, _ in found.sections] == [name for name, _ in task(FULL).sections]


@pytest.mark.parametrize(
    "heading",
    [
        "## files in scope",
        "## Files In Scope:",
        "## **Files in Scope**",
        "## Files in Scope ##",
        "Files in Scope\n---",
    ],
)
def test_section_names_are_read_as_people_write_them(heading: str) -> None:
    found = task(f"{heading}\n- a.py\n## Other stuff\nx\n")
    assert [entry.pattern for entry in found.scope] == ["a.py"]
    assert [name for name, _ in found.sections] == ["Files in Scope", "Other stuff"]


def test_a_first_level_heading_ends_a_section() -> None:
    found = task("## Files in Scope\n- a.py\n# Title\n- b.py\n")
    assert [entry.pattern for entry in found.scope] == ["a.py"]
    assert (found.title, found.title_line) == ("Title", 3)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# T\n", 0, "no `## Files in Scope`"),
        ("# T\n### Files in Scope\n- a.py\n", 2, "heading must be"),
        ("# Files in Scope\n- a.py\n", 1, "heading must be"),
        ("# T\n## Scope\n- a.py\n", 2, "heading must be"),
        ("```\n## Files in Scope\n- a.py\n```\n", 2, "heading must be"),
        (scope(""), 6, "no list"),
        (scope("a.py\n"), 6, "no list"),
        (scope("```\n- a.py\n```\n"), 6, "no list"),
        (scope("- a.py\n-\n"), 8, "empty entry"),
        (scope("- a.py\n- /etc/\n"), 8, "absolute"),
        (scope("- a.py\n\n- **\n"), 9, "whole repository"),
        (scope("- a.py\n  - b.py\n"), 7, "list within a list"),
        (scope("- a.py\nb.py\n"), 7, "goes on"),
        (scope("- a.py\n## Files in Scope\n- b.py\n"), 8, "line 6"),
        ("---\ntimeout: soon\n---\n" + scope("- a.py\n"), 2, "`timeout`"),
        ("\n---\ntimeout: soon\n---\n" + scope("- a.py\n"), 3, "`timeout`"),
        ("---\ntags: [a]\n" + scope("- a.py\n"), 1, "not closed"),
        ("---\ndepends_on: [017-JWT]\n---\n" + scope("- a.py\n"), 2, "itself"),
    ],
)
def test_a_refusal_names_line_and_reason(text: str, line: int, words: str) -> None:
    found = task(text)
    assert found.refused
    (problem,) = refusals(found)
    assert problem[0] == line
    assert words in problem[1]


def test_the_lines_of_a_file_with_front_matter_are_those_of_the_file() -> None:
    found = task("---\ntags: [a]\n---\n" + scope("- a.py\n- ../b.py\n"))
    assert found.scope[0].line == 10
    assert [line for line, _ in refusals(found)] == [11]


def test_one_bad_entry_does_not_hide_the_others() -> None:
    found = task(scope("- ../a\n- ok.py\n- ~/b\n"))
    assert [line for line, _ in refusals(found)] == [7, 9]
    assert found.scope == (ScopeEntry("ok.py", 8),)


def test_repeated_sections_of_other_names_are_the_authors_business() -> None:
    found = task(scope("- a.py\n## Notes\n## Notes\n"))
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("## Objective\nx\n## Definition of Done\n- y\n## Files in Scope\n- a.py\n", 0, "no title"),
        ("# T\n## Definition of Done\n- y\n## Files in Scope\n- a.py\n", 0, "no Objective"),
        ("# T\n## Objective\n\n## Definition of Done\n- y\n## Files in Scope\n- a.py\n", 2, "no Objective"),
        ("# T\n## Objective\nx\n## Files in Scope\n- a.py\n", 0, "no checkable"),
        (
            "# T\n## Objective\nx\n## Definition of Done\nIt works.\n## Files in Scope\n- a.py\n",
            4,
            "no checkable",
        ),
        (scope("- a.py\n- ./a.py\n"), 8, "line 7 already"),
    ],
)
def test_a_hint_does_not_refuse(text: str, line: int, words: str) -> None:
    found = task(text)
    assert not found.refused
    (hint,) = hints(found)
    assert hint[0] == line
    assert words in hint[1]


def test_without_a_title_the_name_stands_in() -> None:
    found = task("## Files in Scope\n- a.py\n", "fix-it")
    assert (found.title, found.title_line) == ("fix-it", 0)


def test_an_empty_heading_is_no_title() -> None:
    found = task("#\n# Real\n## Files in Scope\n- a.py\n")
    assert (found.title, found.title_line) == ("Real", 2)


def test_a_title_is_one_line_that_can_be_shown() -> None:
    found = task("# A\x1b[31m \u202eb\tc\n## Files in Scope\n- a.py\n")
    assert found.title == "A [31m b c"


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    found = parse(Path("a.md"), b"\n# T\n\xff\n")
    assert refusals(found) == [(3, "not UTF-8; save the file as UTF-8")]
    assert found.data == b"\n# T\n\xff\n"


def test_a_nul_byte_is_refused_with_its_line() -> None:
    assert [line for line, _ in refusals(task("\n# T\n\nx\0y\n"))] == [4]


def test_too_many_entries_are_refused() -> None:
    assert not task(scope("".join(f"- f{n}.py\n" for n in range(MAX_ENTRIES)))).refused
    found = task(scope("".join(f"- f{n}.py\n" for n in range(MAX_ENTRIES + 1))))
    assert [line for line, _ in refusals(found)] == [6]
    assert found.scope == ()


@pytest.mark.parametrize("name", ["a", "017-jwt", "a.b_c-D", "0", "a" * 100, "x.lock.y"])
def test_good_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".a",
            "-a",
            "_a",
            "a b",
            "a/b",
            "a..b",
            "a.",
            "a.lock",
            "A.LOCK",
            "é",
            "a" * 101,
            "a\n",
            "a\x1b[0m",
        ),
        *("\udcff", "orchestration.log"),
    ],
)
def test_bad_names_are_refused_in_words(name: str) -> None:
    problem = name_problem(name)
    assert problem
    problem.encode("utf-8")


def test_a_file_with_a_bad_name_is_refused() -> None:
    found = task(scope("- a.py\n"), "bad name")
    assert [line for line, _ in refusals(found)] == [0]


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "017-jwt.md"
    path.write_bytes(FULL.encode())
    assert read(path) == parse(path, FULL.encode())


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.md"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)
    begun = time.process_time()
    found = read(path)
    assert time.process_time() - begun < 1
    assert "larger than 1 MB" in refusals(found)[0][1]


def test_a_file_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.md"
    text = scope("- a.py\n## Notes\n")
    path.write_bytes(text.encode().ljust(MAX_BYTES, b"x"))
    assert not read(path).refused
    path.write_bytes(text.encode().ljust(MAX_BYTES + 1, b"x"))
    assert read(path).refused


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "pipe"])
def test_what_is_no_file_is_a_refused_task(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.md"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "b.md").write_text(FULL)
        path.symlink_to("b.md")
    elif kind == "pipe":
        os.mkfifo(path)
    found = read(path)
    assert found.refused
    assert found.text == ""
    words = {"missing": "No such file", "folder": "not a file", "link": "symbolic link", "pipe": "not a file"}
    ((line, message),) = refusals(found)
    assert line == 0
    assert message.startswith("cannot be read: ")
    assert words[kind] in message


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    before = os.listdir("/dev/fd")
    for path in (tmp_path, tmp_path / "none.md"):
        read(path)
    assert len(os.listdir("/dev/fd")) == len(before)


_LINES = st.sampled_from(
    [
        *FULL.split("\n"),
        "---",
        "## Files in Scope",
        "- a/*.py",
        "- **",
        "<!--",
        "-->",
        "> x",
        "```",
        "- `a",
        "  - b",
    ]
)


@given(
    st.one_of(
        st.binary(max_size=80), st.lists(_LINES, max_size=20).map(lambda lines: "\n".join(lines).encode())
    )
)
def test_no_file_makes_it_raise(data: bytes) -> None:
    found = parse(Path("a.md"), data)
    count = data.count(b"\n") + data.count(b"\r") + 1
    assert all(0 <= problem.line <= count and problem.message for problem in found.problems)
    assert found.refused or found.scope
    assert all(
        data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[e.line - 1] for e in found.scope
    )
    assert found.data == data


def test_problems_come_in_the_order_of_lines() -> None:
    found = task("## Files in Scope\n- ../a\n- ../b\n", "bad name")
    assert [problem.line for problem in found.problems] == sorted(problem.line for problem in found.problems)
    assert isinstance(found.problems[0], Problem)


@pytest.mark.parametrize(
    "text",
    [
        "> " * 400_000,
        "- " * 400_000,
        "[" * 900_000,
        "`" * 900_000,
        "# T\n## Files in Scope\n" + "- " * 400_000,
    ],
)
def test_hostile_markdown_is_read_in_time(text: str) -> None:
    begun = time.process_time()
    assert task(text).refused
    assert time.process_time() - begun < 5
