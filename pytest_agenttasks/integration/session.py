"""The state of one pytest run of a queue, and the core's calls on behalf of its items."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace

import pytest

from .. import attempt as attempt_module
from .. import pause
from ..attempt_record import Attempt, earlier_failures, failure_before_requeue
from ..bookkeeping import commit_queue, give_up
from ..meanwhile import text_id
from ..outcome import Kind, Outcome, SetupError
from ..preflight import landed_commit
from ..queue import names
from ..report.printable import one_line
from ..report.summary import Row
from ..retry import Decision, Final, Standing, decide
from ..run import Run
from ..tasks.lint import lint
from ..tasks.task import Task, read
from ..trees.repository import Repository
from .collection import TaskItem, skip
from .limits import Account, Used
from .plan import Plan
from .task_progress import Progress


class QueueSession:
    """Opened when the option is given; `run` is there once the loop has started.

    `chosen` are the tasks that were selected, `rows` what became of each, `notes` the lines below the table. `stopped`:
    why nothing more was handed out.
    """

    def __init__(self, config: pytest.Config, repository: Repository, plan: Plan, account: Account) -> None:
        self.config = config
        self.repository = repository
        self.plan = plan
        self.queue = plan.queue
        self.settings = plan.settings
        self.account = account
        self.run: Run | None = None
        self.progress: dict[str, Progress] = {}
        self.rows: dict[str, Row] = {}
        self.chosen: Sequence[Task] = ()
        self.notes: list[str] = []
        self.stopped: str | None = None

    @property
    def all_landed(self) -> bool:
        """Whether every chosen task has landed, none having been left out by a plugin's hook."""
        landed = {name for name, row in self.rows.items() if row.kind is Kind.LANDED}
        return all(task.name in landed for task in self.chosen)

    @property
    def given_up(self) -> str | None:
        """Why this process can hold no more sessions, None: it can."""
        machine = None if self.run is None else self.run.machine
        return None if machine is None else machine.given_up

    def prepare(self, item: TaskItem) -> None:
        """Skip a task that is blocked or held. Called in the setup phase."""
        assert self.run is not None
        task = item.task
        if task.refused:
            return
        commit = landed_commit(self.run, task.name)
        if commit is not None and self._over(task) is None:
            reason = f"its commit {commit[:10]} was reverted; `agenttasks requeue {task.name} -m WHY` runs it again"
            self._skipped(item, Kind.HELD, reason)
        waiting = [name for name in task.front.depends_on if not (self.queue.done / f"{name}.md").exists()]
        if waiting:
            self._skipped(item, Kind.BLOCKED, f"waits for {', '.join(waiting)}, which has not landed")

    def _skipped(self, item: TaskItem, kind: Kind, reason: str) -> None:
        self.rows[item.task.name] = Row(item.task.name, kind, 0, 0.0, None, None, reason)
        item.user_properties[:] = [("outcome", kind.value), ("attempts", "0")]
        skip(kind, reason)

    def attempt(self, item: TaskItem) -> Outcome:
        """One attempt of the item's task, with its text as it is now."""
        progress = self.progress.get(item.task.name)
        if progress is None:
            assert self.run is not None
            progress = Progress(item.task, charged=earlier_failures(self.run, item.task))
            self.progress[item.task.name] = progress
        try:
            outcome = self._attempt(item, progress)
        except SetupError as error:
            lines = str(error).splitlines() or [""]
            outcome = Outcome(
                Kind.INTERNAL,
                lines[0],
                evidence="\n".join(lines[1:]),
                advice="mend that, then start again: the task is still pending",
            )
        except Exception as error:  # noqa: BLE001  a defect, or a hook of the user's: nothing more may be spent
            outcome = Outcome(
                Kind.INTERNAL,
                one_line(f"{type(error).__name__}: {error}"),
                evidence="".join(traceback.format_exception(error)),
            )
        progress.outcomes.append(outcome)
        if outcome.kind.charged:
            progress.charged.append(outcome)
        return outcome

    def _attempt(self, item: TaskItem, progress: Progress) -> Outcome:
        run = self.run
        assert run is not None
        task = self._frozen(item)
        if task.refused:
            problems = [problem for problem in task.problems if not problem.hint]
            lines = [f"{task.path.name}{f':{p.line}' if p.line else ''}: {p.message}" for p in problems]
            outcome = Outcome(
                Kind.REFUSED,
                f"{len(lines)} problem{'s' * (len(lines) > 1)} in the task file; nothing was spent",
                evidence="\n".join(lines),
                advice=f"mend the file in {self.queue.failed}, then `agenttasks requeue {task.name}`",
            )
            run.events.write("task-refused", task=task.name, problems="; ".join(lines))
            return outcome
        if not progress.begun and (over := self._over(task)) is not None:
            return over
        if not progress.begun and (used_up := self._used_up(task, progress)) is not None:
            return used_up
        progress.begun += 1
        this = attempt_module.attempt(run, task, progress.charged, self._timeout())
        assert this.outcome is not None
        progress.attempts.append(this)
        progress.waited += this.waited
        self.account.add(_used(this))
        return this.outcome

    def _over(self, task: Task) -> Outcome | None:
        """What became of a task that was over when its worker was killed, which could not tell. None: it is pending."""
        run = self.run
        assert run is not None
        if task.path.exists():
            return None
        commit = landed_commit(run, task.name)
        if commit is not None and (self.queue.done / f"{task.name}.md").exists():
            return Outcome(Kind.LANDED, f"landed as {commit[:10]}", commit=commit)
        if (self.queue.failed / f"{task.name}.md").exists():
            return next(iter(failure_before_requeue(run, task)), None)
        return None

    def _used_up(self, task: Task, progress: Progress) -> Outcome | None:
        """The last outcome of a task whose attempts are used up: the run was killed before it was given up. None where
        it has one left, or another text since."""
        run = self.run
        assert run is not None
        started = run.journal.history.starts.get(task.name)
        most = task.front.max_attempts or self.settings.max_attempts
        if len(progress.charged) < most or started is None or started.task_blob != text_id(run, task):
            return None
        return progress.charged[-1]

    def interrupted(self, item: TaskItem) -> Outcome:
        """Record that the item's task was stopped, in an attempt or between two."""
        progress = self.progress.setdefault(item.task.name, Progress(item.task))
        outcome = Outcome(
            Kind.INTERRUPTED,
            "stopped from outside; the task stays pending, its attempts are kept",
            log=str(self.queue.logs / item.task.name),
        )
        progress.outcomes.append(outcome)
        self.rows[item.task.name] = progress.row
        return outcome

    def _frozen(self, item: TaskItem) -> Task:
        run = self.run
        assert run is not None
        task = read(item.task.path) if item.task.path.exists() else item.task
        if task.data == item.task.data:
            return item.task
        commit_queue(run)
        problems = lint(
            [task],
            done=names(self.queue.done),
            failed=names(self.queue.failed),
            base_paths=(),
            rules=self.plan.rules,
            known={task.name for task in self.plan.tasks},
        )
        item.task = replace(task, problems=tuple(problems.get(task.path, task.problems)))
        return item.task

    def _timeout(self) -> float | None:
        typed = getattr(self.config.option, "timeout", None)
        return float(typed) if typed else None

    def decide(self, item: TaskItem) -> Decision:
        """What follows the last outcome of the item's task."""
        run = self.run
        assert run is not None
        progress = self.progress[item.task.name]
        outcome = progress.outcomes[-1]
        if outcome.kind.charged or outcome.landed:
            progress.free = 0
        standing = Standing(
            charged=run.journal.history.charged.get(item.task.name, 0),
            max_attempts=item.task.front.max_attempts or self.settings.max_attempts,
            free=progress.free,
            waited=progress.waited,
            lived=pause.lived(run),
        )
        if not outcome.kind.charged:
            progress.free += 1
        if not progress.begun and self._over(item.task) is not None:
            return Final(give_up=False)
        return decide(
            outcome,
            standing,
            retry_delay=self.settings.retry_delay,
            wait=self.settings.wait,
            until=run.until,
        )

    def finish(self, item: TaskItem, decision: Decision) -> None:
        """Record a task's last outcome, and move its file when it is given up. Raises SetupError when it cannot be."""
        run = self.run
        assert run is not None
        progress = self.progress[item.task.name]
        self.rows[item.task.name] = progress.row
        if progress.flaky:
            gates = ", ".join(f"`{gate}`" for gate in progress.flaky)
            self.notes.append(f"{item.task.name}: flaky, green when run again: gate {gates}")
        if isinstance(decision, Final) and decision.give_up:
            try:
                note = give_up(run, item.task, progress.outcomes[-1])
            except Exception as error:
                raise SetupError(
                    f"{item.task.path}: cannot be moved to {self.queue.failed}: {error}"
                ) from error
            if note:
                self.notes.append(note)

    def properties(self, item: TaskItem) -> list[tuple[str, object]]:
        """The JUnit properties of the item's task."""
        return self.progress[item.task.name].properties(self.queue.logs / item.task.name)


def _used(this: Attempt) -> Used:
    return Used(
        sessions=len(this.bills),
        landed=int(this.outcome is not None and this.outcome.landed),
        spent=this.cost_usd or 0.0,
    )
