"""What a task may change: the verdict over an agent's changes, and which scopes reach or share what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..trees.changes import GITLINK_MODE, REGULAR_MODES, SYMLINK_MODE, Change
from . import guarded_files
from .glob_segments import meet
from .patterns import PatternSet, elements, fold, is_glob, is_path, literal_folder, may_meet
from .task import ScopeEntry

NOT_IN_SCOPE = "not in Files in Scope"
NOT_UTF8 = "its name is not UTF-8"
CONTROL = "its name has a control character"
GITLINK = "a repository within the repository"
ODD_MODE = "neither a file nor a symbolic link"
QUEUE = "never writable: the task queue and its settings belong to the runner"
OWN = "never writable: what steers git or later agent sessions"
IN_THE_WAY = "would put a file where the folder of something protected is"
MEMORY_TWIN = "is the memory file but for upper and lower case"
MEMORY_KIND = "the memory file must stay a plain file"
EXISTING_TEST = (
    "an existing test: writable only where Files in Scope names this very file, or with `allow_tests: true`"
)
NAMED_ONLY = "writable only where Files in Scope names this very file"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CI_NAMES = (".github", ".gitlab", ".gitea", ".gitpod.yml", ".gitpod.yaml")
_NAMED_CLASS = re.compile(r"\[[!^]?\[:.*?:\]\]|\[[!^]?\[:\w+:\]")


@dataclass(frozen=True)
class Rules:
    """What no scope gives away, as the base commit has it. All paths are relative to the git top folder.

    `protected`, `drop` and `tests` hold paths (each with all that is below it), folders and globs; `tests`
    None: the usual test files of every language. `queue` is the folder around pending, done, failed, logs.
    """

    protected: tuple[str, ...] = ()
    tests: tuple[str, ...] | None = None
    queue: str = "tasks"
    memory_file: str = "CLAUDE.md"
    settings_file: str = "agenttasks.yaml"
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A change that must not land, and why; the reason is for people and for the agent's next prompt."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every change is in exactly one of the four. `memory` is judged by its contents, elsewhere."""

    allowed: tuple[Change, ...] = ()
    dropped: tuple[Change, ...] = ()
    memory: Change | None = None
    violations: tuple[Violation, ...] = ()


def judge(
    entries: Sequence[ScopeEntry], allow_tests: bool, rules: Rules, changes: Sequence[Change]
) -> Verdict:
    """Which of an agent's changes may land. A deletion, a new mode and a new kind count like an edit."""
    guard = _guard(rules)
    scope = PatternSet(entry.pattern for entry in entries)
    named = frozenset(entry.pattern for entry in entries)
    allowed: list[Change] = []
    dropped: list[Change] = []
    violations: list[Violation] = []
    memory: Change | None = None
    for change in changes:
        try:
            path = change.path.decode("utf-8")
        except UnicodeDecodeError:
            violations.append(Violation(change, NOT_UTF8))
            continue
        folded = fold(path)
        reason = _mode_problem(change) or guard.never(path, folded, change.added)
        if reason is None and guard.dropped.covers(path):
            dropped.append(change)
            continue
        if reason is None and path == rules.memory_file:
            if change.new_mode in REGULAR_MODES or change.deleted:
                memory = change
                continue
            reason = MEMORY_KIND
        reason = reason or guard.memory_problem(folded)
        if reason is None and _CONTROL.search(path):
            reason = CONTROL
        if reason is None and not scope.covers(path):
            reason = NOT_IN_SCOPE
        if reason is None and path not in named:
            reason = guard.unnamed(path, folded, change.added, allow_tests)
        if reason is None:
            allowed.append(change)
        else:
            violations.append(Violation(change, reason))
    return Verdict(tuple(allowed), tuple(dropped), memory, tuple(violations))


