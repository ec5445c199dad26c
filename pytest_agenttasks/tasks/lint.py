"""What can be said about a queue before anything is spent: errors across its tasks, and hints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from pathlib import Path

from .base_files import BaseFiles
from .dependency_graph import before_and_after, circles
from .markdown import lines_of
from .patterns import PatternSet, is_path, may_meet
from .scope import Rules, matching, protected_among, reaches_protected, read_only
from .scope_index import sharing
from .task import SCOPE, Problem, ScopeEntry, Task

MANY_FILES = 15
_SHOWN = 3
_MOST_NAMED = 5
_WORD = re.compile(r"[^\s`'\"<>,;|]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINE_REFERENCE = re.compile(r":\d+(?:-\d+)?$|#L\d+.*$")


def lint(
    tasks: Sequence[Task],
    *,
    done: Collection[str],
    failed: Collection[str],
    base_paths: Sequence[str],
    rules: Rules,
    known: Collection[str] = (),
) -> Mapping[Path, tuple[Problem, ...]]:
    """Everything wrong with each task, its own problems included, by file and in the order of lines.

    `done` and `failed` are the names in these folders, `known` those of pending tasks that are not among
    `tasks`. Without `base_paths` (the base commit's files) nothing is said about what a scope matches.
    """
    found: dict[Path, list[Problem]] = {task.path: list(task.problems) for task in tasks}
    names = _Names(tasks, done, failed, known)
    base = BaseFiles(base_paths)
    protected = BaseFiles(protected_among(base_paths, rules))
    for task in tasks:
        reaching = dict(_reaching(task, rules, protected))
        found[task.path] += [*names.problems(task), *reaching.values()]
        if base:
            found[task.path] += _scope_hints(task, base, rules, reaching)
            found[task.path] += _objective_hints(task, base)
    for task, problem in _circles(tasks):
        found[task.path].append(problem)
    for task, problem in _unordered(tasks):
        found[task.path].append(problem)
    return {path: tuple(sorted(set(problems), key=_place)) for path, problems in found.items()}


def _place(problem: Problem) -> tuple[int, bool, str]:
    return problem.line, problem.hint, problem.message


class _Names:
    """Who is called what, in all folders."""

    def __init__(
        self, tasks: Sequence[Task], done: Collection[str], failed: Collection[str], known: Collection[str]
    ) -> None:
        self._done, self._failed = frozenset(done), frozenset(failed)
        self._pending = frozenset(task.name for task in tasks) | frozenset(known)
        self._all = sorted(self._done | self._failed | self._pending)
        self._folded = {name.casefold(): name for name in self._all}
        self._files: dict[str, list[Path]] = {}
        for task in tasks:
            self._files.setdefault(task.name.casefold(), []).append(task.path)
        self._elsewhere = {name.casefold(): "failed" for name in failed} | {
            name.casefold(): "done" for name in done
        }
        self._guesses = 20

    def problems(self, task: Task) -> Iterator[Problem]:
        for other in self._files[task.name.casefold()]:
            if other != task.path:
                yield Problem(0, f"`{other.name}` has the same name but for its case; rename one of them")
        if folder := self._elsewhere.get(task.name.casefold()):
            yield Problem(0, f"a task of this name is in {folder}/ already; rename one of them")
        for name in task.front.depends_on:
            line = _line_of(task, name)
            if name == task.name or name in self._done or name in self._pending:
                continue
            if name in self._failed:
                yield Problem(
                    line,
                    f"`{name}` has failed: this task waits until `agenttasks requeue {name}` lets it land",
                    True,
                )
            else:
                yield Problem(
                    line, f"depends on `{name}`, which is in no folder of the queue{self._guess(name)}"
                )

    def _guess(self, name: str) -> str:
        close = self._folded.get(name.casefold())
        if close is None and self._guesses:
            self._guesses -= 1
            close = next((other for other in self._all if other.startswith(f"{name}-")), None)
            close = close or next(iter(difflib.get_close_matches(name, self._all, n=1, cutoff=0.75)), None)
        return f"; did you mean `{close}`?" if close else ""


def _line_of(task: Task, dependency: str) -> int:
    """The line of the front matter that names a dependency."""
    for number, line in enumerate(lines_of(task.text), 1):
        if number > 1 and line.rstrip() in ("---", "..."):
            break
        if dependency in _NAME.findall(line):
            return number
    return 0


def _circles(tasks: Sequence[Task]) -> Iterator[tuple[Task, Problem]]:
    waits_for = {task.name: task.front.depends_on for task in tasks}
    found = circles(
        {name: [other for other in others if other != name] for name, others in waits_for.items()}
    )
    for task in tasks:
        if circle := found.get(task.name):
            shown = circle if len(circle) <= 10 else (*circle[:8], "…", circle[-1])
            line = next((_line_of(task, name) for name in task.front.depends_on if name in found), 0)
            yield task, Problem(line, f"tasks wait for each other in a circle: {' → '.join(shown)}")


def _reaching(task: Task, rules: Rules, protected: BaseFiles) -> Iterator[tuple[ScopeEntry, Problem]]:
    reasons = dict(reaches_protected(task.scope, rules, protected.has_file))
    for entry in task.scope:
        reason = reasons.get(entry)
        if reason is None and not is_path(entry.pattern) and (path := protected.first(entry.pattern)):
            reason = f"reaches protected `{path}`"
        if reason is not None:
            yield entry, Problem(entry.line, f"{SCOPE}: `{entry.pattern}` {reason}")


def _scope_hints(
    task: Task, base: BaseFiles, rules: Rules, wrong: Container[ScopeEntry]
) -> Iterator[Problem]:
    covered: set[str] = set()
    for entry in task.scope:
        files = base.matching(entry.pattern, MANY_FILES + 1)
        if files is None or entry in wrong:
            continue
        covered.update(files)
        message = _entry_hint(entry.pattern, files, base, rules, task.front.allow_tests)
        if message:
            yield Problem(entry.line, f"{SCOPE}: {message}", hint=True)
    if len(covered) > MANY_FILES:
        message = f"{SCOPE}: more than {MANY_FILES} files; smaller tasks land more often"
        yield Problem(task.scope[0].line, message, hint=True)


def _entry_hint(
    pattern: str, files: Sequence[str], base: BaseFiles, rules: Rules, allow_tests: bool
) -> str | None:
    if is_path(pattern) and base.has_folder(pattern):
        return f"`{pattern}` is a folder; write `{pattern}/` for what is in it"
    if not files:
        return _missing(pattern, base)
    if pattern == rules.memory_file:
        return (
            f"`{pattern}` is the memory file: only some of its sections may change, whatever the scope says"
        )
    if PatternSet(rules.drop, below=True).covers(pattern):
        return f"changes to `{pattern}` are left out: it is under `drop` in the settings"
    if is_path(pattern):
        return None
    reasons = [read_only(path, rules, allow_tests) for path in files]
    return (
        f"all that `{pattern}` matches is read-only: `{files[0]}` is {reasons[0]}" if all(reasons) else None
    )


def _missing(pattern: str, base: BaseFiles) -> str | None:
    """What to say of an entry that matches nothing; a new file in a folder that exists is nothing special."""
    if twin := base.twin(pattern):
        return f"`{pattern}` does not exist; did you mean `{twin}`?"
    if not is_path(pattern):
        return f"`{pattern}` matches nothing yet"
    folder = pattern.rpartition("/")[0]
    if folder and not base.has_folder(folder):
        return f"`{pattern}` does not exist, and neither does its folder; both would be new"
    return None


def _objective_hints(task: Task, base: BaseFiles) -> Iterator[Problem]:
    objective = task.section("Objective")
    if not objective or not task.scope:
        return
    named: dict[str, None] = {}
    for match in _WORD.finditer(objective.replace("](", " ")):
        path = _LINE_REFERENCE.sub("", match[0].lstrip("(*").rstrip(".:!?)*")).removeprefix("./")
        if base.has_file(path):
            outside = not matching(task.scope, [path])
        else:
            outside = base.has_folder(path[:-1]) and path.endswith("/") and not _meets(task, path)
        if outside:
            named[path] = None
    for path in list(named)[:_MOST_NAMED]:
        message = f"the Objective names `{path}`, which is not in {SCOPE}: it cannot change"
        yield Problem(_line_in(task, path), message, hint=True)


def _meets(task: Task, pattern: str) -> bool:
    return any(may_meet(pattern, entry.pattern) for entry in task.scope)


def _line_in(task: Task, text: str) -> int:
    heading = 0
    for number, line in enumerate(lines_of(task.text), 1):
        if re.match(r"\s*##?\s*objective", line, re.I):
            heading = number
        if heading and text in line:
            return number
    return heading


def _unordered(tasks: Sequence[Task]) -> Iterator[tuple[Task, Problem]]:
    """Tasks that may change the same files with nothing said about their order: said of the later one."""
    masks, complete = sharing([[entry.pattern for entry in task.scope] for task in tasks])
    names = [task.name for task in tasks]
    before, after = before_and_after(names, {task.name: task.front.depends_on for task in tasks})
    for n, task in enumerate(tasks):
        others = masks[n] & ~before[n] & ~after[n] & ((1 << n) - 1)
        if not others:
            continue
        shown = [tasks[m] for m in _bits(others, _SHOWN)]
        entry = _shared_entry(task, shown[0])
        more = f" and {others.bit_count() - _SHOWN} more" if others.bit_count() > _SHOWN else ""
        whom = ", ".join(f"`{other.name}`" for other in shown) + more
        message = f"{SCOPE}: `{entry.pattern}` overlaps with {whom}; say in `depends_on` which comes first"
        yield task, Problem(entry.line, message, hint=True)
    if not complete and tasks:
        message = "there are too many scopes to look for every overlap between tasks"
        yield tasks[0], Problem(0, message, hint=True)


def _shared_entry(task: Task, other: Task) -> ScopeEntry:
    return next((entry for entry in task.scope if _meets(other, entry.pattern)), task.scope[0])


def _bits(mask: int, most: int) -> Iterator[int]:
    while mask and most:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
        most -= 1
