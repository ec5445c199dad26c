"""The story of one attempt, top to bottom: from the prompt to the landed commit, or to one typed outcome."""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from . import gates, guard, landing, retry
from .agents.contract import AgentResult, AgentWorkspace, Execute, Progress, Prompt
from .bookkeeping import commit_message, memory_commit, task_move
from .checkout import environment, ready
from .dependencies import SetupFailed
from .durations import format_duration
from .git import GitError
from .journal import Abandoned, AttemptEnded, AttemptStarted, AttemptStored, Landed, Passed, ProgramStarted
from .memory_changes import AgentMemory, agent_changes
from .outcome import Ended, Kind, Outcome, SetupError
from .printable import one_line
from .prompt import build_prompt
from .queue import move_untracked
from .repository import is_ancestor
from .run import Run, agent_environment, memory_of, rules_of
from .scope import Rules, Verdict, judge
from .settings import GateSettings
from .shadow import blob, blob_id, commit, compose, conflicts, diff, keep, patch
from .supervisor import Finished, StartError, SupervisorLost
from .survey import leaves
from .task import Task
from .transcript import write_transcript
from .trees import SYMLINK_MODE, Change
from .workspace import Place, Snapshot, set_aside, snapshot

MAX_AGENT_OUTPUT = 1024 * 1024 * 1024
"""Bytes that one session may print before it is ended."""
LANDING_TRIES = 5


@dataclass
class Attempt:
    """What is known of one attempt so far; `outcome` is set when it is over. Times in seconds, money in USD."""

    task: Task
    number: int
    seconds: float = 0.0
    outcome: Outcome | None = None
    agent: AgentResult | None = None
    notes: list[str] = field(default_factory=list)
    verdicts: list[gates.Verdict] = field(default_factory=list)
    tree: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return f"attempt-{self.number}"


@dataclass(frozen=True, slots=True)
class Base:
    """Where an attempt starts: the tip of the branch, its tree, its memory and the rules it sets."""

    commit: str
    tree: str
    memory: str | None
    rules: Rules


def attempt(run: Run, task: Task, failures: Sequence[Outcome] = (), timeout: float | None = None) -> Attempt:
    """Run one attempt of `task`. `failures` are the outcomes of its earlier ones, `timeout` a limit in seconds.

    Always returns with an outcome, a defect of the runner included (INTERNAL), but for KeyboardInterrupt (what
    the agent did is kept) and SetupError (nothing further can run).
    """
    this = Attempt(task, run.journal.history.attempts.get(task.name, 0) + 1)
    begun = time.monotonic()
    try:
        this.outcome = _resume(run, this) or _attempt(run, this, failures, timeout)
    except Ended as ended:
        this.outcome = ended.outcome
    except KeyboardInterrupt:
        this.outcome = Outcome(Kind.INTERRUPTED, "stopped from outside; the task stays pending, its attempt is kept")
        raise
    except SetupError:
        this.outcome = Outcome(Kind.INTERNAL, "the run cannot go on")
        raise
    except SupervisorLost as lost:
        this.outcome = Outcome(
            Kind.AGENT,
            "the process that supervises the session was killed; nothing of this attempt is trusted",
            evidence=str(lost),
        )
    except Exception as error:  # noqa: BLE001 - whatever broke, the attempt is recorded and the run stops
        this.outcome = _broken(error)
    finally:
        this.seconds = time.monotonic() - begun
        if this.outcome is not None:
            _record(run, this, this.outcome)
    return this


def _attempt(run: Run, this: Attempt, failures: Sequence[Outcome], timeout: float | None) -> Outcome:
    task = this.task
    base = _base(run)
    start = _start(run, this, failures, base)
    run.journal.write(
        AttemptStarted(task=task.name, attempt=this.number, base=base.commit, task_blob=_text_id(run, task))
    )
    run.events.write("attempt-started", task=task.name, attempt=this.number, base=base.commit)
    where = _workspace(run, start, base)
    prompt = _prompt(run, this, failures, base, start)
    try:
        this.agent = _session(run, this, where, base, prompt, timeout)
    finally:
        shot = _store(run, this, where, base)
    if this.agent.failure is not None:
        raise Ended(this.agent.failure)
    verdict, memory = _judge(run, this, base, shot)
    return _land(run, this, base, verdict.allowed, memory)


