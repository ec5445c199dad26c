"""The files of a commit, asked about patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks import base_files
from pytest_agenttasks.tasks.base_files import BaseFiles
from pytest_agenttasks.tasks.patterns import PatternSet

_PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "a0"]), min_size=1, max_size=3).map("/".join)
)
_PATTERNS = st.sampled_from(["a", "a/", "a/b", "a/b/", "*.b", "a/*", "**/b", "a-b/", "a/**/b", "a*"])


@given(_PATHS, _PATTERNS, st.integers(1, 4))
def test_matching_is_what_a_walk_over_all_files_finds(paths: list[str], pattern: str, most: int) -> None:
    base = BaseFiles(set(paths))
    expected = [path for path in sorted(set(paths)) if PatternSet([pattern]).covers(path)]
    assert base.matching(pattern, most) == tuple(expected[:most])
    assert base.first(pattern) == next(iter(expected), None)


@given(_PATHS, _PATHS)
def test_files_and_folders(paths: list[str], others: list[str]) -> None:
    base = BaseFiles(paths)
    assert bool(base) == bool(paths)
    for path in (*paths, *others):
        assert base.has_file(path) == (path in paths)
        assert base.has_folder(path) == any(other.startswith(path + "/") for other in paths)


def test_twins_differ_in_case_or_composition_only() -> None:
    base = BaseFiles(["src/Auth.ts", "Docs/caf\u00e9.md"])
    assert base.twin("src/auth.ts") == "src/Auth.ts"
    assert base.twin("docs/cafe\u0301.md") == "Docs/caf\u00e9.md"
    assert base.twin("docs/") == "Docs/"
    assert base.twin("src/auth.js") is None
    assert base.twin("doc/") is None
    assert base.twin("SRC/*.ts") is None


def test_after_too_many_files_globs_are_left_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "MOST_LOOKED_AT", 5)
    base = BaseFiles(["src/a.py", "src/b.py", "c.py"])
    assert base.matching("*.py", 9) == ("c.py", "src/a.py", "src/b.py")
    assert base.matching("*.py", 9) == ("c.py", "src/a.py", "src/b.py")
    assert base.matching("src/*.py", 9) == ("src/a.py", "src/b.py")
    assert base.matching("*.md", 9) is None
    assert base.matching("src/", 9) == ("src/a.py", "src/b.py")
