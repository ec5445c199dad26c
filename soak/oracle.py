"""What a play has left, judged from git and files alone: nothing of the package that is soaked is used or believed."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .faults import HARMLESS, Behaviour
from .history import Commit, commits, show
from .ledger import blob
from .played import Played
from .project import PRESENT_VERSION, Task
from .repository import git

GATES_AT_A_TIME = 2
GATE_SECONDS = 60


@dataclass(frozen=True)
class Findings:
    """Each a list of what was found, in words; all but the first four have to be empty."""

    landed: list[str]
    failed: dict[str, str]
    """Task → why, as far as anything says so."""
    blocked: list[str]
    charged_to_nobody: list[str]
    """Tasks that failed although the agent was at fault in fewer than two of their sessions."""
    red: list[str]
    out_of_scope: list[str]
    hollow: list[str]
    """Tasks that count as done, and the change is not there."""
    lost_tasks: list[str]
    lost_files: list[str]
    lost_attempts: list[str]
    outlived: list[str]
    alive: list[str]

    @property
    def broken(self) -> dict[str, list[str]]:
        """The promises that were not kept, with what shows it."""
        promises = {
            "commits red on gating again": self.red,
            "changes out of scope": self.out_of_scope,
            "done without the change": self.hollow,
            "tasks lost": self.lost_tasks,
            "files of the user lost": self.lost_files,
            "attempts lost": self.lost_attempts,
            "processes that outlived their session": self.outlived,
            "processes alive at the end": self.alive,
            "failed without a cause": [name for name, cause in self.failed.items() if not cause],
        }
        return {name: found for name, found in promises.items() if found}


def judge(played: Played) -> Findings:
    by_name = {task.name: task for task in played.tasks}
    history = commits(played.checkout, played.first)
    done = _completed(history, by_name)
    failed = {name: _cause(played, name) for name in _in(played, "failed") & by_name.keys()}
    pending = _in(played, "pending") & by_name.keys()
    blocked = _blocked(played, pending, set(failed))
    return Findings(
        landed=sorted(done),
        failed=failed,
        blocked=sorted(blocked),
        charged_to_nobody=_charged_to_nobody(played, failed),
        red=_red(played, history),
        out_of_scope=_out_of_scope(history, by_name),
        hollow=_hollow(played, done, by_name),
        lost_tasks=_lost_tasks(played, done, blocked),
        lost_files=_lost_files(played),
        lost_attempts=_lost_attempts(played),
        outlived=[
            f"{line['task']}, session {line['number']}" for line in played.ledger.lines("outlived.jsonl")
        ],
        alive=played.alive,
    )


def _completed(history: Sequence[Commit], by_name: dict[str, Task]) -> dict[str, list[Commit]]:
    """The commits that moved a task to done."""
    found: dict[str, list[Commit]] = {}
    for commit in history:
        for name in commit.completed:
            if name in by_name:
                found.setdefault(name, []).append(commit)
    return found


def _in(played: Played, folder: str) -> set[str]:
    return {file.stem for file in (played.checkout / "tasks" / folder).glob("*.md")}


def _blocked(played: Played, pending: set[str], failed: set[str]) -> set[str]:
    never = set(failed)
    for task in played.tasks:  # a dependency has a smaller number
        if task.name in pending and task.depends_on in never:
            never.add(task.name)
    return never - failed


def _cause(played: Played, name: str) -> str:
    """The class of the last attempt's failure; "" where nothing says why."""
    folder = played.checkout / "tasks/logs" / name
    records = [
        file for file in folder.glob("attempt-*.json") if file.stem.removeprefix("attempt-").isdecimal()
    ]
    for file in sorted(records, key=lambda file: int(file.stem.removeprefix("attempt-")), reverse=True):
        if found := re.search(r'"outcome": "([a-z-]+)"', file.read_text()):
            return found[1]
    log = played.checkout / "tasks/logs/orchestration.log"
    if log.exists() and re.search(rf" task-refused {re.escape(name)} ", log.read_text()):
        return "refused"
    return ""


def _charged_to_nobody(played: Played, failed: dict[str, str]) -> list[str]:
    faulty = set(Behaviour) - HARMLESS
    faults = Counter(line["task"] for line in played.ledger.lines("deeds.jsonl") if line["what"] in faulty)
    kinds = {task.name: task.kind for task in played.tasks}
    return sorted(name for name in failed if faults[name] < 2 and kinds[name] != "refused")