def _base(run: Run) -> Base:
    if run.repository.branch() != run.branch:
        raise SetupError(
            f"{run.repository.top}: the checkout was switched away from `{run.branch.removeprefix('refs/heads/')}` while the "
            "run was going on; switch back, then start again"
        )
    tip = run.repository.tip()
    tree = run.repository.tree_of(tip)
    memory = memory_of(run.shadow, tree, run.settings.memory.file)
    return Base(tip, tree, memory.text, rules_of(run.settings, run.queue, memory, _settings_name(run)))


def _settings_name(run: Run) -> str:
    try:
        return run.settings_file.resolve().relative_to(run.repository.top.resolve()).as_posix()
    except ValueError:
        return "agenttasks.yaml"


def _start(run: Run, this: Attempt, failures: Sequence[Outcome], base: Base) -> str:
    """The tree the session starts from: the base, or what the last attempt had when a gate failed it."""
    if not failures or failures[-1].kind is not Kind.GATE or run.settings.retry_from == "base":
        return base.tree
    found = retry.last_files(run, this.task)
    if found is None:
        return base.tree
    before, tree = found
    old_tree = run.repository.tree_of(before)
    verdict = judge(this.task.scope, this.task.front.allow_tests, base.rules, diff(run.shadow, old_tree, tree))
    if conflicts(run.shadow, old_tree, base.tree, verdict.allowed):
        return base.tree
    return compose(run.shadow, base.tree, verdict.allowed)


def _workspace(run: Run, start: str, base: Base) -> Place:
    try:
        return ready(run, "agent", start, base.commit, base_tree=base.tree)
    except SetupFailed as failed:
        raise Ended(
            Outcome(Kind.BASE_RED, str(failed), evidence=failed.evidence, log=str(failed.log), gate="setup")
        ) from failed


def _prompt(run: Run, this: Attempt, failures: Sequence[Outcome], base: Base, start: str) -> Prompt:
    task = this.task
    file = _logs(run, task) / f"{this.stem}.prompt.md"

    def text(additions: Sequence[str]) -> str:
        return build_prompt(
            task,
            attempt=run.journal.history.charged.get(task.name, 0) + 1,
            max_attempts=task.front.max_attempts or run.settings.max_attempts,
            scope_lines=[entry.pattern for entry in task.scope],
            protected=base.rules.protected,
            memory_file=base.rules.memory_file if base.memory is not None else None,
            gates=_gates(run, task),
            failures=failures,
            starts_from_attempt=start != base.tree,
            additions=additions,
        )

    additions = run.extensions.prompt(task, Prompt(text(()), file))
    prompt = Prompt(text(additions), file)
    file.write_text(prompt.text, encoding="utf-8", errors="backslashreplace")
    return prompt


def _session(
    run: Run, this: Attempt, where: Place, base: Base, prompt: Prompt, timeout: float | None
) -> AgentResult:
    """One session of the agent; when it returns no process of it is alive."""
    settings, front = run.settings.agent, this.task.front
    limit = min(front.timeout or settings.timeout, timeout or float("inf"))
    found = environment(
        run.repository, where, os.environ, passed=agent_environment(run.settings), extra=settings.env
    )
    rules_file = _logs(run, this.task) / f"{this.stem}.guard.json"
    guard.write_rules(
        rules_file, workspace=where.path, tmp=where.tmp, scope=this.task.scope, allow_tests=front.allow_tests,
        rules=base.rules,
    )  # fmt: skip
    workspace = AgentWorkspace(
        path=where.path,
        environment=found.variables,
        agent=settings,
        logs=_logs(run, this.task),
        stem=this.stem,
        attempt=this.number,
        timeout=limit,
        stall_timeout=settings.stall_timeout,
        max_turns=front.max_turns or settings.max_turns,
        model=front.model or settings.model,
        budget_usd=front.budget_usd or settings.budget_usd,
        execute=_executor(run, where, found.variables, limit),
        progress=lambda progress: run.progress(this.task.name, progress),
        guard=rules_file,
    )
    run.progress(this.task.name, Progress(step="starting"))
    try:
        result = run.extensions.run_agent(this.task, workspace, prompt)
    except StartError as error:
        raise SetupError(f"agent `{settings.name}` cannot be started: {error}") from error
    if result is None:
        raise SetupError(
            f"no agent named `{settings.name}`: use claude, command or replay, or install the plugin that registers it"
        )
    this.notes.extend(result.notes)
    return result


