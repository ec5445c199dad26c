"""What has landed: whether it is green, within its scope, and what the task asked for."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .history import Commit, show
from .project import PRESENT_VERSION, Task
from .repository import git

GATES_AT_A_TIME = 2
GATE_SECONDS = 60


def red(checkout: Path, history: Sequence[Commit]) -> list[str]:
    """Every commit that changes more than queue and memory, but for the user's own, gated again by itself."""
    asked = [commit for commit in history if not commit.users and commit.product]
    root = git(checkout, "rev-list", "--max-parents=0", "HEAD").split()[0]
    check = git(checkout, "show", f"{root}:check.sh")
    with ThreadPoolExecutor(GATES_AT_A_TIME) as pool:
        green = pool.map(lambda commit: _green(checkout, commit.name, check), asked)
        return [
            f"{commit.name[:10]} {commit.subject}"
            for commit, passed in zip(asked, green, strict=True)
            if not passed
        ]


def _green(repository: Path, commit: str, check: str) -> bool:
    """Whether the gate, as the user wrote it, passes in a fresh folder that holds this commit and nothing else."""
    archive = subprocess.run(
        ["git", "archive", commit, "checks.txt", "src"], cwd=repository, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory(prefix="soak-gate-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        Path(folder, "check.sh").write_text(check)
        gate = subprocess.run(
            ["sh", "check.sh"],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=GATE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        return gate.returncode == 0


def out_of_scope(history: Sequence[Commit], by_name: Mapping[str, Task]) -> list[str]:
    """Changed paths that the commit's task had no business with, one entry each."""
    found = []
    for commit in history:
        if commit.users:
            continue
        task = by_name.get(commit.subject_task or "") or next(
            (by_name[n] for n in commit.completed if n in by_name), None
        )
        allowed = set(task.writes) if task is not None else set()
        found += [
            f"{commit.name[:10]} {task.name if task is not None else commit.subject}: {path}"
            for path in commit.product
            if path not in allowed
        ]
        if task is not None and len(commit.completed) > 1:
            found += [
                f"{commit.name[:10]} {task.name}: completes {other} as well"
                for other in commit.completed
                if other != task.name
            ]
    return found


def hollow(checkout: Path, done: Mapping[str, list[Commit]], by_name: Mapping[str, Task]) -> list[str]:
    found = []
    for name, moved in done.items():
        task = by_name[name]
        text = show(checkout, f"{moved[-1].name}:{task.feature.path}") or ""
        present = PRESENT_VERSION.format(name=task.feature.name, version=task.version)
        if task.kind != "refused" and present not in text.splitlines():
            found.append(name)
    return sorted(found)
