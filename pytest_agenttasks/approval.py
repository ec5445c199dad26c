"""One approval: what it covers, and writing it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .approvals import Approved, Covered, approved_up_to, awaiting, moment, read
from .approving import record, record_privately, who
from .history import History
from .journal_records import Landed
from .outcome import SetupError
from .queue import Queue, names
from .run import Run
from .trees.git import GitError
from .trees.repository import Repository, is_ancestor


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a person approves. `up_to`: the commit up to which all is approved, None where only tasks are named."""

    by: str
    up_to: str | None
    landed: tuple[Landed, ...]
    failed: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        return not self.landed and not self.failed


def covering(
    repository: Repository, queue: Queue, history: History, wanted: Sequence[str], up_to: str | None
) -> Coverage:
    """What `wanted` tasks, or all up to a commit (or a task's), or everything on this branch comes to.

    Raises SetupError for a task that neither landed nor failed, or a commit that is not part of the branch.
    """
    by = who(repository)
    found = awaiting(repository, queue, history, read(repository, queue))
    if wanted:
        open_ = {landed.task: landed for landed in (*found.landed, *found.elsewhere)}
        known = [name for name in dict.fromkeys(wanted) if _has_result(queue, history, name)]
        return Coverage(
            by,
            None,
            tuple(open_[name] for name in known if name in open_),
            tuple(name for name in known if name not in open_ and name not in history.landed),
        )
    if up_to is None:
        return Coverage(by, whole_branch(repository, history), found.landed, found.failed)
    commit = _commit(repository, history, up_to)
    return Coverage(
        by,
        commit,
        tuple(landed for landed in found.landed if is_ancestor(repository, landed.commit, commit)),
        (),
    )


def whole_branch(repository: Repository, history: History) -> str | None:
    """The commit to approve everything up to; None while a result is on the branch that is not known as landed yet, for
    nobody can have seen it."""
    tip = repository.tip()
    landing = any(is_ancestor(repository, passed.commit, tip) for passed in history.passed.values())
    return None if landing else tip


def write(
    repository: Repository, history: History, covered: Coverage, now: float, run: Run | None = None
) -> None:
    """Write the approval down: by a commit of `run`, or privately. Raises as `approving.record`."""
    tasks = [Covered(task=landed.task, commit=landed.commit) for landed in covered.landed]
    tasks += [Covered(task=name) for name in covered.failed]
    review = Approved(
        at=moment(now, history, [task.task for task in tasks]),
        by=covered.by,
        up_to=covered.up_to,
        tasks=tuple(tasks),
    )
    if run is None:
        record_privately(repository, [review])
        return
    count = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
    record(run, review, f"chore(tasks): approve {tasks[0].task if len(tasks) == 1 else count}")


def landed_by_trailers(
    repository: Repository, queue: Queue, history: History, covered: Coverage
) -> list[str]:
    """Commits up to `covered.up_to` of tasks that this repository's journal says nothing of: runs of another clone's."""
    if covered.up_to is None:
        return []
    before = approved_up_to(read(repository, queue))
    arguments = ["log", "--format=%H%x00%(trailers:key=Agent-Task,valueonly,separator=%x2C)", covered.up_to]
    if before is not None and is_ancestor(repository, before, covered.up_to):
        arguments.append(f"^{before}")
    listed = [line.split("\0") for line in repository.line(*arguments, "--").splitlines()]
    return [commit for commit, name in listed if name and name not in history.attempts]


def _has_result(queue: Queue, history: History, name: str) -> bool:
    """Whether there is something of the task to be approved. Raises SetupError where there is not."""
    if name in names(queue.pending):
        raise SetupError(f"{name}: still pending; there is nothing to approve yet")
    if name not in history.attempts and name not in history.landed and name not in names(queue.failed):
        raise SetupError(f"{name}: neither landed nor failed here (`agenttasks status` lists what is there)")
    return True


def _commit(repository: Repository, history: History, named: str) -> str:
    landed = history.landed.get(named)
    if landed is not None:
        return landed.commit
    try:
        commit = (
            repository.git("rev-parse", "-q", "--verify", "--end-of-options", f"{named}^{{commit}}")
            .decode()
            .strip()
        )
    except GitError:
        raise SetupError(f"--up-to {named}: neither a commit nor a task that has landed") from None
    if not is_ancestor(repository, commit, "HEAD"):
        raise SetupError(f"--up-to {named}: not part of the branch that is checked out")
    return commit