def _executor(run: Run, where: Place, variables: Mapping[str, str], limit: float) -> Execute:
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
        return run.supervisor.run(
            argv,
            cwd=where.path,
            env=variables if env is None else env,
            stdout=stdout,
            stderr=stderr,
            stdin=stdin,
            timeout=limit,
            max_output=MAX_AGENT_OUTPUT,
            poll=poll,
            started=started,
        )

    return execute


def _store(run: Run, this: Attempt, where: Place, base: Base) -> Snapshot:
    """Keep what the session left, before anything else is done with it; what git cannot hold keeps its workspace."""
    with landing.uninterrupted():
        shot = snapshot(run.shadow, where, base.tree, run.provider.kept(where))
        this.tree = shot.tree
        ref = f"refs/attempts/{this.task.name}/{this.number}"
        keep(run.shadow, ref, shot.tree)
        run.journal.write(AttemptStored(task=this.task.name, attempt=this.number, ref=ref, tree=shot.tree))
        (_logs(run, this.task) / f"{this.stem}.diff").write_bytes(patch(run.shadow, base.tree, shot.tree))
        if shot.oddities:
            place = set_aside(where, f"{this.task.name}.{this.number}")
            this.notes.append(f"not everything could be stored; the whole workspace is kept in {place}")
        if shot.left_over:
            names = ", ".join(path.decode("utf-8", "backslashreplace") for path in shot.left_over[:10])
            this.notes.append(f"ignored files left out: {names}")
    return shot


def _judge(run: Run, this: Attempt, base: Base, shot: Snapshot) -> tuple[Verdict, AgentMemory | None]:
    """The scope verdict, before anything that the agent wrote is executed. Raises Ended for any violation."""
    task = this.task
    changes = diff(run.shadow, base.tree, shot.tree)
    verdict = judge(task.scope, task.front.allow_tests, base.rules, changes)
    this.dropped = tuple(change.name for change in verdict.dropped)
    refused = [(v.change.name, f"{v.change.verb}: {v.reason}") for v in verdict.violations]
    refused += [(oddity.name, oddity.reason) for oddity in shot.oddities]
    refused += [
        (change.name, "symbolic link that leaves the repository")
        for change in verdict.allowed
        if change.new_mode == SYMLINK_MODE and leaves(change.path, blob(run.shadow, change.new_object))
    ]
    memory = None
    if verdict.memory is not None:
        memory, reasons = _judge_memory(run, base, verdict.memory)
        refused += [(verdict.memory.name, reason) for reason in reasons]
    refused += [(task.name, reason) for reason in run.extensions.check_changes(task, verdict.allowed)]
    if refused:
        first = ", ".join(name for name, _ in refused[:3]) + (f" and {len(refused) - 3} more" if len(refused) > 3 else "")
        raise Ended(
            Outcome(
                Kind.SCOPE,
                f"{len(refused)} change{'s' * (len(refused) > 1)} out of scope: {first}",
                evidence="\n".join(f"{name}: {reason}" for name, reason in refused[:200]),
                paths=tuple(name for name, _ in refused),
                log=str(_logs(run, task) / f"{this.stem}.diff"),
            )
        )
    if not verdict.allowed and not task.front.allow_no_change:
        raise Ended(Outcome(Kind.AGENT, "no change: the session ended without changing a file in scope"))
    return verdict, memory


