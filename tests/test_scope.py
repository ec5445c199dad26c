"""The verdict over an agent's changes, and which scopes reach or share what."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks import scope as scope_module
from pytest_agenttasks.tasks.guarded_files import CONFIGURATION
from pytest_agenttasks.tasks.patterns import fold
from pytest_agenttasks.tasks.scope import (
    CONTROL,
    EXISTING_TEST,
    GITLINK,
    IN_THE_WAY,
    MEMORY_KIND,
    MEMORY_TWIN,
    NAMED_ONLY,
    NOT_IN_SCOPE,
    NOT_UTF8,
    ODD_MODE,
    OWN,
    QUEUE,
    Rules,
    Verdict,
    judge,
    matching,
    overlap,
    protected_among,
    reaches_protected,
    read_only,
)
from pytest_agenttasks.tasks.task import ScopeEntry
from pytest_agenttasks.trees.changes import ABSENT_MODE, GITLINK_MODE, SYMLINK_MODE, Change
from tests.test_patterns import PATHS, patterns

FILE, PROGRAM = "100644", "100755"


def entries(*patterns: str) -> tuple[ScopeEntry, ...]:
    return tuple(ScopeEntry(pattern, line) for line, pattern in enumerate(patterns, 1))


def edited(path: str | bytes, old: str = FILE, new: str = FILE) -> Change:
    return Change(path.encode() if isinstance(path, str) else path, old, new, "0" * 40, "1" * 40)


def added(path: str | bytes, mode: str = FILE) -> Change:
    return edited(path, ABSENT_MODE, mode)


def deleted(path: str | bytes) -> Change:
    return edited(path, FILE, ABSENT_MODE)


def verdict(change: Change, *patterns: str, rules: Rules = Rules(), allow_tests: bool = False) -> Verdict:  # noqa: B008
    found = judge(entries(*patterns), allow_tests, rules, [change])
    parts = [
        *found.allowed,
        *found.dropped,
        *(v.change for v in found.violations),
        *filter(None, [found.memory]),
    ]
    assert parts == [change]
    return found


def reason(change: Change, *patterns: str, rules: Rules = Rules(), allow_tests: bool = False) -> str | None:  # noqa: B008
    found = verdict(change, *patterns, rules=rules, allow_tests=allow_tests)
    return found.violations[0].reason if found.violations else None


@pytest.mark.parametrize("kind", [edited, added, deleted])
@pytest.mark.parametrize(
    ("path", "patterns", "inside"),
    [
        ("src/a.py", ["src/a.py"], True),
        ("src/a.py", ["src/"], True),
        ("src/x/a.py", ["src/**/*.py"], True),
        ("src/a.py", ["docs/", "src/*.py"], True),
        ("src/ab.py", ["src/a"], False),
        ("src/a/b.py", ["src/a"], False),
        ("x/src/a.py", ["src/"], False),
        ("src/A.py", ["src/a.py"], False),
        ("src/a.py", ["src/a.pyc"], False),
        ("src/a.py", [], False),
    ],
)
def test_only_what_is_in_scope_is_allowed(kind: object, path: str, patterns: list[str], inside: bool) -> None:
    assert reason(kind(path), *patterns) == (None if inside else NOT_IN_SCOPE)  # type: ignore[operator]


def test_a_new_mode_counts_like_an_edit() -> None:
    change = Change(b"src/a.py", FILE, PROGRAM, "0" * 40, "0" * 40)
    assert reason(change, "src/b.py") == NOT_IN_SCOPE
    assert reason(change, "src/a.py") is None


@pytest.mark.parametrize("path", ["conftest.py", "src/conftest.py", "src/package.json", "src/Makefile"])
@pytest.mark.parametrize("kind", [edited, added, deleted])
def test_configuration_must_be_named(kind: object, path: str) -> None:
    change: Change = kind(path)  # type: ignore[operator]
    for pattern in ("src/", "**/conftest.py", "conftest.p?", "*.json", "src/*"):
        assert (
            reason(change, pattern, "./*.py", "src/**/*.*", "src/Makefile*")
            == f"{CONFIGURATION}: {NAMED_ONLY}"
        )
    assert reason(change, path) is None


def test_naming_a_configuration_file_does_not_name_its_twin() -> None:
    assert reason(added("src/Conftest.py"), "src/", "src/conftest.py") == f"{CONFIGURATION}: {NAMED_ONLY}"


def test_an_existing_test_must_be_named_or_tests_allowed() -> None:
    for change in (edited("tests/test_a.py"), deleted("tests/test_a.py")):
        assert reason(change, "tests/") == EXISTING_TEST
        assert reason(change, "tests/*.py") == EXISTING_TEST
        assert reason(change, "tests/test_a.py") is None
        assert reason(change, "tests/", allow_tests=True) is None
        assert reason(change, "src/", allow_tests=True) == NOT_IN_SCOPE
    assert reason(added("tests/test_a.py"), "tests/") is None
    assert reason(added("tests/conftest.py"), "tests/", allow_tests=True) == f"{CONFIGURATION}: {NAMED_ONLY}"


def test_the_settings_may_say_what_a_test_is() -> None:
    rules = Rules(tests=("checks/", "*_check.py", "smoke"))
    assert reason(edited("tests/test_a.py"), "tests/", rules=rules) is None
    for path in ("checks/a.py", "src/a_check.py", "smoke/x/a.py"):
        assert reason(edited(path), "checks/", "src/", "smoke/", rules=rules) == EXISTING_TEST
    assert reason(edited("tests/test_a.py"), "tests/", rules=Rules(tests=())) is None


@pytest.mark.parametrize("kind", [edited, added, deleted])
@pytest.mark.parametrize(
    "path",
    [
        "tasks/pending/001.md",
        "tasks/logs/x",
        "tasks/conftest.py",
        "tasks",
        "TASKS/pending/x.md",
        "agenttasks.yaml",
        "AgentTasks.yaml",
    ],
)
def test_the_queue_and_its_settings_are_never_writable(kind: object, path: str) -> None:
    change: Change = kind(path)  # type: ignore[operator]
    assert reason(change, path, "tasks/", "**/*.md", rules=Rules(drop=("tasks/", "agenttasks.yaml"))) == QUEUE


def test_the_queue_may_lie_anywhere_and_have_other_settings() -> None:
    rules = Rules(queue="ops/queue", settings_file="ops/agents.yaml")
    for path in ("ops/queue/pending/1.md", "ops/agents.yaml", "agenttasks.yaml"):
        assert reason(edited(path), path, rules=rules) == QUEUE
    assert reason(edited("tasks/pending/1.md"), "tasks/", rules=rules) is None
    assert reason(added("ops"), "ops", rules=rules) == IN_THE_WAY
    top = Rules(queue=".")
    assert reason(edited("pending/1.md"), "pending/1.md", rules=top) == QUEUE
    assert reason(edited("src/a.py"), "src/a.py", rules=top) is None


@pytest.mark.parametrize(
    "path",
    [
        *(
            ".gitignore",
            "src/.gitignore",
            ".gitattributes",
            ".gitmodules",
            "src/.gitkeep",
            ".git/hooks/x",
            ".GIT/config",
        ),
        *(
            "src/.GitIgnore",
            "GIT~1/config",
            ".git\u200c/config",
            ".claude/settings.json",
            "src/.claude/x",
            ".Claude/x",
        ),
        ".claude",
    ],
)
def test_what_steers_git_and_later_sessions_is_never_writable(path: str) -> None:
    assert reason(added(path), path, "src/", rules=Rules(drop=(path, "src/"))) == OWN


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yml", ".gitlab-ci.yml", ".gitea/x.yml", ".gitpod.yml"]
)
def test_ci_files_only_look_like_gits_own(path: str) -> None:
    assert reason(edited(path), path) is None
    assert reason(edited(path), "*.yml", ".github/") == f"{CONFIGURATION}: {NAMED_ONLY}"


@pytest.mark.parametrize(
    ("protected", "path"),
    [
        ("src/core/billing", "src/core/billing"),
        ("src/core/billing", "src/core/billing/a.py"),
        ("src/core/billing/", "src/core/billing/a.py"),
        ("./src/core//billing/", "src/core/billing/a.py"),
        ("/src/core", "src/core/a.py"),
        ("src/core", "SRC/Core/a.py"),
        ("caf\u00e9", "cafe\u0301/a.py"),
        ("*.pem", "src/x/key.pem"),
        ("*.pem", "src/KEY.PEM"),
        ("**/migrations/", "app/migrations/1.py"),
        ("src/*.sql", "src/a.sql"),
        ("app/[id]/", "app/[id]/page.tsx"),
        ("[[:digit:]]*.sql", "1.sql"),
        ("src/[!_]*", "src/a"),
        ("!x.py", "!x.py"),
        ("a\\*b", "a*b"),
    ],
)
@pytest.mark.parametrize("kind", [edited, added, deleted])
def test_protected_paths_are_never_writable(kind: object, protected: str, path: str) -> None:
    change: Change = kind(path)  # type: ignore[operator]
    found = reason(change, path, "src/", rules=Rules(protected=(protected,), drop=(path,)), allow_tests=True)
    assert found is not None
    assert found.startswith("protected by `")


@pytest.mark.parametrize(
    ("protected", "path"),
    [
        ("src/core/billing/", "src/core/billing"),
        ("src/core/", "src/core.py"),
        ("src/*.sql", "src/x/a.sql"),
        ("", "a"),
        ("./", "a"),
    ],
)
def test_protection_reaches_no_further_than_it_says(protected: str, path: str) -> None:
    assert reason(edited(path), path, rules=Rules(protected=(protected,))) is None


@pytest.mark.parametrize("mode", [FILE, SYMLINK_MODE])
def test_nothing_new_may_stand_where_a_protected_folder_is_or_could_be(mode: str) -> None:
    rules = Rules(protected=("src/core/billing/",), queue="ops/tasks", memory_file="docs/CLAUDE.md")
    for path in ("src", "src/core", "SRC", "ops", "docs"):
        assert reason(added(path, mode), path, rules=rules) == IN_THE_WAY
        assert reason(deleted(path), path, rules=rules) is None
    assert reason(added("src/cor", mode), "src/", rules=rules) is None


def test_dropped_changes_are_neither_allowed_nor_wrong() -> None:
    rules = Rules(drop=("package-lock.json", "coverage", "*.log"))
    for path in (
        "package-lock.json",
        "coverage/a",
        "src/x.log",
        "coverage/conftest.py",
        "coverage/test_a.py",
    ):
        assert verdict(edited(path), "src/", rules=rules).dropped
    assert reason(edited("sub/package-lock.json"), "src/", rules=rules) == NOT_IN_SCOPE
    assert verdict(edited("package-lock.json"), "package-lock.json", rules=rules).dropped


def test_the_memory_file_is_set_aside_for_its_own_judge() -> None:
    for change in (edited("CLAUDE.md"), added("CLAUDE.md"), deleted("CLAUDE.md")):
        assert verdict(change, "src/").memory == change
        assert verdict(change, "CLAUDE.md").memory == change
    rules = Rules(memory_file="docs/AGENTS.md")
    assert verdict(edited("docs/AGENTS.md"), "src/", rules=rules).memory is not None
    assert verdict(
        edited("docs/AGENTS.md"), rules=Rules(memory_file="docs/AGENTS.md", drop=("docs/",))
    ).dropped
    assert reason(edited("CLAUDE.md"), rules=Rules(protected=("CLAUDE.md",))) == "protected by `CLAUDE.md`"


def test_the_memory_file_stays_a_file_and_the_only_one() -> None:
    assert reason(edited("CLAUDE.md", FILE, SYMLINK_MODE), "CLAUDE.md") == MEMORY_KIND
    assert reason(added("CLAUDE.md/x"), "CLAUDE.md/") == MEMORY_KIND
    assert reason(added("claude.md"), "claude.md") == MEMORY_TWIN


@pytest.mark.parametrize("path", [b"src/\xff.py", b"\xed\xa0\x80", b"src/a\xc3"])
def test_a_name_that_is_not_utf8_is_refused(path: bytes) -> None:
    assert reason(added(path), "src/", rules=Rules(drop=("src/",))) == NOT_UTF8


@pytest.mark.parametrize("path", ["src/a\nb.py", "src/\x1b[31m.py", "src/a\x7f", "src/\u2028a"])
def test_a_name_with_a_control_character_is_refused(path: str) -> None:
    assert reason(added(path), "src/") == CONTROL


@pytest.mark.parametrize(
    ("old", "new"), [(ABSENT_MODE, GITLINK_MODE), (GITLINK_MODE, ABSENT_MODE), (FILE, GITLINK_MODE)]
)
def test_a_repository_within_is_refused(old: str, new: str) -> None:
    assert reason(edited("src/lib", old, new), "src/", rules=Rules(drop=("src/",))) == GITLINK


def test_symbolic_links_are_judged_by_their_place_and_odd_modes_not_at_all() -> None:
    assert reason(added("src/link", SYMLINK_MODE), "src/") is None
    assert reason(edited("src/a.py", FILE, SYMLINK_MODE), "src/b.py") == NOT_IN_SCOPE
    assert reason(added("src/x", "040000"), "src/") == ODD_MODE


_PARTS = [
    "src",
    "core",
    "a.py",
    "conftest.py",
    "test_a.py",
    ".gitignore",
    "tasks",
    "CLAUDE.md",
    ".Git",
    "x.log",
    "A.PY",
]
_PATHS = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3).map("/".join)
_PATTERNS = st.one_of(
    _PATHS, _PATHS.map(lambda p: p + "/"), st.sampled_from(["*.py", "src/*", "**/core/", "src/**/a*"])
)
_MODES = st.sampled_from([ABSENT_MODE, FILE, PROGRAM, SYMLINK_MODE, GITLINK_MODE])


@given(
    st.lists(_PATTERNS, max_size=3),
    st.lists(_PATTERNS, max_size=2),
    st.lists(_PATTERNS, max_size=1),
    st.lists(
        st.builds(edited, st.one_of(_PATHS, st.binary(min_size=1, max_size=4)), _MODES, _MODES), max_size=6
    ),
    st.booleans(),
)
def test_whatever_changes_the_promise_holds(
    patterns: list[str], protected: list[str], drop: list[str], changes: list[Change], allow_tests: bool
) -> None:
    """An independent reading of the contract, path by path and without any of the code's own shortcuts."""
    found = judge(
        entries(*patterns), allow_tests, Rules(protected=tuple(protected), drop=tuple(drop)), changes
    )
    sorted_out = [*found.allowed, *found.dropped, *(v.change for v in found.violations)]
    assert len(sorted_out) + sum(change.path == b"CLAUDE.md" for change in changes) >= len(changes)
    for change in found.allowed:
        path = change.path.decode()
        parts = [part.lower() for part in path.split("/")]
        assert matching(entries(*patterns), [path])
        assert GITLINK_MODE not in (change.old_mode, change.new_mode)
        assert not any(part.startswith(".git") for part in parts)
        assert parts[0] != "tasks"
        assert path.lower() != "claude.md"
        assert parts[-1] != "conftest.py" or path in patterns
        assert change.added or allow_tests or path in patterns or not path.endswith("test_a.py")
    for change in (*found.allowed, *found.dropped):
        lower = change.path.decode().lower()
        for pattern in (pattern.lower() for pattern in protected):
            if "*" not in pattern:
                assert not f"{lower}/".startswith(f"{pattern.rstrip('/')}/") or (lower + "/" == pattern)
            assert not matching(entries(pattern), [lower])


