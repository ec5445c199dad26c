"""Where the facts of a review come from: the journal, the records of approvals, the queue's files, the commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec

from ..approvals import Approved, Awaiting, Review, approved_up_to, awaiting, read
from ..base import memory_of
from ..history import History
from ..journal_records import AttemptEnded, Landed
from ..memory.changes import changes_of_people_and_agents
from ..outcome import Kind
from ..queue import Queue, names, task_files
from ..runs import going_on
from ..state_file import load
from ..tasks.task import read as read_task
from ..trees.git import split
from ..trees.repository import Repository, is_ancestor
from .facts import BlockedTask, Facts, FailedTask, LandedTask


def gather(repository: Repository, queue: Queue, history: History, memory_file: str) -> Facts:
    """Everything that is to be looked at now. Raises SetupError for records of approvals that cannot be read."""
    reviews = read(repository, queue)
    found = awaiting(repository, queue, history, reviews)
    last = max(
        (review for review in reviews if isinstance(review, Approved)), key=lambda r: r.at, default=None
    )
    since = last.at.timestamp() if last is not None else 0.0
    ended = [end for ends in history.ended.values() for end in ends if end.at > since]
    sizes = dict(_sizes(repository, queue, [landed.commit for landed in found.landed]))
    waiting = _waiting(repository, queue, history)
    return Facts(
        queue=str(queue.pending),
        branch=(repository.branch() or "detached HEAD").removeprefix("refs/heads/"),
        tip=repository.tip(),
        since=since or None,
        by=last.by if last is not None else None,
        landed=tuple(_landed(queue, history, landed, sizes) for landed in found.landed),
        failed=tuple(_failed(history, name) for name in found.failed),
        elsewhere=tuple(landed.task for landed in found.elsewhere),
        memory=tuple(_memory(repository, reviews, found, memory_file)),
        ends=dict(Counter(end.kind.value for end in ended if end.kind is not Kind.LANDED)),
        attempts=len(ended),
        spent_usd=sum(end.cost_usd or 0.0 for end in ended),
        spent_usd_ever=history.spent_usd,
        running=next((known.get("pid") for known in going_on(repository)), None),
        blocked=waiting.blocked,
        held=waiting.held,
        verified=waiting.verified,
        not_run=waiting.not_run,
    )


def held_tasks(repository: Repository, queue: Queue, history: History) -> list[str]:
    """The pending tasks that do not run because what they landed as was reverted by hand."""
    return [
        name
        for name in sorted(names(queue.pending))
        if (done := history.landed.get(name)) and is_ancestor(repository, done.commit, "HEAD")
    ]


class _Waiting(NamedTuple):
    """The pending tasks, each in one place."""

    blocked: tuple[BlockedTask, ...]
    held: tuple[str, ...]
    verified: tuple[str, ...]
    not_run: tuple[str, ...]


def _waiting(repository: Repository, queue: Queue, history: History) -> _Waiting:
    held = held_tasks(repository, queue, history)
    tasks = [read_task(file) for file in task_files(queue.pending)]
    waits = {task.name: [*task.front.depends_on] for task in tasks if task.name not in held}
    blocked = _blocked(waits, names(queue.done))
    verified = [name for name in waits if name in history.passed]
    rest = [name for name in waits if name not in blocked and name not in verified]
    stuck = tuple(BlockedTask(task=name, waits_for=tuple(those)) for name, those in blocked.items())
    return _Waiting(stuck, tuple(held), tuple(verified), tuple(rest))


def _blocked(waits: Mapping[str, Sequence[str]], done: set[str]) -> dict[str, list[str]]:
    """The tasks that wait for one that will not run by itself, or for one that waits for such a one."""
    blocked: dict[str, list[str]] = {}
    while True:
        more = {
            name: [
                other for other in others if other not in done and (other not in waits or other in blocked)
            ]
            for name, others in waits.items()
        }
        now = {name: others for name, others in more.items() if others}
        if now.keys() == blocked.keys():
            return now
        blocked = now


class _Document(msgspec.Struct, frozen=True):
    """What is used of an attempt's result record."""

    denied: int = 0
    dropped: tuple[str, ...] = ()
    reviews: tuple[dict[str, object], ...] = ()


