"""List items of *Files in Scope*: what they name, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks.patterns import PatternSet
from pytest_agenttasks.tasks.scope_entry import LONGEST, entry_pattern, pattern


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("src/a.py", "src/a.py"),
        ("`src/a.py`", "src/a.py"),
        ("``src/a`b.py``", "src/a`b.py"),
        ("`` `a` ``", "`a`"),
        ("` src/a.py `", "src/a.py"),
        ("a" * LONGEST, "a" * LONGEST),
        ("`src/my file.py`", "src/my file.py"),
        ("`src/a.py` — a comment", "src/a.py"),
        ("src/a.py — replaces `src/b.py`", "src/a.py"),
        ("src/a.py – dash", "src/a.py"),
        ("src/a.py - a comment of words", "src/a.py"),
        ("src/a.py -- more", "src/a.py"),
        ("src/a.py # why", "src/a.py"),
        ("src/a.py // why", "src/a.py"),
        ("src/a.py (new)", "src/a.py"),
        ("src/a.py: the middleware", "src/a.py"),
        ("`src/a.py`: the middleware", "src/a.py"),
        ("src/a.py <!-- note -->", "src/a.py"),
        ("src/a.py\u00a0— pasted", "src/a.py"),
        ("src/a.py — a comment\nthat goes on", "src/a.py"),
        ("[ ] src/a.py", "src/a.py"),
        ("[x] `src/a.py`", "src/a.py"),
        ("./src/a.py", "src/a.py"),
        ("src//x/./a.py", "src/x/a.py"),
        ("src/", "src/"),
        ("src/.", "src/"),
        ("src/*.py", "src/*.py"),
        ("*.md", "*.md"),
        ("./*.md", "./*.md"),
        ("./src/*.md", "src/*.md"),
        ("src/**", "src/**"),
        ("**/*.py", "**/*.py"),
        ("**/migrations/", "**/migrations/"),
        ("app/[id]/page.tsx", "app/[id]/page.tsx"),
        ("app/[[...slug]]/page.tsx", "app/[[...slug]]/page.tsx"),
        ("app/(auth)/page.tsx", "app/(auth)/page.tsx"),
        ("src/__init__.py", "src/__init__.py"),
        ("docs/été.md", "docs/été.md"),
        (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
        ("`a,`", "a,"),
        ("`#notes.md`", "#notes.md"),
        ("src/{id}.ts", "src/{id}.ts"),
    ],
)
def test_an_item_names_a_pattern(item: str, expected: str) -> None:
    assert entry_pattern(item) == expected


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("", "empty entry"),
        ("   ", "empty entry"),
        ("` `", "is empty"),
        ("` a.py`", "spaces around"),
        ("`a.py `", "spaces around"),
        ("[ ] ", "one path|empty"),
        ("my file.py", "more than one path"),
        ("src/a.py src/b.py", "more than one path"),
        ("src/a.py, src/b.py", "more than one path"),
        ("src/a.py and src/b.py", "more than one path"),
        ("src/old.py -> src/new.py", "more than one path"),
        ("src/a.py - src/b.py", "more than one path"),
        ("`src/a.py`, `src/b.py`", "more than one path"),
        ("`src/a.py` `src/b.py`", "more than one path"),
        ("`src/a.py` - `src/b.py`", "more than one path"),
        ("`src/a`.py", "more than one path"),
        ("`src/a.py", "not closed"),
        ("src/a.py\nsrc/b.py", "goes on in the next line"),
        ("`src/a.py`\nsrc/b.py", "goes on in the next line"),
        ('"src/a.py"', "quoted"),
        ("'src/a.py'", "quoted"),
        ("<src/a.py>", "quoted or a link"),
        ("[a](src/a.py)", "quoted or a link"),
        ("src/a.py,", "more than a path"),
        ("src/a.py:", "more than a path"),
        ("src/a.py:12", "more than a path"),
        ("src/a.py:12-40", "more than a path"),
        ("/etc/passwd", "absolute"),
        ("/*.md", "absolute.*`./"),
        ("C:/x/a.py", "absolute"),
        ("~/a.py", "home"),
        ("~root/a.py", "home"),
        ("../a.py", r"`\.\.`"),
        ("src/../../a.py", r"`\.\.`"),
        ("`..`", r"`\.\.`"),
        (".git/config", r"`\.git`"),
        ("src/.GIT/hooks/", r"`\.git`"),
        ("GIT~1/config", r"`\.git`"),
        ("src\\a.py", "backslash"),
        ("src/\\_\\_init\\_\\_.py", "backslash"),
        ("!src/a.py", "negates"),
        ("`src/a\x07.py`", "control"),
        ("`src/a\u200b.py`", "invisible"),
        ("`\u202egpj.py`", "invisible"),
        (".", "whole repository"),
        ("./", "whole repository"),
        ("./.", "whole repository"),
        ("/", "absolute"),
        ("*", "whole repository"),
        ("**", "whole repository"),
        ("**/", "whole repository"),
        ("*/", "whole repository"),
        ("**/*", "whole repository"),
        ("*.*", "whole repository"),
        ("?*", "whole repository"),
        ("[a-z]*", "whole repository"),
        ("[!x]*/**", "whole repository"),
        ("...", "dots only"),
        ("./...", "dots only"),
        ("**src/a.py**", "stands alone"),
        ("src/a**.py", "stands alone"),
        ("src/*.{ts,tsx}", "braces"),
        ("src/{a,b}.ts", "braces"),
        ("src/[[:alpha:]].py", "named character class"),
        ("a" * (LONGEST + 1), "longer than"),
        ("a " * 4 * LONGEST, "characters"),
        ("`" * 4 * LONGEST, "not closed"),
    ],
)
def test_what_is_no_path_is_refused_with_what_is_allowed(item: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        entry_pattern(item)
    message = str(refused.value)
    assert "allowed" in message or "back-ticks" in message
    assert message.isprintable()
    assert len(message) < 500


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_item_is_a_pattern_or_refused(item: str) -> None:
    try:
        found = entry_pattern(item)
    except ValueError as error:
        assert str(error).isprintable() or not item.isprintable()  # noqa: PT017
        return
    scope = PatternSet([found])
    assert not scope.covers(".git/config")
    assert not scope.covers("../x")
    assert not (scope.covers("q/zzz") and scope.covers("0") and scope.covers("é/é/é.é"))
    assert pattern(found) == found


_path = st.text(
    st.characters(codec="utf-8", exclude_characters="`\\*?[{\n", exclude_categories=["C", "Z"]), min_size=1
)


@given(_path.filter(lambda p: not p.startswith(("/", "~", "!", ".")) and ":/" not in p and "//" not in p))
def test_what_is_in_back_ticks_is_taken_as_it_is(path: str) -> None:
    if any(part in (".", "..") or set(part) == {"."} for part in path.split("/")) or "git~1" in path.lower():
        return
    assert entry_pattern(f"`{path}` — comment") == path
