"""The pattern language: against pathspec, against git, and against every path there is."""

from __future__ import annotations

import itertools
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from pytest_agenttasks.tasks.patterns import PatternSet, elements, fold, literal_folder, may_meet

NAMES = ["a", "b", "ab", "ba", "a.b"]
PATHS = ["/".join(parts) for depth in (1, 2, 3) for parts in itertools.product(NAMES, repeat=depth)]

INVISIBLE = "\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
"""What HFS+ ignores in names."""

_name_glob = st.one_of(
    st.sampled_from(
        [*NAMES, "*", "?", "a*", "*b", "a?", "?*", "*.b", "[ab]", "[ab]*", "*[!a]", "[a-b]b", "a*b*"]
    ),
    st.text("ab.*?", min_size=1, max_size=4).filter(lambda text: "**" not in text and set(text) != {"."}),
)


@st.composite
def globs(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.one_of(_name_glob, st.just("**")), min_size=1, max_size=4))
    glob = "/".join(parts) + draw(st.sampled_from(["", "", "/"]))
    assume(any(char in glob for char in "*?["))
    return glob


patterns = st.one_of(globs(), st.sampled_from(PATHS), st.sampled_from([path + "/" for path in PATHS]))


def covers(pattern: str, path: str) -> bool:
    return PatternSet([pattern]).covers(path)


@given(globs())
def test_a_glob_matches_what_pathspec_says(glob: str) -> None:
    spec = GitIgnoreSpec.from_lines([glob])
    assert [p for p in PATHS if covers(glob, p)] == [p for p in PATHS if spec.match_file(p)]


GIT_GLOBS = [
    *(
        "*.b",
        "a*",
        "*/",
        "a*/",
        "a/*",
        "a/**",
        "**/a",
        "**/b/",
        "a/**/b",
        "*/b",
        "**/a/*",
        "a?b",
        "[ab]",
        "[!a]",
    ),
    *("[a-b]*/b", "?", "*b/", "**/ab/**", "a/*/b", "**/a*/**/b*", "*/*/a", "a/b*", "**/*.b", "a.*"),
]


def test_a_glob_matches_what_git_ignores(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for glob in GIT_GLOBS:
        (tmp_path / ".gitignore").write_text(glob + "\n")
        command = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"]
        ignored = subprocess.run(
            command, input="\n".join(PATHS), capture_output=True, text=True
        ).stdout.split()
        assert [p for p in PATHS if covers(glob, p)] == ignored, glob


@given(patterns, patterns)
def test_patterns_that_share_a_path_always_meet(a: str, b: str) -> None:
    shared = [path for path in PATHS if covers(a, path) and covers(b, path)]
    assert may_meet(a, b) or not shared
    assert may_meet(a, b) == may_meet(b, a)


@given(st.sampled_from(PATHS), st.sampled_from(PATHS), st.sampled_from(["", "/"]), st.sampled_from(["", "/"]))
def test_meeting_is_exact_for_paths_and_folders(a: str, b: str, a_end: str, b_end: str) -> None:
    deeper = [*PATHS, *(f"{path}/x" for path in PATHS)]
    shared = [path for path in deeper if covers(a + a_end, path) and covers(b + b_end, path)]
    assert may_meet(a + a_end, b + b_end) == bool(shared)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("src/*.py", "docs/"),
        ("src/*.py", "src/*.md"),
        ("src/a*", "src/b*"),
        ("src/[ab].py", "src/[cd].py"),
        ("src/?.py", "src/ab.py"),
        ("src/*/x.py", "src/x.py"),
        ("[a-c].py", "d.py"),
        ("[!a].py", "a.py"),
        ("a/*b/c", "a/bx/c"),
        ("./*.md", "docs/*.md"),
        ("app/[id]/page.tsx", "app/[slug]/page.tsx"),
        ("src/", "src"),
        ("src/**", "src"),
        ("*.md", "src/app.py"),
    ],
)
def test_patterns_that_share_nothing_do_not_meet(a: str, b: str) -> None:
    assert not may_meet(a, b)
    assert not may_meet(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("src/**/*.py", "src/a/"),
        ("*.md", "docs/"),
        ("**/x", "a/b/x"),
        ("app/[id]/*", "app/[id]/page.tsx"),
        ("SRC/a.py", "src/A.py"),
        ("caf\u00e9/", "cafe\u0301/x"),
        ("src/[a-z]*.py", "src/x.py"),
        ("src/*", "src/core/billing/"),
        ("?.py", "[ab].py"),
        ("[ab].py", "[bc].py"),
        ("[a-c].py", "[b].py"),
        ("[!a].py", "[ab].py"),
        ("[a-c].py", "b.py"),
        ("[+-9]x", "5x"),
    ],
)
def test_patterns_that_can_share_a_path_meet(a: str, b: str) -> None:
    assert may_meet(a, b)
    assert may_meet(b, a)


