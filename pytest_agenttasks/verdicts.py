"""The verdicts that gates gave, kept by what they depend on: a verified tree is never verified twice."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from .evidence.census import Census
from .run import Run
from .settings.records import GateSettings
from .state_file import load, save

_VERSION = "2"
"""To be changed when verdicts of earlier versions must not be believed any more."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one tree. `reason` is empty when it passed; `inherited`: of a tree that differs only in
    queue and memory; `log` is the file with its whole output; `missing`: its program or folder is not there;
    `flaky`: red at first, green when run again on the same tree; `notes` are for people; `tests`: how many its
    reports hold, None without a report; `compared`: the tree whose tests made it red although it ended well."""

    gate: str
    tree: str
    passed: bool
    seconds: float
    reason: str = ""
    evidence: str = ""
    log: str = ""
    withheld: tuple[str, ...] = ()
    inherited: bool = False
    cached: bool = False
    missing: bool = False
    flaky: bool = False
    notes: tuple[str, ...] = ()
    tests: int | None = None
    compared: str = ""


def definition(gate: GateSettings) -> str:
    return hashlib.sha256(repr(gate).encode()).hexdigest()[:16]


def key(run: Run, gate: GateSettings, tree: str) -> str:
    """What a verdict depends on: the tree, the gate, the dependencies and the interpreters."""
    parts = (
        _VERSION,
        tree,
        definition(gate),
        run.provider.digest(tree),
        _interpreters(gate.run, os.environ.get("PATH", "")),
        run.programs.sandbox.program or "",
        *filter(None, [run.settings.workspace.up]),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _interpreters(line: str, path: str) -> str:
    """Identifies the programs that a shell line names, and the usual interpreters below them."""
    found = []
    for name in dict.fromkeys((*re.findall(r"[\w.+-]+", line), "python3", "node")):
        program = shutil.which(name, path=path)
        if program:
            real = Path(program).resolve()
            found.append(f"{program}:{real}:{real.stat().st_mtime_ns}")
    return "|".join(found)


def recall(run: Run, key: str) -> Verdict | None:
    """The green verdict under this key, None where there is none that can be read."""
    found = load(_file(run, key), Verdict)
    return None if found is None else msgspec.structs.replace(found, cached=True)


def tests_of(run: Run, key: str) -> Census | None:
    """The tests that ran for the verdict under this key, None where it left no report."""
    return load(_file(run, key, "tests"), Census)


def remember(run: Run, key: str, verdict: Verdict, census: Census | None) -> None:
    """Keep a verdict if it is green, and the tests that ran in any case: an acceptance is red on its base."""
    if census is None:
        _file(run, key, "tests").unlink(missing_ok=True)
    else:
        save(_file(run, key, "tests"), census)
    if verdict.passed:
        save(_file(run, key), verdict)


def forget(run: Run, key: str) -> None:
    _file(run, key).unlink(missing_ok=True)
    _file(run, key, "tests").unlink(missing_ok=True)


def note_branch(run: Run, gates: Sequence[GateSettings], tree: str) -> None:
    """Remember that this tree, of the branch, is the last whose verdicts are known."""
    for gate in gates:
        save(_file(run, f"last-{definition(gate)}"), tree)


def last_on_branch(run: Run, gate: GateSettings) -> str | None:
    return load(_file(run, f"last-{definition(gate)}"), str)


def times(run: Run) -> dict[str, float]:
    """How long gates took on the base, in seconds, by their definition."""
    return load(run.repository.home / "gate-times.json", dict[str, float]) or {}


def note_times(run: Run, taken: Sequence[tuple[GateSettings, float]]) -> None:
    save(run.repository.home / "gate-times.json", {**times(run), **{definition(g): s for g, s in taken}})


def _file(run: Run, key: str, kind: str = "") -> Path:
    return run.repository.home / "verdicts" / key[:2] / f"{key}.{kind}{'.' * bool(kind)}json"
