"""A result that all gates have passed: written down, moved to the branch, and taken up again by a later run."""

from __future__ import annotations

from collections.abc import Callable

from . import gates, landing
from .attempt_record import Attempt
from .base import Base, base_of, memory_of
from .journal_records import Passed
from .keeping_memory import memory_commit
from .meanwhile import refuse_edited, text_id
from .memory.agent_changes import AgentMemory, agent_changes
from .memory.upkeep import tidied
from .outcome import Ended, Kind, Outcome, SetupError
from .run import Run
from .tasks.scope import judge
from .tasks.task import Task
from .trees.changes import Change
from .trees.composition import diff


def write_passed(run: Run, this: Attempt, tip: Base, done: str, memory: AgentMemory | None) -> Passed:
    """The memory on top of the verified commit `done`, and both written down."""
    task = this.task
    new = memory_commit(run, done, landed=[task], memory=memory, without=task.name)
    gates.inherit(run, run.settings.gates, run.tree_of(done), run.tree_of(new))
    refuse_edited(run, task)
    passed = Passed(
        task=task.name, attempt=this.number, old=tip.commit, new=new, commit=done, branch=run.branch,
        task_blob=text_id(run, task), tracked=run.queue.tracked, queue=run.queue.relative,
    )  # fmt: skip
    run.journal.write(passed)
    return passed


def move_branch(run: Run, task: Task, passed: Passed, beside: Callable[[], None] = lambda: None) -> bool:
    """Move branch and checkout to a passed commit; False when the branch has moved. Raises Ended (CHECKOUT).

    `beside` begins other work, when what is left to do is git's.
    """
    try:
        landing.advance(
            run.shadow, run.journal, branch=passed.branch, old=passed.old, new=passed.new,
            why=f"agenttasks: {passed.task} landed", beside=beside,
        )  # fmt: skip
    except landing.BranchMoved:
        if run.repository.branch() != run.branch:
            raise SetupError(
                f"{run.repository.top}: the checkout was switched away from `{run.branch.removeprefix('refs/heads/')}` while "
                f"`{passed.task}` was landing; its verified commit is kept: switch back, then start again"
            ) from None
        return False
    except landing.InTheWay as error:
        refuse_edited(run, task)
        raise Ended(
            Outcome(
                Kind.CHECKOUT,
                str(error),
                paths=error.paths,
                advice="the verified result is kept: commit, stash or move these files, then start again and it lands at once",
            )
        ) from error
    return True


def taken_up(run: Run, task: Task, passed: Passed) -> tuple[list[Change], AgentMemory | None]:
    """The changes of a verified result, and its additions to the memory file. Raises Ended (MOVED) where the rules
    of today refuse one."""
    own = f"{run.queue.relative}/".encode()
    changes = [
        change for change in diff(run.shadow, passed.old, passed.commit) if not change.path.startswith(own)
    ]
    before, after = (
        memory_of(run.shadow, run.tree_of(commit), run.settings.memory.file).text
        for commit in (passed.commit, passed.new)
    )
    verdict = judge(task.scope, task.front.allow_tests, base_of(run).rules, changes)
    if len(verdict.allowed) != len(changes):
        raise Ended(Outcome(Kind.MOVED, "the rules have changed since this result was verified"))
    return changes, agent_changes(tidied(before), after) if before is not None and after is not None else None