def test_a_plain_path_is_itself_and_a_folder_what_is_below() -> None:
    files = ["src/a", "src/a/b", "x/src/a", "src/ab"]
    assert [f for f in files if covers("src/a", f)] == ["src/a"]
    assert [f for f in files if covers("src/a/", f)] == ["src/a/b"]
    assert [f for f in files if PatternSet(["src/a"], below=True).covers(f)] == ["src/a", "src/a/b"]


def test_a_leading_dot_slash_anchors_a_glob() -> None:
    assert covers("./*.md", "a.md")
    assert not covers("./*.md", "docs/a.md")
    assert covers("*.md", "docs/a.md")


def test_brackets_also_match_their_own_spelling() -> None:
    for path in ["app/[id]/page.tsx", "app/i/page.tsx"]:
        assert covers("app/[id]/*.tsx", path)
    assert covers("app/[[...slug]]/page.tsx", "app/[[...slug]]/page.tsx")
    assert not covers("app/[id]/*.tsx", "app/id/page.tsx")


@pytest.mark.parametrize("glob", ["a[!x]b", "a[^x]b", "a[+-9]b", "a?b"])
def test_no_single_character_matches_a_slash(glob: str) -> None:
    assert not covers(glob, "a/b")
    assert not may_meet(glob, "a/b")


@pytest.mark.parametrize("path", ["x.md\n", "a\nb/x.md"])
def test_line_breaks_in_names_are_characters_like_others(path: str) -> None:
    assert covers("*.md", path) == path.endswith(".md")


@pytest.mark.parametrize("glob", ["[z-a]", "a[z-a]b", "[--a]", "[a&&b]", "[[a]", "[]a]", "[", "a[b", "[!]"])
def test_odd_brackets_never_break_the_matching(glob: str) -> None:
    PatternSet([glob, "src/" + glob + "/*"]).covers("src/a")
    may_meet(glob, "*")


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("**/a*/**/b*/**/c*/**/d", "a/b/c/" * 600 + "e"),
        ("*a" * 12 + "*b", "a" * 250),
        ("*[ab]" * 12 + "*c", "a" * 250),
        ("**/*a*/*b*/**/*c*", "/".join(["aab"] * 1000)),
    ],
)
def test_hostile_names_cannot_stall_the_matching(glob: str, path: str) -> None:
    begun = time.process_time()
    assert not covers(glob, path)
    assert time.process_time() - begun < 0.5


@given(patterns)
def test_the_literal_folder_holds_every_match(pattern: str) -> None:
    folder = literal_folder(pattern)
    matches = [path for path in PATHS if covers(pattern, path)]
    assert all(path.startswith(f"{folder}/") for path in matches if folder)


@given(st.lists(patterns, max_size=4), st.booleans())
def test_a_set_covers_what_one_of_its_patterns_covers(several: list[str], below: bool) -> None:
    together = PatternSet(several, below=below)
    for path in PATHS[:60]:
        each = [pattern for pattern in several if PatternSet([pattern], below=below).covers(path)]
        assert together.covers(path) == bool(each)
        assert together.which(path) == (each[0] if each else None)


@pytest.mark.parametrize("twin", [".GIT", ".gi\u0054", *(f".g{char}it" for char in INVISIBLE), "\ufeff.git"])
def test_folding_sees_through_what_file_systems_ignore(twin: str) -> None:
    assert fold(twin) == ".git"


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_elements_of_a_folder_need_something_in_it() -> None:
    assert len(elements("src/")) == 3
    assert not may_meet("src/", "src")
