"""The story of one attempt, top to bottom: from the prompt to the landed commit, or to one typed outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from . import acceptance, canary, gates, pause, retry, review_gate, room, spending, together
from .agents.contract import Progress
from .attempt_record import Attempt, failed_together, logs_of, record
from .base import Base, base_of
from .bookkeeping import commit_message, settle, task_move
from .breakdown import NO_SPACE, broken, unsupervised
from .claims import claimed
from .inspection import inspect
from .journal_records import Abandoned, AttemptStarted, CanaryAsked, Passed
from .meanwhile import refuse_edited, refuse_moved, text_id
from .memory.agent_changes import AgentMemory
from .outcome import Ended, Kind, Outcome, SetupError
from .processes.supervisor import SupervisorLost
from .recovery import clear_place
from .run import Run
from .session import gates_of, write_prompt
from .settings.records import GateSettings
from .tasks.scope import judge
from .tasks.task import Task
from .trees.changes import Change
from .trees.composition import commit, compose, composition, conflicts, diff
from .turn import LOST_RACES, ahead_of_others, another_is_ahead, let_others_land, turn, turn_behind_others
from .venue import prepare, venue_of
from .verified import move_branch, taken_up, write_passed

LANDING_TRIES = 5


def attempt(run: Run, task: Task, failures: Sequence[Outcome] = (), timeout: float | None = None) -> Attempt:
    """Run one attempt of `task`. `failures` are the outcomes of its earlier ones, `timeout` a limit in seconds.

    Always returns with an outcome, a defect of the runner included (INTERNAL), but for KeyboardInterrupt (what
    the agent did is kept) and SetupError (nothing further can run).
    """
    return recorded(run, task, lambda this: _resume(run, this) or _attempt(run, this, failures, timeout))


def recorded(run: Run, task: Task, work: Callable[[Attempt], Outcome]) -> Attempt:
    """One attempt, whoever does the `work`: with the task's files claimed, and written down however it ends."""
    this = Attempt(task, run.journal.history.attempts.get(task.name, 0) + 1)
    begun = time.monotonic()
    with ExitStack() as held:
        try:
            this.waited = room.wait(run, task.name)
            held.enter_context(claimed(run, task))
            begun = time.monotonic()
            run.journal.refresh()
            clear_place(run)
            this.number = run.journal.history.attempts.get(task.name, 0) + 1
            this.outcome = work(this)
        except Ended as ended:
            this.outcome = ended.outcome
        except KeyboardInterrupt:
            this.outcome = Outcome(
                Kind.INTERRUPTED, "stopped from outside; the task stays pending, its attempt is kept"
            )
            raise
        except SetupError:
            this.outcome = Outcome(Kind.INTERNAL, "the run cannot go on")
            raise
        except SupervisorLost as lost:
            verified = task.name in run.journal.history.passed
            this.outcome = unsupervised(lost, verified=verified, begun=this.begun, session=this.agent is None)
        except Exception as error:  # noqa: BLE001 - whatever broke, the attempt is recorded and the run stops
            this.outcome = broken(error)
        finally:
            this.seconds += time.monotonic() - begun
            if this.outcome is not None:
                _record(run, this, this.outcome)
    return this


def _record(run: Run, this: Attempt, outcome: Outcome) -> None:
    """Write the attempt's end down; on a full disk that is what stops the run."""
    try:
        record(run, this, outcome)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        if outcome.kind is not Kind.LANDED:
            this.outcome = broken(error)


def _attempt(run: Run, this: Attempt, failures: Sequence[Outcome], timeout: float | None) -> Outcome:
    task = this.task
    failures = [*failures, *failed_together(run, task)]
    while True:
        this.add_wait(pause.wait(run, task.name) + spending.wait(run, task))
        with ahead_of_others(run, task.name) as waited:
            this.add_wait(waited)
            if not pause.goes_on(run):  # nobody has to wait with a landing for a service that is out
                return _from_the_tip(run, this, failures, timeout)


