"""What a recipe is, and what has to be asked of the machine."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

KINDS = ("lint", "typecheck", "tests")
"""What a gate is for, in order of cost."""

LARGEST_MANIFEST = 2_000_000


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate as agenttasks.yaml will have it; `kind` is one of KINDS."""

    kind: str
    run: str
    name: str = ""
    cwd: str | None = None
    env: tuple[tuple[str, str], ...] = ()

    def called(self, name: str, folder: str | None) -> Gate:
        return replace(self, name=name, cwd=folder)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one ecosystem needs in one folder (`folder`: None for the top one); paths are relative to it.

    `covers_members`: what it says about the folders below too, so that they need no recipe of their own.
    `path`: a folder of installed programs, for gates of other kinds to find.
    """

    ecosystem: str
    language: str
    gates: tuple[Gate, ...] = ()
    setup: str | None = None
    inputs: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    folder: str | None = None
    covers_members: bool = False
    path: str | None = None

    @property
    def useful(self) -> bool:
        return bool(self.gates or self.notes or self.setup)

    @property
    def quoted_folder(self) -> str:
        return shlex.quote(self.folder or ".")

    def inside(self, folder: str) -> Recipe:
        """The same recipe for a folder below the top one."""
        return replace(self, folder=folder, notes=tuple(f"{folder}/: {note}" for note in self.notes))

    def as_member(self, root: Recipe | None) -> Recipe:
        """The recipe of a workspace's member: its root installs for it, and may run its scripts for it."""
        done = {gate.kind for gate in root.gates} if root else set()
        return replace(self, setup=None, gates=tuple(gate for gate in self.gates if gate.kind not in done))


@dataclass(frozen=True, slots=True)
class Detected:
    """What goes into agenttasks.yaml, and what to tell the user about it."""

    gates: tuple[Gate, ...] = ()
    setup: str | None = None
    setup_inputs: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ecosystems: tuple[str, ...] = ()
    suggestion: str | None = None


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _succeeds(*command: str) -> bool:
    """Whether an installed tool answers with exit status 0; asked where no project can meddle."""
    try:
        asked = subprocess.run(
            command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


@dataclass(frozen=True, slots=True)
class Machine:
    """Questions about what is installed, so that tests can answer them."""

    has: Callable[[str], bool] = field(default=_has)
    succeeds: Callable[..., bool] = field(default=_succeeds)

    def python3_has(self, module: str) -> bool:
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        return self.succeeds("python3", "-I", "-c", code)

    def missing(self, program: str) -> tuple[str, ...]:
        """A remark when a program that the recipe needs is not installed."""
        return (
            () if self.has(program) else (f"`{program}` is not on PATH; install it before you run the queue",)
        )


def rank(kind: str) -> int:
    """The place of a gate of this kind: cheap ones first."""
    return KINDS.index(kind)


def text_of(file: Path) -> str | None:
    """A manifest's text; None when there is no such (readable, reasonably small) file."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_MANIFEST:
            return None
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def json_of(file: Path) -> dict[str, Any] | None:
    """A JSON manifest; None when there is none, {} when it cannot be read."""
    text = text_of(file)
    if text is None:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def toml_of(file: Path) -> dict[str, Any] | None:
    """A TOML manifest; None when there is none, {} when it cannot be read."""
    text = text_of(file)
    if text is None:
        return None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def table(document: Any, *keys: str) -> dict[str, Any]:
    """The table at `keys`, {} when there is none: manifests are written by hand."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def texts(value: Any) -> list[str]:
    """The texts of a list, [] for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