def _judge_memory(run: Run, base: Base, change: Change) -> tuple[AgentMemory | None, tuple[str, ...]]:
    if base.memory is None or change.added:
        return None, ("added: not in Files in Scope",)
    if change.deleted or change.new_mode != change.old_mode:
        return None, (f"{change.verb}: only additions to it are allowed",)
    try:
        text = blob(run.shadow, change.new_object).decode("utf-8")
    except UnicodeDecodeError:
        return None, ("modified: no longer UTF-8",)
    judged = agent_changes(base.memory, text)
    return judged, judged.violations


def _land(run: Run, this: Attempt, base: Base, changes: Sequence[Change], memory: AgentMemory | None) -> Outcome:
    """Compose on the tip, gate exactly that tree, and move the branch to it; again when the branch has moved."""
    task = this.task
    for _ in range(LANDING_TRIES):
        _refuse_edited(run, task)
        tip = run.repository.tip()
        tip_tree = run.repository.tree_of(tip)
        clash = conflicts(run.shadow, base.tree, tip_tree, changes)
        if clash:
            names = ", ".join(path.decode("utf-8", "backslashreplace") for path in clash[:10])
            raise Ended(Outcome(Kind.MOVED, f"the branch has changed the same files meanwhile: {names}"))
        candidate = compose(run.shadow, tip_tree, [*changes, *task_move(run, tip_tree, task, "done")])
        wanted = _gates(run, task)
        done = commit(run.shadow, candidate, tip, commit_message(run, this, [gate.name for gate in wanted]))
        run.progress(task.name, Progress(step="gates"))
        this.verdicts = gates.check(run, wanted, candidate, done, _logs(run, task), this.stem)
        if not this.verdicts[-1].passed:
            raise Ended(gates.refuse_red(run, wanted, this.verdicts[-1], tip, _logs(run, task), this.stem))
        new = memory_commit(run, done, landed=[task], memory=memory, without=task.name)
        gates.inherit(run, run.settings.gates, candidate, run.repository_tree(new))
        passed = Passed(
            task=task.name, attempt=this.number, old=tip, new=new, commit=done, branch=run.branch,
            task_blob=_text_id(run, task), tracked=run.queue.tracked,
        )  # fmt: skip
        run.journal.write(passed)
        if _advance(run, passed):
            return _landed(run, passed)
    raise Ended(Outcome(Kind.MOVED, f"the branch moved {LANDING_TRIES} times while the gates ran"))


def _advance(run: Run, passed: Passed) -> bool:
    """Move branch and checkout to a passed commit; False when the branch has moved. Raises Ended (CHECKOUT)."""
    try:
        landing.advance(
            run.shadow, run.journal, branch=passed.branch, old=passed.old, new=passed.new,
            why=f"agenttasks: {passed.task} landed",
        )  # fmt: skip
    except landing.BranchMoved:
        if run.repository.branch() != run.branch:
            raise SetupError(
                f"{run.repository.top}: the checkout was switched away from `{run.branch.removeprefix('refs/heads/')}` while "
                f"`{passed.task}` was landing; its verified commit is kept: switch back, then start again"
            ) from None
        return False
    except landing.InTheWay as error:
        raise Ended(
            Outcome(
                Kind.CHECKOUT,
                str(error),
                paths=error.paths,
                advice="the verified result is kept: commit, stash or move these files, then start again and it lands at once",
            )
        ) from error
    return True


def _landed(run: Run, passed: Passed) -> Outcome:
    if not passed.tracked and (run.queue.pending / f"{passed.task}.md").exists():
        move_untracked(run.queue, passed.task, "done")
    run.journal.write(Landed(task=passed.task, attempt=passed.attempt, commit=passed.commit))
    return Outcome(Kind.LANDED, f"landed as {passed.commit[:10]}", commit=passed.commit)