@pytest.mark.parametrize(
    "rules",
    [
        Rules(protected=("src/core/billing/", "**/*.pem", "migrations"), drop=("package-lock.json",)),
        Rules(protected=tuple(f"**/x{n}/*.sql" for n in range(20)), tests=("test_*.py", "**/checks/")),
    ],
)
def test_five_thousand_changes_are_judged_at_once(rules: Rules) -> None:
    changes = [edited(f"src/some/folder{n % 50}/file{n}.py") for n in range(5000)]
    scope = entries("src/", "docs/**/*.md", "*.txt")
    times = []
    for _ in range(5):
        begun = time.process_time()
        assert len(judge(scope, False, rules, changes).allowed) == 5000
        times.append(time.process_time() - begun)
    assert min(times) < 0.3


def test_matching_keeps_order_and_looks_at_scope_only() -> None:
    assert matching(entries("src/", "*.md"), ["b.md", "x.py", "src/conftest.py"]) == (
        "b.md",
        "src/conftest.py",
    )


def test_overlap_of_scopes() -> None:
    assert overlap(entries("a.py", "src/"), entries("docs/", "src/x.py"))
    assert not overlap(entries("a.py", "src/*.py"), entries("docs/", "b.py"))
    assert not overlap(entries("a.py"), ())


