"""Repositories and queues of a given size."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .timing import run

BRANCH = "work"
CHANGED = "src/p000/f00000.txt"
"""The file that every task is about."""

FILES_A_FOLDER = 50
_TASK = """\
# Task {number}: Add a line

## Objective
Append one line to the file.

## Constraints
- Nothing else changes.

## Files in Scope
- `{file}` — the only one

## Definition of Done
- the gates pass
"""


def make_repository(path: Path, files: int, extra: dict[str, str] | None = None) -> Path:
    """A repository on branch `work` with one commit of `files` small files, an empty tracked queue, and `extra`."""
    path.mkdir(parents=True)
    contents = {
        f"src/p{n // FILES_A_FOLDER:03d}/f{n:05d}.txt": f"This is a line of file number {n}.\n" * 30
        for n in range(files)
    }
    contents |= {f"tasks/{folder}/.gitkeep": "" for folder in ("pending", "done", "failed")}
    contents |= {".gitignore": "*.log\nnode_modules/\n", **(extra or {})}
    stream = [
        f"commit refs/heads/{BRANCH}\ncommitter Bench <bench@example.org> 1700000000 +0000\ndata 5\nfirst\n"
    ]
    stream += [
        f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n" for name, text in contents.items()
    ]
    run(["git", "init", "-q", "-b", BRANCH, "."], path)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=path, input="".join(stream).encode(), check=True)
    run(["git", "reset", "-q", "--hard"], path)
    return path


def add_tasks(queue: Path, first: int, number: int, accept: str = "") -> list[str]:
    """Write `number` task files into the folder `queue`, counting from `first`; returns their names.

    `accept` is a command that each is to be accepted by, with its name as `{name}`.
    """
    names = [f"{n:05d}-add-a-line" for n in range(first, first + number)]
    for n, name in enumerate(names, first):
        front = f"---\naccept: ['{accept.format(name=name)}']\n---\n" if accept else ""
        (queue / f"{name}.md").write_text(front + _TASK.format(number=n, file=CHANGED))
    return names
