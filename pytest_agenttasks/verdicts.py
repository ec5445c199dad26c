"""The verdicts that gates gave, kept by what they depend on: a verified tree is never verified twice."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from functools import cache
from pathlib import Path

import msgspec

from .run import Run
from .settings.records import GateSettings


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of one tree. `reason` is empty when it passed; `inherited`: of a tree that differs only in
    queue and memory; `log` is the file with its whole output; `missing`: its program or folder is not there."""

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


def definition(gate: GateSettings) -> str:
    return hashlib.sha256(repr(gate).encode()).hexdigest()[:16]


def key(run: Run, gate: GateSettings, tree: str) -> str:
    """What a verdict depends on: the tree, the gate, the dependencies and the interpreters."""
    parts = (
        tree,
        definition(gate),
        run.provider.digest(tree),
        _interpreters(gate.run, os.environ.get("PATH", "")),
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


def _file(run: Run, key: str) -> Path:
    return run.repository.home / "verdicts" / key[:2] / f"{key}.json"


def recall(run: Run, key: str) -> Verdict | None:
    try:
        found = msgspec.json.decode(_file(run, key).read_bytes(), type=Verdict)
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    return msgspec.structs.replace(found, cached=True)


def remember(run: Run, key: str, verdict: Verdict) -> None:
    file = _file(run, key)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(verdict))
    temporary.replace(file)


def forget(run: Run, key: str) -> None:
    _file(run, key).unlink(missing_ok=True)