def _resume(run: Run, this: Attempt) -> Outcome | None:
    """Land a result that an earlier run had verified but could not land; None when there is none that still fits."""
    passed = run.journal.history.passed.get(this.task.name)
    if passed is None:
        return None
    this.number = passed.attempt
    tip = run.repository.tip()
    if passed.branch == run.branch and is_ancestor(run.repository, passed.new, tip):
        return _landed(run, passed)
    if passed.branch == run.branch and passed.task_blob == _text_id(run, this.task):
        run.events.write("landing-resumed", task=this.task.name, commit=passed.commit)
        if passed.old == tip and _advance(run, passed):
            return _landed(run, passed)
    run.journal.write(Abandoned(task=this.task.name, attempt=passed.attempt))
    this.number = run.journal.history.attempts.get(this.task.name, 0) + 1
    return None


def _refuse_edited(run: Run, task: Task) -> None:
    file = run.queue.pending / f"{task.name}.md"
    try:
        now = file.read_bytes()
    except FileNotFoundError:
        raise Ended(Outcome(Kind.MOVED, "the task file was taken away while the task ran")) from None
    if now != task.data:
        raise Ended(Outcome(Kind.MOVED, "the task file was edited while the task ran; it runs again with its new text"))


def _gates(run: Run, task: Task) -> list[GateSettings]:
    chosen = [*run.settings.gates, *task.front.gates]
    return [*chosen, *run.extensions.gates(task, tuple(chosen))]


def _text_id(run: Run, task: Task) -> str:
    return blob_id(task.data, run.repository.object_format)


def _logs(run: Run, task: Task) -> Path:
    folder = run.queue.logs / task.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _broken(error: Exception) -> Outcome:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Outcome(Kind.DISK, f"no space left: {error.filename or ''}", advice="free some space, then start again")
    if isinstance(error, GitError) and "No space left on device" in error.stderr:
        return Outcome(Kind.DISK, "no space left for git", evidence=error.stderr, advice="free some space, then start again")
    return Outcome(
        Kind.INTERNAL, one_line(f"{type(error).__name__}: {error}"), evidence="".join(traceback.format_exception(error))
    )


def _record(run: Run, this: Attempt, outcome: Outcome) -> None:
    """The attempt's end, in the journal, the event log and its folder."""
    agent = this.agent or AgentResult()
    run.journal.write(
        AttemptEnded(
            task=this.task.name,
            attempt=this.number,
            kind=outcome.kind,
            summary=one_line(outcome.summary),
            seconds=round(this.seconds, 3),
            cost_usd=agent.cost_usd,
            turns=agent.turns,
            session=agent.session,
        )
    )
    run.events.write(
        "attempt-ended", task=this.task.name, attempt=this.number, outcome=outcome.kind.value, summary=outcome.summary,
        took=format_duration(this.seconds), cost_usd=agent.cost_usd, commit=outcome.commit,
    )  # fmt: skip
    folder = _logs(run, this.task)
    stream = folder / f"{this.stem}.jsonl"
    if stream.exists():
        write_transcript(stream, folder / f"{this.stem}.transcript.md", f"{this.task.name}, attempt {this.number}")
    document = {
        "task": this.task.name,
        "attempt": this.number,
        "outcome": outcome.kind.value,
        "summary": outcome.summary,
        "evidence": outcome.evidence,
        "paths": list(outcome.paths),
        "commit": outcome.commit,
        "seconds": round(this.seconds, 3),
        "cost_usd": agent.cost_usd,
        "turns": agent.turns,
        "session": agent.session,
        "denials": list(agent.denials),
        "notes": this.notes,
        "dropped": list(this.dropped),
        "gates": [{"name": v.gate, "passed": v.passed, "seconds": v.seconds, "log": v.log} for v in this.verdicts],
    }
    text = msgspec.json.format(msgspec.json.encode(_encodable(document)), indent=2)
    (folder / f"{this.stem}.json").write_bytes(text + b"\n")


def _encodable(value: object) -> object:
    """Text with lone surrogates cannot be encoded: show them as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