def _from_the_tip(run: Run, this: Attempt, failures: Sequence[Outcome], timeout: float | None) -> Outcome:
    task = this.task
    base = base_of(run)
    start = _start(run, this, failures, base)  # from the attempt before, which the next record hides
    run.journal.write(
        AttemptStarted(task=task.name, attempt=this.number, base=base.commit, task_blob=text_id(run, task))
    )
    run.events.write("attempt-started", task=task.name, attempt=this.number, base=base.commit)
    gates.refuse_twins(gates_of(run, task))
    if not failures:
        acceptance.refuse_what_holds(run, task, base, logs_of(run, task), this.stem)
    _ask_canary(run, this, base)
    venue = venue_of(run, this, base)
    start = venue.ready(start)
    prompt = write_prompt(run, this, failures, base, start)
    with pause.session_begins(run, task.name) as now:
        with venue.services():
            try:
                this.agent = venue.hold(now, prompt, timeout)
            finally:
                shot = venue.store()
        if this.agent.failure is not None:
            pause.announce(run, task.name, this.agent.failure)
            raise Ended(this.agent.failure)
    verdict, memory = inspect(run, this, base, shot)
    return land(run, this, base.tree, verdict.allowed, memory)


def _ask_canary(run: Run, this: Attempt, base: Base) -> None:
    run.progress(this.task.name, Progress(step="canary"))
    answer = canary.of_task(run, this.task, base, logs_of(run, this.task), this.stem)
    if answer is not None:
        this.guarded = answer.guarded
        run.journal.write(CanaryAsked(task=this.task.name, attempt=this.number, guarded=answer.guarded))
        this.notes.append(f"canary: {answer.why}")


def _start(run: Run, this: Attempt, failures: Sequence[Outcome], base: Base) -> str:
    """The tree the session starts from: the base, or what the last attempt had when a gate failed it."""
    if not failures or run.settings.retry_from == "base":
        return base.tree
    if failures[-1].kind is not Kind.GATE and not failures[-1].together:
        return base.tree
    found = retry.last_files(run, this.task)
    if found is None:
        return base.tree
    before, tree = found
    old_tree = run.repository.tree_of(before)
    verdict = judge(
        this.task.scope, this.task.front.allow_tests, base.rules, diff(run.shadow, old_tree, tree)
    )
    if conflicts(run.shadow, old_tree, base.tree, verdict.allowed):
        return base.tree
    return compose(run.shadow, base.tree, verdict.allowed)


def land(
    run: Run, this: Attempt, base_tree: str, changes: Sequence[Change], memory: AgentMemory | None
) -> Outcome:
    """Compose on the tip, gate exactly that tree, and move the branch to it; again when the branch has moved."""
    with ExitStack() as turns:
        for race in range(LANDING_TRIES):
            if 0 < race < LOST_RACES:  # by then the result is verified once, and written down
                this.add_wait(let_others_land(run, this.task.name))
            elif race == LOST_RACES:
                turns.enter_context(turn_behind_others(run, this.task.name))
            passed = _land_on_tip(run, this, base_tree, changes, memory, in_turn=race >= LOST_RACES)
            if passed is not None:
                return _landed(run, this.task, passed)
    raise Ended(Outcome(Kind.MOVED, f"the branch moved {LANDING_TRIES} times while the gates ran"))