@given(
    a=st.lists(patterns, max_size=3),
    b=st.lists(patterns, max_size=3),
    tree=st.sets(st.sampled_from([*PATHS, *(f"{path}/new.b" for path in PATHS)]), min_size=1),
)
def test_scopes_that_share_a_file_or_a_place_for_a_new_one_overlap(
    a: list[str], b: list[str], tree: set[str]
) -> None:
    """By brute force over trees: globs, folders, files that are there and files that are yet to come."""
    shared = {*matching(entries(*a), tree)} & {*matching(entries(*b), tree)}
    assert overlap(entries(*a), entries(*b)) or not shared
    assert overlap(entries(*a), entries(*b)) == overlap(entries(*b), entries(*a))


@given(
    a=st.lists(st.sampled_from([*PATHS, *(f"{path}/" for path in PATHS)]), max_size=3),
    b=st.lists(st.sampled_from([*PATHS, *(f"{path}/" for path in PATHS)]), max_size=3),
)
def test_overlap_is_exact_where_no_scope_has_a_glob(a: list[str], b: list[str]) -> None:
    every = [*PATHS, *(f"{path}/new.b" for path in PATHS)]
    shared = {*matching(entries(*a), every)} & {*matching(entries(*b), every)}
    assert overlap(entries(*a), entries(*b)) == bool(shared)


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "src/core/billing/",
            "src/core/billing/a.py",
            "src/core/",
            "src/",
            "src/**",
            "src/**/*.py",
            "src/core/*",
        ),
        *("**/*.py", "*.py", "SRC/", "src/co*/", "migrations", "migrations/1.sql", "migrations/", "mig*"),
        *(
            "certs/a.pem",
            "certs/*.pem",
            "*.pem",
            "**/*.pem",
            "x/vendor/",
            "x/vendor/a.js",
            "x/vendor/*.js",
            "a/VENDOR/",
        ),
    ],
)
def test_a_scope_that_reaches_a_protected_path_is_named(entry: str) -> None:
    rules = Rules(protected=("src/core/billing/", "migrations", "*.pem", "**/vendor/"))
    ((found, why),) = reaches_protected(entries("docs/a.md", entry), rules)[-1:]
    assert found.pattern == entry
    assert why.startswith("reaches protected `")


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "src/core/billing.py",
            "src/core",
            "src/*.py",
            "src/other/",
            "src/core/other/*.py",
            "docs/",
            "docs/**/*.md",
        ),
        *(
            "./*.md",
            "certs/",
            "certs/*",
            "certs/*.key",
            "lib/",
            "lib/a.js",
            "migrations.md",
            "docs/migrations/",
        ),
    ],
)
def test_a_scope_beside_a_protected_path_is_fine(entry: str) -> None:
    rules = Rules(protected=("src/core/billing/", "migrations", "*.pem", "**/vendor/"))
    assert reaches_protected(entries(entry), rules) == ()