def _red(played: Played, history: Sequence[Commit]) -> list[str]:
    """Every commit that changes more than queue and memory, but for the user's own, gated again by itself."""
    asked = [commit for commit in history if not commit.users and commit.product]
    with ThreadPoolExecutor(GATES_AT_A_TIME) as pool:
        green = pool.map(lambda commit: _green(played.checkout, commit.name), asked)
        return [
            f"{commit.name[:10]} {commit.subject}"
            for commit, passed in zip(asked, green, strict=True)
            if not passed
        ]


def _green(repository: Path, commit: str) -> bool:
    """Whether the gate passes in a fresh folder that holds this commit and nothing else."""
    archive = subprocess.run(
        ["git", "archive", commit, "check.sh", "checks.txt", "src"],
        cwd=repository,
        capture_output=True,
        check=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="soak-gate-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        # The gate as the user wrote it, whatever the commit has made of it.
        first = subprocess.run(
            ["git", "show", f"{_root(repository)}:check.sh"], cwd=repository, capture_output=True, check=True
        )
        Path(folder, "check.sh").write_bytes(first.stdout)
        gate = subprocess.run(
            ["sh", "check.sh"],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=GATE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        return gate.returncode == 0


def _root(repository: Path) -> str:
    return git(repository, "rev-list", "--max-parents=0", "HEAD").split()[0]


def _out_of_scope(history: Sequence[Commit], by_name: dict[str, Task]) -> list[str]:
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


def _hollow(played: Played, done: dict[str, list[Commit]], by_name: dict[str, Task]) -> list[str]:
    found = []
    for name, moved in done.items():
        task = by_name[name]
        text = show(played.checkout, f"{moved[-1].name}:{task.feature.path}") or ""
        present = PRESENT_VERSION.format(name=task.feature.name, version=task.version)
        if task.kind != "refused" and present not in text.splitlines():
            found.append(name)
    return sorted(found)


def _lost_tasks(played: Played, done: dict[str, list[Commit]], blocked: set[str]) -> list[str]:
    """Every task file is in one folder; done ones have one commit, pending ones a reason."""
    folders = {folder: _in(played, folder) for folder in ("pending", "done", "failed")}
    found = [
        f"{name} has landed {len(moved)} times" for name, moved in sorted(done.items()) if len(moved) > 1
    ]
    for task in played.tasks:
        places = [folder for folder, there in folders.items() if task.name in there]
        if len(places) != 1:
            found.append(f"{task.name} is in {' and '.join(places) or 'no folder'}")
        elif (places[0] == "done") != (task.name in done):
            found.append(
                f"{task.name} is in {places[0]}, and {'a' if task.name in done else 'no'} commit completes it"
            )
        elif places[0] == "pending" and task.name not in blocked:
            found.append(f"{task.name} is pending for no reason")
        elif (played.checkout / "tasks" / places[0] / f"{task.name}.md").read_text() != task.text:
            found.append(f"{task.name} has another text")
    return found


def _lost_files(played: Played) -> list[str]:
    found = [name for name, text in played.user.whole.items() if _text(played.checkout / name) != text]
    found += [
        f"{name}: {line.strip()}"
        for name, line in played.user.parts
        if line not in _text(played.checkout / name)
    ]
    if git(played.checkout, "status", "--porcelain", "--untracked-files=no").strip():
        found += git(played.checkout, "status", "--porcelain", "--untracked-files=no").splitlines()
    return found


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _lost_attempts(played: Played) -> list[str]:
    """Sessions that wrote a file which is neither in the history nor kept anywhere."""
    known = set(_stored(played))
    lost = {
        f"{line['task']}, session {line['number']}: {line['path']}"
        for line in played.ledger.lines("writes.jsonl")
        if line["blob"] not in known
    }
    return sorted(lost)


def _stored(played: Played) -> Iterator[str]:
    for git_dir in (played.checkout / ".git", *played.stores):
        if git_dir.is_dir():
            for line in git(
                played.checkout, f"--git-dir={git_dir}", "rev-list", "--objects", "--all"
            ).splitlines():
                yield line.partition(" ")[0]
    for folder in (played.checkout / "src", *played.kept):
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                yield blob(file.read_bytes())