def _landed(
    queue: Queue, history: History, landed: Landed, sizes: Mapping[str, tuple[int, int, int]]
) -> LandedTask:
    name = landed.task
    ends = _last_series(history.ended.get(name, ()))
    documents = [
        load(queue.logs / name / f"attempt-{number}.json", _Document) or _Document()
        for number in dict.fromkeys(end.attempt for end in ends)
    ]
    asked = history.guarded.get(name)
    files, added, removed = sizes.get(landed.commit, (0, 0, 0))
    costs = [end.cost_usd for end in ends if end.cost_usd is not None]
    last = documents[-1] if documents else _Document()
    return LandedTask(
        task=name,
        title=read_task(queue.done / f"{name}.md").title,
        commit=landed.commit,
        at=landed.at,
        attempts=1 + sum(end.charged for end in ends),
        guarded=asked.guarded if asked is not None else None,
        flaky=tuple(dict.fromkeys(gate for end in ends for gate in end.flaky)),
        by_hand=bool(ends) and ends[-1].by_hand,
        together=any(end.together for end in ends),
        refused=sum(_refused(review) for document in documents for review in document.reviews),
        denied=last.denied,
        dropped=last.dropped,
        files=files,
        added=added,
        removed=removed,
        cost_usd=sum(costs) if costs else None,
    )


def _refused(review: Mapping[str, object]) -> bool:
    """Whether a session of a review gate said no, or gave no answer that counts."""
    answer = review.get("answer")
    return not isinstance(answer, Mapping) or not answer.get("approve") or bool(answer.get("missed"))


def _last_series(ends: Sequence[AttemptEnded]) -> list[AttemptEnded]:
    """The ends of attempts since the one before the last that landed."""
    earlier = ends[:-1] if ends and ends[-1].kind is Kind.LANDED else ends
    series = list(takewhile(lambda end: end.kind is not Kind.LANDED, reversed(earlier)))[::-1]
    return [*series, *ends[len(earlier) :]]


def _failed(history: History, name: str) -> FailedTask:
    ends = history.ended.get(name, ())
    if not ends:
        return FailedTask(
            task=name, kind=Kind.REFUSED.value, summary="its task file cannot be used: `agenttasks lint`"
        )
    series = _last_series(ends)
    costs = [end.cost_usd for end in series if end.cost_usd is not None]
    charged = [end for end in series if end.charged] or [ends[-1]]
    return FailedTask(
        task=name,
        kind=charged[-1].kind.value,
        summary=charged[-1].summary,
        attempts=len(series),
        cost_usd=sum(costs) if costs else None,
    )


def _sizes(
    repository: Repository, queue: Queue, commits: Sequence[str]
) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Files, added and removed lines of each commit, without the queue's files; of a binary file no lines."""
    if not commits:
        return
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    listed = repository.git(
        "diff-tree",
        "--stdin",
        "-r",
        "-z",
        "--numstat",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        stdin=asked,
    )
    own = f"{queue.relative}/".encode()
    commit, counted = "", [0, 0, 0]
    for entry in [*split(listed), b""]:
        fields = entry.split(b"\t", 2)
        if len(fields) < 3:
            if commit:
                yield commit, (counted[0], counted[1], counted[2])
            commit, counted = entry.decode("ascii").strip(), [0, 0, 0]
        elif not fields[2].startswith(own):
            numbers = [int(field) if field.isdigit() else 0 for field in fields[:2]]
            counted = [counted[0] + 1, counted[1] + numbers[0], counted[2] + numbers[1]]


def _memory(repository: Repository, reviews: Sequence[Review], found: Awaiting, file: str) -> Sequence[str]:
    """What people and agents have changed in the memory file since the last approval, or since the first result."""
    tip = repository.tip()
    before = approved_up_to(reviews)
    if before is None or not is_ancestor(repository, before, tip):
        if not found.landed:
            return ()
        before = repository.line("rev-list", "--parents", "-n1", found.landed[0].commit, "--").split()[-1]
    old = memory_of(repository, repository.tree_of(before), file).text or ""
    new = memory_of(repository, repository.tree_of(tip), file).text or ""
    return changes_of_people_and_agents(old, new)