def test_a_protected_file_does_not_stop_globs_of_other_files() -> None:
    rules = Rules(protected=("src/billing.py",))
    assert reaches_protected(entries("*.md"), rules) == ()
    assert reaches_protected(entries("*.py"), rules) != ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        *(
            (entry, QUEUE)
            for entry in (
                "tasks/",
                "tasks",
                "tasks/pending/1.md",
                "tasks/*.md",
                "Tasks/x/",
                "agenttasks.yaml",
            )
        ),
        *(
            (entry, OWN)
            for entry in (".gitignore", "src/.gitattributes", ".claude/", "src/.git*", "**/.gitignore")
        ),
    ],
)
def test_a_scope_that_names_what_nobody_may_write_is_refused(entry: str, why: str) -> None:
    assert reaches_protected(entries(entry), Rules()) == ((ScopeEntry(entry, 1), why),)


@pytest.mark.parametrize(
    "entry", ["src/", "**/*.md", "*.yaml", ".github/workflows/ci.yml", "tasks.py", "src/tasks/"]
)
def test_a_scope_that_only_contains_such_files_is_not(entry: str) -> None:
    assert reaches_protected(entries(entry), Rules()) == ()


def test_an_unanchored_glob_is_explained() -> None:
    ((_, why),) = reaches_protected(entries("*.py"), Rules(protected=("src/core/",)))
    assert "`./*.py`" in why


