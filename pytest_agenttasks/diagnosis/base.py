"""The branch as it is, in a clean checkout: dependencies, gates, what is missing there, what all of it takes on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from .. import gates, verdicts
from ..outcome import SetupError
from ..report.printable import one_line, tail
from ..run import Run
from ..settings.durations import format_duration
from ..settings.records import Settings
from ..trees import recipe_checks
from ..trees.changes import shown
from ..trees.git import split
from ..trees.places import place
from ..trees.repository import Repository
from ..trees.survey import walk
from ..verdicts import Verdict
from .finding import Finding, Findings, fail, ok, refused, warn

DEBRIS = (
    "__pycache__", "*.pyc", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".coverage", "htmlcov",
    "*.egg-info", ".tox", ".nox", ".idea", ".vscode", ".DS_Store", "*.log", "*.swp",
)  # fmt: skip
"""What tools leave behind in a checkout: nobody misses it elsewhere."""
_TOLD = 6


def recipe(run: Run, tree: str) -> Findings[bool]:
    """Whether the dependencies can be brought to a workspace as the settings say."""
    try:
        recipe_checks.refuse_unusable(run.provider, tree)
    except SetupError as error:
        yield refused("workspace", error, "mend `workspace` in the settings")
        return False
    return True


def gates_on(run: Run, tree: str, tip: str) -> Findings[bool]:
    """Every gate on the base, really run; whether all are green."""
    green, left = True, gates.shell(run.settings.gates)
    while left:
        given = gates.check(run, left, tree, tip, run.queue.logs, "doctor", trust=False)
        verdicts.note_times(run, [(gate, v.seconds) for gate, v in zip(left, given, strict=False)])
        for verdict in given:
            green = green and verdict.passed
            yield _told(run, verdict)
        if given[-1].gate in ("setup", "up"):
            break
        left = left[len(given) :]
    return green


def _told(run: Run, verdict: Verdict) -> Finding:
    if verdict.passed and verdict.flaky:
        return warn(
            "gate", f"{verdict.gate}: flaky: red on a clean checkout, green when run again",
            f"mend it, or every task takes longer; its outputs are {verdict.log} and the one beside it",
        )  # fmt: skip
    if verdict.passed:
        shown_tests = "its exit status is believed: it left no report of tests" if verdict.tests is None else (
            f"{verdict.tests} tests by its report"
        )  # fmt: skip
        seconds = format_duration(verdict.seconds)
        return ok("gate", f"{verdict.gate}: green on a clean checkout ({seconds}); {shown_tests}")
    lines = tail(verdict.evidence.encode("utf-8", "replace"), 2048).strip().splitlines()
    last = f": {one_line(lines[-1])}" if lines else ""
    log = f"its output is in {verdict.log}"
    if verdict.gate in ("setup", "up"):
        return fail(
            "workspace",
            f"{verdict.reason}{last}",
            f"mend `workspace.{verdict.gate}` in {run.settings_file}; {log}",
        )
    if verdict.missing:
        remedy = f"bring what it needs by `workspace.setup` or `workspace.copy`; {log}"
    else:
        remedy = f"mend the branch, or the gate; {log}"
    return fail("gate", f"{verdict.gate}: red on a clean checkout: {verdict.reason}{last}", remedy)


def missing(run: Run, *, green: bool) -> Iterator[Finding]:
    """Files of the checkout that git does not have, and no recipe brings: gates and agents go without them."""
    where = place(run.shadow, "gate", run.worker).path
    listed = split(run.repository.git("ls-files", "-z", "--others", "--directory", "--no-empty-directory"))
    own = os.fsencode(run.queue.relative)
    names = [
        shown(path)
        for path in listed
        if path.split(b"/")[0] != b".git"
        and not path.startswith(own + b"/")
        and not os.path.lexists(os.fsencode(where) + b"/" + path.rstrip(b"/"))
        and not any(fnmatchcase(os.fsdecode(path).rstrip("/").rpartition("/")[2], name) for name in DEBRIS)
    ]
    if not names:
        yield ok("clean files", "a clean checkout has all that yours has")
        return
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    text = f"not in a clean checkout: {', '.join(names[:_TOLD])}{more}"
    if green:
        yield ok("clean files", f"{text}; the gates do without")
    else:
        remedy = "where a gate needs one: commit it, or bring it by `workspace.copy` or `workspace.setup`"
        yield warn("clean files", text, remedy)


def size_of_workspace(repository: Repository, tree: str, run: Run | None) -> tuple[int, int]:
    """Bytes and files of one workspace: tracked files and copies, or more where set-up has filled a clean checkout."""
    size, files = _tracked(repository, tree)
    if run is None:
        return size, files
    for path in run.provider.copied():
        more, count = _measured(os.fsencode(run.provider.source(path)))
        size, files = size + more, files + count
    try:
        clean = place(run.shadow, "gate", run.worker).path
    except OSError:  # what is wrong with the folder is said where its disk is looked at
        return size, files
    made, count = _measured(os.fsencode(clean))
    return max(size, made), max(files, count)


def size_of_bare_places(repository: Repository, tree: str, settings: Settings) -> tuple[int, int]:
    """Bytes and files of what one worker has besides: the tracked files once more for reviews, and for services."""
    reviews = any(gate.agent for gate in settings.gates)
    count = reviews + (settings.workspace.down is not None)
    size, files = _tracked(repository, tree)
    return count * size, count * files


def _tracked(repository: Repository, tree: str) -> tuple[int, int]:
    sizes = [
        int(entry.split(b"\t")[0].split()[3])
        for entry in split(repository.git("ls-tree", "-r", "-l", "-z", tree))
        if entry.startswith(b"100")
    ]
    return sum(sizes), len(sizes)


def _measured(path: bytes) -> tuple[int, int]:
    """Bytes and files of a file or a folder."""
    if not Path(os.fsdecode(path)).is_dir():
        return _sum([path])
    return _sum(
        path + b"/" + folder.path + entry.name
        for folder in walk(Path(os.fsdecode(path)), ())
        for entry in folder.files
    )


def _sum(files: Iterable[bytes]) -> tuple[int, int]:
    size = count = 0
    for file in files:
        try:
            status = os.lstat(file)
        except OSError:
            continue
        size += status.st_size if stat.S_ISREG(status.st_mode) else 0
        count += 1
    return size, count