def matching(entries: Sequence[ScopeEntry], paths: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` that the scope covers, whether writable or not."""
    scope = PatternSet(entry.pattern for entry in entries)
    return tuple(path for path in paths if scope.covers(path))


def overlap(a: Sequence[ScopeEntry], b: Sequence[ScopeEntry]) -> bool:
    """False only if no path is in both scopes; exact for paths and folders."""
    return any(may_meet(x.pattern, y.pattern) for x in a for y in b)


def reaches_protected(
    entries: Sequence[ScopeEntry], rules: Rules, is_file: Callable[[str], bool] = lambda _: False
) -> tuple[tuple[ScopeEntry, str], ...]:
    """The entries that ask for what no task gets, each with the reason.

    `is_file`: whether the base has a file at a path, which is then no folder (`LICENSE` may be either).

    A protected path counts as reached when an entry names it, lies in it, or contains it. What is never
    writable (the queue, `.gitignore`, …) counts only when an entry names it: below a folder entry it simply
    stays read-only, and so do the files that an unanchored protected glob such as `*.pem` might match there.
    """
    guard = _guard(rules)
    found: list[tuple[ScopeEntry, str]] = []
    for entry in entries:
        reason = guard.names_the_untouchable(entry.pattern)
        if reason is None:
            pattern = guard.reached(entry.pattern, is_file)
            reason = f"reaches protected `{pattern}`{_depth_hint(entry.pattern)}" if pattern else None
        if reason is not None:
            found.append((entry, reason))
    return tuple(found)


def protected_among(paths: Iterable[str], rules: Rules) -> list[str]:
    """Those of `paths` that the rules protect."""
    guard = _guard(rules)
    return [path for path in paths if guard.protected_by(path, fold(path))]


def read_only(path: str, rules: Rules, allow_tests: bool = False) -> str | None:
    """Why a scope that covers but does not name the existing file `path` may not write it; None if it may."""
    guard = _guard(rules)
    folded = fold(path)
    return guard.never(path, folded, added=False) or guard.unnamed(
        path, folded, added=False, allow_tests=allow_tests
    )


def _mode_problem(change: Change) -> str | None:
    if GITLINK_MODE in (change.old_mode, change.new_mode):
        return GITLINK
    if not change.deleted and change.new_mode not in REGULAR_MODES and change.new_mode != SYMLINK_MODE:
        return ODD_MODE
    return None


class _Guard:
    """Rules made ready to be asked about many paths."""

    def __init__(self, rules: Rules) -> None:
        protected = [_tidy(pattern) for pattern in rules.protected]
        self.protected = PatternSet(filter(None, protected), below=True)
        self.protected_folded = PatternSet(map(fold, self.protected.patterns), below=True)
        self.dropped = PatternSet(filter(None, map(_tidy, rules.drop)), below=True)
        self.tests = (
            None if rules.tests is None else PatternSet(filter(None, map(_tidy, rules.tests)), below=True)
        )
        self.memory = fold(rules.memory_file)
        self.memory_file = rules.memory_file
        queue = rules.queue.strip("/")
        self.queue = (
            [f"{name}/" for name in ("pending", "done", "failed", "logs")]
            if queue in ("", ".")
            else [f"{fold(queue)}/"]
        )
        self.runners = frozenset(
            {fold(rules.settings_file), "agenttasks.yaml"} | {q.rstrip("/") for q in self.queue}
        )
        spelled = [p.rstrip("/") for p in self.protected_folded.patterns if not is_glob(p)]
        self.above = frozenset(
            above for path in (*spelled, *self.runners, self.memory) for above in _folders_above(path)
        )

    def never(self, path: str, folded: str, added: bool) -> str | None:
        """Why no scope at all makes `path` writable."""
        if folded in self.runners or any(folded.startswith(queue) for queue in self.queue):
            return QUEUE
        if _is_own(folded):
            return OWN
        if pattern := self.protected_by(path, folded):
            return f"protected by `{pattern}`"
        return IN_THE_WAY if added and folded in self.above else None

    def protected_by(self, path: str, folded: str) -> str | None:
        if self.protected.covers(path):
            return self.protected.which(path)
        return self.protected_folded.which(folded) if self.protected_folded.covers(folded) else None

    def memory_problem(self, folded: str) -> str | None:
        if folded == self.memory:
            return MEMORY_TWIN
        return MEMORY_KIND if folded.startswith(self.memory + "/") else None

    def unnamed(self, path: str, folded: str, added: bool, allow_tests: bool) -> str | None:
        """Why `path` is writable only for an entry that names it."""
        if what := guarded_files.guarded(folded, added):
            return f"{what}: {NAMED_ONLY}"
        if added or allow_tests:
            return None
        is_test = guarded_files.usual_test(path) if self.tests is None else self.tests.covers(path)
        return EXISTING_TEST if is_test else None

    def reached(self, entry: str, is_file: Callable[[str], bool]) -> str | None:
        """The first protected pattern that a scope entry reaches."""
        if is_path(entry):
            return self.protected_by(entry, fold(entry))
        return next(
            (pattern for pattern in self.protected.patterns if _reaches(entry, pattern, is_file(pattern))),
            None,
        )

    def names_the_untouchable(self, pattern: str) -> str | None:
        folded = fold(pattern).removeprefix("./")
        spelled = folded.rstrip("/") if not is_glob(folded) else fold(literal_folder(pattern))
        if spelled in self.runners or any(f"{spelled}/".startswith(queue) for queue in self.queue):
            return QUEUE
        return OWN if _is_own(folded.rstrip("/")) else None


@lru_cache(maxsize=16)
def _guard(rules: Rules) -> _Guard:
    return _Guard(rules)


def _is_own(folded: str) -> bool:
    if ".git" not in folded and "git~1" not in folded and ".claude" not in folded:
        return False
    return any(
        name in ("git~1", ".claude") or (name.startswith(".git") and not name.startswith(_CI_NAMES))
        for name in folded.split("/")
    )


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _tidy(pattern: str) -> str:
    """A pattern of the settings as `PatternSet` takes it; what that cannot express is widened, not lost."""
    text = _NAMED_CLASS.sub("?", pattern.strip())
    if is_glob(text):
        return text
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return "/".join(parts) + "/" * (text.endswith("/") and bool(parts))


def _reaches(entry: str, protected: str, is_file: bool) -> bool:
    """Whether a folder or glob reaches a protected pattern, as `reaches_protected` puts it."""
    may_be_folder = not is_file and "." not in protected.rpartition("/")[2][1:]
    if not may_meet(entry, protected, b_below=may_be_folder):
        return False
    if isinstance(elements(protected)[0], str):
        return True
    inner = literal_folder(entry)
    if inner and PatternSet([protected, fold(protected)]).covers(f"{fold(inner)}/\0"):
        return True
    return (
        _spells_names(entry)
        and _spells_names(protected)
        and meet(elements(entry)[:-1], elements(protected)[:-1])
    )


def _depth_hint(entry: str) -> str:
    if "/" in entry.rstrip("/") or not is_glob(entry):
        return ""
    return f"; `{entry}` matches at any depth, `./{entry}` only in the top folder"


def _spells_names(glob: str) -> bool:
    """Whether a glob says what the files are called, and not only where they are."""
    return glob.rpartition("/")[2].strip("*?.") != ""