@given(
    st.lists(_PATTERNS, min_size=1, max_size=2), st.lists(_PATHS, max_size=5), st.lists(_PATHS, max_size=2)
)
def test_paths_and_folders_that_are_not_refused_reach_nothing_anchored(
    patterns: list[str], paths: list[str], protected: list[str]
) -> None:
    rules = Rules(protected=tuple(protected))
    if not reaches_protected(entries(*patterns), rules):
        for path in matching(entries(*(p for p in patterns if "*" not in p)), paths):
            assert not protected_among([path], rules)


def test_protected_files_are_found_among_many() -> None:
    rules = Rules(protected=("*.pem", "src/core/"))
    assert protected_among(["a.PEM", "b.txt", "src/core/x"], rules) == ["a.PEM", "src/core/x"]


def test_read_only_says_why() -> None:
    assert read_only("conftest.py", Rules()) == f"{CONFIGURATION}: {NAMED_ONLY}"
    assert read_only("tests/test_a.py", Rules()) == EXISTING_TEST
    assert read_only("tests/test_a.py", Rules(), allow_tests=True) is None
    assert read_only("tasks/done/a.md", Rules()) == QUEUE
    assert read_only("src/a.py", Rules()) is None


def test_reasons_are_short_and_printable() -> None:
    reasons = [getattr(scope_module, name) for name in dir(scope_module) if name.isupper() and name[0] != "_"]
    texts = [text for text in reasons if isinstance(text, str) and text not in ("100644",)]
    assert len(texts) > 10
    assert all(text.isprintable() and len(text) < 120 for text in texts)
    assert fold("x") == "x"
