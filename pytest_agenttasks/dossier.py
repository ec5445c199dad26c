"""What lies beside a worktree for finishing a task by hand: the task, a report, and the attempts' prompts, transcripts, diffs
and gate output. What the person changes there stays."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .failure import report_of
from .queue import task_file
from .report.printable import one_line
from .run import Run
from .tasks.task import Task

DOSSIER = ".dossier"
"""How the name of the folder beside a worktree ends."""
_COPIED = (".prompt.md", ".transcript.md", ".diff", ".json", ".log")
LARGEST_COPY = 5 * 1024 * 1024
"""Bytes; of longer logs the dossier says where they are."""


class Workbench(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a worktree: `top` is the checkout that its task lands in, `queue` the folder of pending
    tasks there; `written` are the dossier's files as they were written, name → digest; `whole`: whether it was made to the
    end; `unfinished`: worktrees that a kill kept from that."""

    task: str
    attempt: int
    top: str
    queue: str
    path: str
    written: dict[str, str] = {}
    whole: bool = True
    unfinished: tuple[str, ...] = ()

    @property
    def worktree(self) -> Path:
        return Path(self.path)

    @property
    def dossier(self) -> Path:
        return Path(self.path + DOSSIER)


def with_dossier(run: Run, task: Task, bench: Workbench) -> Workbench:
    """Bring the dossier up to date; what the person has changed or added in it stays."""
    logs = run.queue.logs / task.name
    contents: dict[str, bytes] = {"task.md": task.data}
    large = []
    for file in sorted(logs.glob("*")) if logs.is_dir() else ():
        if not file.name.endswith(_COPIED) or file.name.endswith(".guard.json") or not file.is_file():
            continue
        if file.stat().st_size > LARGEST_COPY:
            large.append(file)
        else:
            contents[file.name] = file.read_bytes()
    contents["README.md"] = _readme(run, task, bench, large).encode("utf-8", "replace")
    bench.dossier.mkdir(exist_ok=True)
    return msgspec.structs.replace(bench, written=_write(bench.dossier, contents, bench.written))


def _write(folder: Path, contents: Mapping[str, bytes], written: Mapping[str, str]) -> dict[str, str]:
    """Write what is missing, and what is still as it was `written`; the digests of what is there by this."""
    now = dict(written)
    for name, data in contents.items():
        file = folder / name
        if os.path.lexists(file) and (not file.is_file() or digest(file.read_bytes()) != written.get(name)):
            continue
        file.write_bytes(data)
        now[name] = digest(data)
    return now


def _readme(run: Run, task: Task, bench: Workbench, large: Sequence[Path]) -> str:
    name = shlex.quote(task.name)
    file = task_file(run.queue, task.name) or task.path
    lines = [
        f"Attempt {bench.attempt} is in {bench.path}, on no branch. Make it right there; commit or not, as you like. Then:",
        "",
        f"    agenttasks land {name}",
        "",
        "It asks for the same as of an agent: green gates, and changes in the Files in Scope only, which are those of",
        f"{file}. What is out of scope has to go, or into that list. Nothing in this folder lands.",
        "",
        *(f"Too long for a copy: {one_line(str(path), 500)}" for path in large),
        "",
    ]
    return "\n".join(lines) + report_of(run, task.name)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