def _land_on_tip(
    run: Run,
    this: Attempt,
    base_tree: str,
    changes: Sequence[Change],
    memory: AgentMemory | None,
    *,
    in_turn: bool,
) -> Passed | None:
    """One go at landing; None where the branch has moved meanwhile, or is not to be moved now."""
    task = this.task
    refuse_edited(run, task)
    tip = base_of(run)
    refuse_moved(run, task, base_tree, tip, changes)
    moved = task_move(run, tip.tree, task, "done")
    candidate, contents = composition(run.shadow, tip.tree, [*changes, *moved])
    wanted = gates_of(run, task)
    asked = review_gate.reviews(wanted)
    names = [gate.name for gate in (*gates.shell(wanted), *asked)]
    done = commit(run.shadow, candidate, tip.commit, commit_message(run, this, names), contents)
    run.progress(task.name, Progress(step="gates"))
    try:
        if not _verify(run, this, wanted, candidate, done, tip):
            return None
    except Ended as ended:
        raise Ended(together.judged(run, this, ended.outcome, tip, base_tree, changes)) from ended
    passed = write_passed(run, this, tip, done, memory)
    if asked:
        _review(run, this, asked, review_gate.Submission(candidate, tip.tree, changes, memory))
        done = commit(
            run.shadow, candidate, tip.commit, commit_message(run, this, names)
        )  # now with its cost
        passed = write_passed(run, this, tip, done, memory)

    def next_workspace() -> None:
        prepare(run, run.tree_of(passed.new), passed.new)

    with turn(run, task.name):
        if not in_turn and another_is_ahead(run):
            return None
        return passed if move_branch(run, task, passed, beside=next_workspace) else None


def _verify(
    run: Run, this: Attempt, wanted: Sequence[GateSettings], candidate: str, done: str, tip: Base
) -> bool:
    """The gates and the task's own commands on a tree to be landed; False where they are to be asked again.

    Raises Ended for a red one.
    """
    task = this.task
    this.verdicts = gates.check(run, wanted, candidate, done, logs_of(run, task), this.stem, base=tip.tree)
    this.note_gates()
    if not this.verdicts[-1].passed:
        red = this.verdicts[-1]
        outcome = gates.refuse_red(run, wanted, red, tip.commit, logs_of(run, task), this.stem)
        if outcome.kind is Kind.GATE and red.compared not in ("", tip.tree):
            return False  # held against an older tree of the branch; the tests of this tip are known now
        raise Ended(outcome)
    logs = logs_of(run, task)
    this.verdicts += acceptance.check(run, task, candidate, done, logs, this.stem, tip.tree)
    return True


def _review(
    run: Run, this: Attempt, asked: Sequence[GateSettings], submission: review_gate.Submission
) -> None:
    """Hold the reviews of a result that is written down as passed: an outage or a kill costs no second session.

    Raises Ended, with the result forgotten where a review has refused it.
    """
    run.progress(this.task.name, Progress(step="review"))
    try:
        review_gate.check(run, this, asked, submission)
    except Ended as ended:
        if ended.outcome.kind is Kind.GATE:
            run.journal.write(Abandoned(task=this.task.name, attempt=this.number))
        raise


def _landed(run: Run, task: Task, passed: Passed) -> Outcome:
    settle(run, passed, task.data)
    return Outcome(Kind.LANDED, f"landed as {passed.commit[:10]}", commit=passed.commit)


def _resume(run: Run, this: Attempt) -> Outcome | None:
    """Land a result that an earlier run had verified but could not land; None when there is none that still fits.

    It goes through everything but the session once more: what has not changed is known already.
    """
    passed = run.journal.history.passed.get(this.task.name)
    if passed is None:
        return None
    this.number, this.begun = passed.attempt, True
    asked = run.journal.history.guarded.get(this.task.name)
    this.guarded = asked.guarded if asked is not None and asked.attempt == passed.attempt else None
    if passed.branch == run.branch and passed.task_blob == text_id(run, this.task):
        run.events.write("landing-resumed", task=this.task.name, commit=passed.commit)
        try:
            return land(run, this, run.tree_of(passed.old), *taken_up(run, this.task, passed))
        except Ended as ended:
            refused = this.task.name not in run.journal.history.passed  # by a review
            if refused or ended.outcome.kind not in (Kind.MOVED, Kind.GATE, Kind.ACCEPT):
                raise
    run.journal.write(Abandoned(task=this.task.name, attempt=passed.attempt))
    this.number, this.begun = run.journal.history.attempts.get(this.task.name, 0) + 1, False
    return None
