"""What a play has left, judged from git and files alone: nothing of the package that is soaked is used or believed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .faults import HARMLESS, OUTAGES, Behaviour
from .history import Commit, commits
from .kept import lost_attempts, lost_files
from .landed import hollow, out_of_scope, red
from .played import Played, in_folder, waits_for_ever
from .project import Task

CAUSES = frozenset({"refused", "scope", "gate", "accept", "agent"})
"""What may be held against a task."""


@dataclass(frozen=True)
class Findings:
    """Each a list of what was found, in words; all but the first four have to be empty."""

    landed: list[str]
    failed: dict[str, str]
    """Task → why, as far as anything says so."""
    blocked: list[str]
    charged_to_nobody: list[str]
    """Tasks that failed although the agent was at fault in fewer than two of their sessions."""
    failed_by_outages: list[str]
    """Those among them that had fewer than two sessions which the service has held."""
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
            "failed by outages": self.failed_by_outages,
            "failed without a cause of its own": [
                f"{name}: {cause or 'nothing says why'}"
                for name, cause in self.failed.items()
                if cause not in CAUSES
            ],
        }
        return {name: found for name, found in promises.items() if found}


def judge(played: Played) -> Findings:
    by_name = {task.name: task for task in played.tasks}
    history = commits(played.checkout, played.first)
    done = _completed(history, by_name)
    failed = {name: _cause(played, name) for name in in_folder(played, "failed")}
    blocked = waits_for_ever(played.tasks, in_folder(played, "pending"), set(failed))
    return Findings(
        landed=sorted(done),
        failed=failed,
        blocked=sorted(blocked),
        charged_to_nobody=_charged_to_nobody(played, failed),
        failed_by_outages=_failed_by_outages(played, failed),
        red=red(played.checkout, history),
        out_of_scope=out_of_scope(history, by_name),
        hollow=hollow(played.checkout, done, by_name),
        lost_tasks=_lost_tasks(played, done, blocked),
        lost_files=lost_files(played),
        lost_attempts=lost_attempts(played),
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
    return sorted(name for name in failed if faults[name] < 2 and not _to_be_refused(played, name))


def _failed_by_outages(played: Played, failed: dict[str, str]) -> list[str]:
    held = Counter(session.task for session in played.ledger.sessions())
    held.subtract(line["task"] for line in played.ledger.lines("deeds.jsonl") if line["what"] in set(OUTAGES))
    return sorted(name for name in failed if held[name] < 2 and not _to_be_refused(played, name))


def _to_be_refused(played: Played, name: str) -> bool:
    return any(task.name == name and task.kind == "refused" for task in played.tasks)


def _lost_tasks(played: Played, done: dict[str, list[Commit]], blocked: set[str]) -> list[str]:
    """Every task file is in one folder; done ones have one commit, pending ones a reason."""
    folders = {folder: in_folder(played, folder) for folder in ("pending", "done", "failed")}
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
