"""One session of an agent: what it is told, where it runs, and what it left, stored before anything else happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import guard, spending
from .agents.contract import STARTING, AgentResult, AgentWorkspace, Execute, Prompt
from .agents.ending import held_to_limits
from .agents.registry import unknown
from .attempt_record import Attempt, failure_before_requeue, logs_of
from .base import Base
from .held_signals import uninterrupted
from .journal_records import AttemptStored, ProgramStarted, SessionBegins
from .outcome import Outcome, SetupError
from .processes.search_paths import search_paths
from .processes.supervisor import Finished, StartError
from .prompt import build_prompt
from .rejection import rejected
from .run import Run, agent_environment, agent_files
from .settings.records import AgentSettings, GateSettings
from .state_file import put
from .tasks.task import Task
from .trees.attempts import keep
from .trees.changes import shown
from .trees.checkout import environment, sweep_ahead
from .trees.composition import patch
from .trees.places import Place
from .trees.snapshot import Snapshot, snapshot
from .trees.workspace import set_aside

MAX_OUTPUT = 1024 * 1024 * 1024
"""Bytes that one session may print before it is ended."""


def gates_of(run: Run, task: Task) -> list[GateSettings]:
    """The project's gates, then the task's, then those of plugins."""
    chosen = [*run.settings.gates, *task.front.gates]
    return [*chosen, *run.extensions.gates(task, tuple(chosen))]


def write_prompt(run: Run, this: Attempt, failures: Sequence[Outcome], base: Base, start: str) -> Prompt:
    """What the session is told, also put into its log folder."""
    task = this.task
    file = logs_of(run, task) / f"{this.stem}.prompt.md"
    told = failures or failure_before_requeue(run, task)
    taken_back = rejected(run, task.name)

    def text(additions: Sequence[str]) -> str:
        return build_prompt(
            task,
            attempt=run.journal.history.charged.get(task.name, 0) + 1,
            max_attempts=task.front.max_attempts or run.settings.max_attempts,
            scope_lines=[entry.pattern for entry in task.scope],
            protected=base.rules.protected,
            memory_file=base.rules.memory_file if base.memory is not None else None,
            gates=gates_of(run, task),
            failures=told,
            starts_from_attempt=start != base.tree,
            additions=additions,
            rejected=taken_back,
        )

    additions = run.extensions.prompt(task, Prompt(text(()), file))
    prompt = Prompt(text(additions), file)
    file.write_text(prompt.text, encoding="utf-8", errors="backslashreplace")
    return prompt


def hold_session(
    run: Run,
    this: Attempt,
    where: Place,
    base: Base,
    prompt: Prompt,
    timeout: float | None,
    budget_usd: float | None = None,
) -> AgentResult:
    """One session of the agent; when it returns no process of it is alive. Raises SetupError when there is no such agent.

    `budget_usd`: the most that it may cost, where that has been decided elsewhere.
    """
    settings, front = run.settings.agent, this.task.front
    limit = min(front.timeout or settings.timeout, timeout or float("inf"))
    found = environment(
        run.repository, where, os.environ, passed=agent_environment(run.settings), extra=settings.env
    ).variables
    variables = {**found, **search_paths(run.repository.top, where.path, found, os.environ)}
    finished: list[Finished] = []
    rules_file = logs_of(run, this.task) / f"{this.stem}.guard.json"
    guard.write_rules(
        rules_file, workspace=where.path, tmp=where.tmp, scope=this.task.scope, allow_tests=front.allow_tests,
        rules=base.rules,
    )  # fmt: skip
    own = budget_usd or front.budget_usd or settings.budget_usd
    with spending.session(run, this, this.stem, own) as held:
        workspace = AgentWorkspace(
            path=where.path,
            environment=variables,
            agent=settings,
            logs=logs_of(run, this.task),
            stem=this.stem,
            attempt=this.number,
            timeout=limit,
            stall_timeout=settings.stall_timeout,
            max_turns=front.max_turns or settings.max_turns,
            model=front.model or settings.model,
            budget_usd=held.cap.usd,
            execute=executor(run, where, variables, limit, settings, finished.append),
            progress=lambda progress: run.progress(this.task.name, progress),
            guard=rules_file,
        )
        run.progress(this.task.name, STARTING)
        this.begun = True
        run.journal.write(SessionBegins(task=this.task.name, attempt=this.number))
        try:
            result = held.result = run.extensions.run_agent(this.task, workspace, prompt)
        except StartError as error:
            raise SetupError(f"agent `{settings.name}` cannot be started: {error}") from error
        if result is None:
            raise SetupError(unknown(settings.name, run.agent_named_by))
    result = spending.judged(held, held_to_limits(result, finished))
    this.denials = max(result.denied, len(result.denials), guard.refused(rules_file, where.tmp))
    this.notes.extend(result.notes)
    return result


def executor(
    run: Run,
    where: Place,
    variables: Mapping[str, str],
    limit: float,
    agent: AgentSettings,
    ended: Callable[[Finished], None] = lambda _: None,
) -> Execute:
    """How programs of a session of `agent` are run in `where`: supervised, journaled, for at most `limit` seconds;
    `ended` hears how each did."""
    own = agent_files(run, agent)

    def started(pid: int, when: float) -> None:
        run.journal.write(ProgramStarted(pid=pid, started=when))

    def execute(
        argv: Sequence[str],
        *,
        stdout: Path,
        stderr: Path | None = None,
        stdin: Path | None = None,
        env: Mapping[str, str] | None = None,
        poll: Callable[[], str | None] | None = None,
    ) -> Finished:
        finished = run.programs.run(
            where,
            argv,
            env=variables if env is None else env,
            stdout=stdout,
            stderr=stderr,
            stdin=stdin,
            timeout=limit,
            max_output=MAX_OUTPUT,
            poll=poll,
            started=started,
            own=own,
        )
        ended(finished)
        return finished

    return execute


def store(run: Run, this: Attempt, where: Place, base_tree: str) -> Snapshot:
    """Keep what a session that began with `base_tree` left, before anything else is done with it; what git cannot
    hold keeps its workspace, and so does an attempt that could not be stored at all (a full disk)."""
    with uninterrupted():
        try:
            return _store(run, this, where, base_tree)
        except Exception:
            place = set_aside(where, f"{this.task.name}.{this.number}")
            this.notes.append(f"the attempt could not be stored; its workspace is kept in {place}")
            raise


def _store(run: Run, this: Attempt, where: Place, base_tree: str) -> Snapshot:
    run.shadow.pin()
    shot = snapshot(
        run.shadow, where, base_tree, run.provider.kept(where), beside=lambda: sweep_ahead(run, "gate")
    )
    keep_attempt(run, this, shot.tree, base_tree)
    if shot.oddities:
        place = set_aside(where, f"{this.task.name}.{this.number}")
        this.notes.append(f"not everything could be stored; the whole workspace is kept in {place}")
    if shot.left_over:
        names = ", ".join(shown(path) for path in shot.left_over[:10])
        this.notes.append(f"ignored files left out: {names}")
    return shot


def keep_attempt(run: Run, this: Attempt, tree: str, base_tree: str) -> None:
    """Store an attempt's files under its ref, with their difference to `base_tree` beside its logs."""
    this.tree = tree
    ref = f"refs/attempts/{this.task.name}/{this.number}"
    keep(run.shadow, ref, tree)
    run.journal.write(
        AttemptStored(
            task=this.task.name, attempt=this.number, ref=ref, tree=tree, by_hand=bool(this.finished_by)
        )
    )
    this.difference = run.ahead.submit(lambda: write_difference(run, this, base_tree, tree))


def write_difference(run: Run, this: Attempt, base_tree: str, tree: str) -> None:
    """What the attempt has changed, as a patch beside its logs; a file that is there is whole."""
    put(logs_of(run, this.task) / f"{this.stem}.diff", patch(run.shadow, base_tree, tree))
