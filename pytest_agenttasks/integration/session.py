"""The state of one pytest run of a queue, and the core's calls on behalf of its items."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from .. import attempt as attempt_module
from ..attempt_record import Attempt, earlier_failures
from ..base import memory_of, rules_of
from ..bookkeeping import commit_queue, give_up
from ..outcome import Kind, Outcome, SetupError
from ..plan import order
from ..preflight import landed_commit
from ..queue import Queue, names, task_files
from ..report.printable import one_line, printable
from ..report.summary import Row
from ..retry import Decision, Final, Standing, decide
from ..run import Run
from ..settings.records import Settings
from ..tasks.lint import lint
from ..tasks.task import Task, read
from ..trees.git import split
from ..trees.repository import Repository
from . import limits
from .collection import TaskItem, skip


@dataclass
class Progress:
    """What has become of one task in this run."""

    task: Task
    outcomes: list[Outcome] = field(default_factory=list)
    begun: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    charged: list[Outcome] = field(default_factory=list)
    free: int = 0
    waited: float = 0.0


class QueueSession:
    """Opened when the option is given; `run` is there once the loop has started."""

    def __init__(
        self,
        config: pytest.Config,
        repository: Repository,
        queue: Queue,
        settings: Settings,
        settings_file: Path,
        typed: frozenset[str] = frozenset(),
    ) -> None:
        self.config = config
        self.repository = repository
        self.queue = queue
        self.settings = settings
        self.settings_file = settings_file
        self.typed = typed
        self.run: Run | None = None
        self.progress: dict[str, Progress] = {}
        self.rows: dict[str, Row] = {}
        self.started = limits.now()
        self.used = limits.Used()
        self.chosen: Sequence[Task] = ()
        self.notes: list[str] = []
        self._tasks = self._read_tasks()

    def tasks(self) -> Sequence[Task]:
        """All that are pending, in the order in which they run; `chosen` are those that were selected."""
        return self._tasks

    @property
    def node_id(self) -> str:
        """The node id of the queue's folder: from pytest's rootdir where it lies there, else from the git top."""
        pending, root = self.queue.pending, self.config.rootpath
        base = root if root in pending.parents else self.repository.top
        return printable(pending.relative_to(base).as_posix())

    @property
    def all_landed(self) -> bool:
        """Whether every chosen task has landed, none having been left out by a plugin's hook."""
        landed = {name for name, row in self.rows.items() if row.kind is Kind.LANDED}
        return all(task.name in landed for task in self.chosen)

    def _read_tasks(self) -> list[Task]:
        tasks = [read(path) for path in task_files(self.queue.pending)]
        tip = self.repository.tip()
        memory = memory_of(self.repository, tip, self.settings.memory.file)
        rules = rules_of(self.settings, self.queue, memory)
        listed = split(self.repository.git("ls-tree", "-r", "-z", "--name-only", tip))
        problems = lint(
            tasks,
            done=names(self.queue.done),
            failed=names(self.queue.failed),
            base_paths=[path.decode("utf-8", "surrogateescape") for path in listed],
            rules=rules,
        )
        checked = [replace(task, problems=tuple(problems.get(task.path, task.problems))) for task in tasks]
        self._rules = rules
        for task in checked:
            for tag in task.front.tags:
                self.config.addinivalue_line("markers", f"{tag}: tag of agent tasks")
        by_name = {task.name: task for task in checked}
        ordered = order([task.name for task in checked], {t.name: t.front.depends_on for t in checked})
        return [by_name[name] for name in ordered] if len(by_name) == len(checked) else checked

    def prepare(self, item: TaskItem) -> None:
        """Skip a task that is blocked or held. Called in the setup phase."""
        assert self.run is not None
        task = item.task
        if task.refused:
            return
        commit = landed_commit(self.run, task.name)
        if commit is not None:
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
        progress.begun += 1
        this = attempt_module.attempt(run, task, progress.charged, self._timeout())
        assert this.outcome is not None
        progress.attempts.append(this)
        self._count(this)
        return this.outcome

    def interrupted(self, item: TaskItem) -> Outcome:
        """Record that the item's task was stopped, in an attempt or between two."""
        progress = self.progress.setdefault(item.task.name, Progress(item.task))
        outcome = Outcome(
            Kind.INTERRUPTED,
            "stopped from outside; the task stays pending, its attempts are kept",
            log=str(self.queue.logs / item.task.name),
        )
        progress.outcomes.append(outcome)
        self._row(progress)
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
            rules=self._rules,
            known=self._names(),
        )
        item.task = replace(task, problems=tuple(problems.get(task.path, task.problems)))
        return item.task

    def _names(self) -> set[str]:
        return {task.name for task in self._tasks}

    def _timeout(self) -> float | None:
        typed = getattr(self.config.option, "timeout", None)
        return float(typed) if typed else None

    def _count(self, this: Attempt) -> None:
        self.used.sessions += (this.agent is not None) + len(this.reviews)
        self.used.spent += this.cost_usd or 0.0
        if this.outcome is not None and this.outcome.landed:
            self.used.landed += 1

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
        )
        if not outcome.kind.charged:
            progress.free += 1
        return decide(outcome, standing, retry_delay=self.settings.retry_delay, wait=self.settings.wait)

    def finish(self, item: TaskItem, decision: Decision) -> None:
        """Record a task's last outcome, and move its file when it is given up. Raises SetupError when it cannot be."""
        run = self.run
        assert run is not None
        progress = self.progress[item.task.name]
        self._row(progress)
        if flaky := dict.fromkeys(gate for this in progress.attempts for gate in this.flaky):
            names = ", ".join(f"`{gate}`" for gate in flaky)
            self.notes.append(f"{item.task.name}: flaky, green when run again: gate {names}")
        if isinstance(decision, Final) and decision.give_up:
            try:
                note = give_up(run, item.task)
            except Exception as error:
                raise SetupError(
                    f"{item.task.path}: cannot be moved to {self.queue.failed}: {error}"
                ) from error
            if note:
                self.notes.append(note)

    def _row(self, progress: Progress) -> None:
        outcome = progress.outcomes[-1]
        self.rows[progress.task.name] = Row(
            progress.task.name,
            outcome.kind,
            progress.begun,
            sum(this.seconds for this in progress.attempts),
            self._cost(progress),
            outcome.commit,
            outcome.summary,
            without_session=sum(this.agent is None for this in progress.attempts),
            denials=sum(this.denials for this in progress.attempts),
            reviews=sum(len(this.reviews) for this in progress.attempts),
        )

    def _cost(self, progress: Progress) -> float | None:
        costs = [this.cost_usd for this in progress.attempts if this.cost_usd is not None]
        return sum(costs) if costs else None

    def properties(self, item: TaskItem) -> list[tuple[str, object]]:
        """The JUnit properties of the contract."""
        progress = self.progress[item.task.name]
        found: list[tuple[str, object]] = [
            ("outcome", progress.outcomes[-1].kind.value),
            ("attempts", str(progress.begun)),
        ]
        for number, outcome in enumerate(progress.outcomes, 1):
            found.append((f"attempt.{number}", printable(f"{outcome.kind}: {outcome.summary}")))
        if commit := progress.outcomes[-1].commit:
            found.append(("commit", commit))
        if flaky := dict.fromkeys(gate for this in progress.attempts for gate in this.flaky):
            found.append(("flaky", ", ".join(flaky)))
        if (cost := self._cost(progress)) is not None:
            found.append(("cost_usd", f"{cost:.4f}"))
        last = next((this for this in reversed(progress.attempts) if this.agent is not None), None)
        if last is not None and last.agent is not None:
            if last.turns is not None:
                found.append(("turns", str(last.turns)))
            if last.agent.session:
                found.append(("session", printable(last.agent.session)))
        denials = sum(this.denials for this in progress.attempts)
        if denials or (last is not None and last.agent is not None and last.agent.session):
            found.append(("denials", str(denials)))
        for review in (review for this in progress.attempts for review in this.reviews if review.session):
            found.append(("review_session", printable(review.session or "")))
        found.append(("log", printable(str(self.queue.logs / item.task.name))))
        return found
