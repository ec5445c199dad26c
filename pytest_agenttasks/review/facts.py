"""The records that a review is about. Plain values: they are what `agenttasks review --json` prints."""

from __future__ import annotations

import msgspec


class LandedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has landed and that nobody has approved. `at` is epoch seconds, money in USD.

    `attempts` are those that it took, `refused` how often a review gate refused it or gave no answer on the way, `denied`
    the edits and commands that its last session was refused. `by_hand`: a person has finished it. `guarded` is the canary's
    answer (yes, no, n/a, unknown).
    `added` and `removed` are lines, `files` all files of the commit but the queue's.
    """

    task: str
    title: str
    commit: str
    at: float
    attempts: int = 1
    guarded: str | None = None
    flaky: tuple[str, ...] = ()
    by_hand: bool = False
    together: bool = False
    refused: int = 0
    denied: int = 0
    dropped: tuple[str, ...] = ()
    files: int = 0
    added: int = 0
    removed: int = 0
    cost_usd: float | None = None


class FailedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the failed folder that nobody has approved; `kind` is an outcome's class."""

    task: str
    kind: str
    summary: str
    attempts: int = 0
    cost_usd: float | None = None


class BlockedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A pending task that cannot run before a person has done something about those it waits for."""

    task: str
    waits_for: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `since` is when the last approval was written (epoch seconds) and `by` whose it was, None: there is none;
    `tip` is the branch's commit; what is counted (`ends`, `spent_usd`, `attempts`) is counted from then on.

    `ends` says how often attempts ended in which class, landed ones apart. `memory` is a line for each change of the memory
    file that is not the runner's. `elsewhere` are tasks that have landed, unapproved, on another branch.
    """

    queue: str
    branch: str
    tip: str
    since: float | None
    by: str | None
    landed: tuple[LandedTask, ...] = ()
    failed: tuple[FailedTask, ...] = ()
    blocked: tuple[BlockedTask, ...] = ()
    held: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    ends: dict[str, int] = {}
    attempts: int = 0
    spent_usd: float = 0.0
    spent_usd_ever: float = 0.0
    running: int | None = None
    """The process id of the run of this repository that goes on."""
