"""What a session may cost is known before it begins, and what it has cost is never lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_agenttasks import recovery, spending
from pytest_agenttasks.agents.contract import AgentResult, AgentWorkspace, Progress
from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.attempt_record import Attempt
from pytest_agenttasks.budget import Budget, Cap, Spending
from pytest_agenttasks.cli import main
from pytest_agenttasks.integration.crash import untold
from pytest_agenttasks.integration.crew import Member
from pytest_agenttasks.integration.limits import Used
from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import AttemptEnded, AttemptStored, SessionEnded, SessionStarted
from pytest_agenttasks.ledger import Ledger, day, next_day
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.owner import this_process
from pytest_agenttasks.run import Run
from pytest_agenttasks.tasks.task import Task, read
from tests.claude_events import DONE, INIT, line
from tests.fake_reviewer import APPROVAL, FakeReviewer
from tests.opened import append, attempt_task, opened
from tests.test_claude_cost import EACH, USAGE, about, said
from tests.user_repository import UserRepository, task_text

GREEN = [{"name": "tests", "run": "true"}]
RED = [{"name": "tests", "run": "! grep -q attempt src/a.txt"}]
DEAD = "999999999-1.0/7"


def streaming(*events: object, caps: list[float | None] | None = None) -> Callable[[AgentWorkspace], None]:
    """An agent that changes a file and whose stream says this."""

    def agent(workspace: AgentWorkspace) -> None:
        append(workspace)
        workspace.stream.write_bytes(b"".join(line(event) + b"\n" for event in events))
        if caps is not None:
            caps.append(workspace.budget_usd)

    return agent


def costing(usd: float, caps: list[float | None] | None = None) -> Callable[[AgentWorkspace], None]:
    return streaming(INIT, {**DONE, "total_cost_usd": usd}, caps=caps)


def again(run: Run, this: Attempt) -> Attempt:
    assert this.outcome is not None
    return attempt(run, this.task, [this.outcome])


def task_of(run: Run, name: str = "001-first") -> Task:
    file = run.queue.pending / f"{name}.md"
    file.write_text(task_text(name, ("src/a.txt",)))
    return read(file)


def ended(this: Attempt) -> Outcome:
    assert this.outcome is not None
    return this.outcome


def test_what_a_session_has_cost_counts_for_its_task_its_run_and_its_day(repository: UserRepository) -> None:
    with opened(repository, costing(0.75), gates=RED, retry_delay=0) as run:
        this = attempt_task(run)
        assert (this.cost_usd, ended(this).kind) == (0.75, Kind.GATE)
        once = Spending(sessions=1, usd=0.75)
        ledger = run.journal.history.ledger
        today = day(time.time())
        assert [ledger.of_task("001-first"), ledger.of_run(run.began), ledger.of_day(today)] == [once] * 3
        again(run, this)
        assert ledger.of_task("001-first") == once + once
        assert (run.journal.history.sessions, run.journal.history.spent_usd) == (2, 1.5)
    with opened(repository) as run:  # another run
        ledger = run.journal.history.ledger
        assert ledger.of_run(run.began) == Spending()
        assert ledger.of_task("001-first") == ledger.of_day(day(time.time())) == once + once


def test_a_task_that_has_landed_begins_anew(repository: UserRepository) -> None:
    with opened(repository, costing(0.75), gates=GREEN) as run:
        assert ended(attempt_task(run)).kind is Kind.LANDED
        assert run.journal.history.ledger.of_task("001-first") == Spending()
        assert run.journal.history.ledger.of_run(run.began).usd == 0.75


def test_sessions_of_a_task_get_what_its_budget_has_left_and_then_it_is_over(
    repository: UserRepository,
) -> None:
    caps: list[float | None] = []
    with opened(repository, costing(0.75, caps), gates=RED) as run:
        first = attempt_task(run, front="budget: {usd: 1.25}")
        second = again(run, first)
        assert caps == [pytest.approx(1.25), pytest.approx(0.5)]
        third = again(run, second)
    assert (ended(third).kind, ended(third).stays) == (Kind.AGENT, True)
    assert ended(third).summary == "the budget of 001-first, 1.25 USD, is spent (1.50 USD)"
    assert len(caps) == 2


def test_sessions_of_a_task_may_be_counted(repository: UserRepository) -> None:
    with opened(repository, costing(0.1), gates=RED, budget={"task_sessions": 1}) as run:
        third = again(run, attempt_task(run))
    assert (ended(third).kind, ended(third).stays) == (Kind.AGENT, True)
    assert "all 1 session of 001-first are used" in ended(third).summary


def test_a_runs_budget_caps_sessions_and_then_stops_the_run(repository: UserRepository) -> None:
    caps: list[float | None] = []
    with opened(repository, costing(0.75, caps), gates=RED, budget={"usd": 1.0}) as run:
        third = again(run, again(run, attempt_task(run, front="budget_usd: 0.9")))
    assert caps == [pytest.approx(0.9), pytest.approx(0.25)]
    assert (ended(third).kind, ended(third).stays) == (Kind.INTERRUPTED, True)
    assert "of this run" in ended(third).summary


def test_a_day_that_is_used_up_stops_a_run_that_may_not_wait(
    repository: UserRepository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repository, costing(0.75), gates=RED, budget={"day_usd": 0.5}, wait=0) as run:
        second = again(run, attempt_task(run))
    assert (ended(second).kind, ended(second).stays) == (Kind.INTERRUPTED, True)
    assert "the budget of today, 0.50 USD, is spent (0.75 USD)" in ended(second).summary
    monkeypatch.chdir(repository.path)
    assert main(["status"]) == 0
    told = capsys.readouterr().out
    tomorrow = time.strftime("%Y-%m-%d 00:00", time.localtime(next_day(time.time())))
    assert f"no session begins before {tomorrow}: the budget of today" in told
    assert "the last run: 1 session, $0.75; today: 1 session, $0.75, $0.00 left" in told
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["today"]["left_usd"], found["today"]["sessions"], found["run"]["left_usd"]) == (
        0.0,
        1,
        None,
    )


def test_a_run_goes_on_when_the_next_day_has_begun(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def progress(_task: str, now: Progress) -> None:
        said.append(now.step)
        monkeypatch.setattr(spending, "day", lambda _: "2999-01-01")

    with opened(repository, costing(0.75), gates=RED, budget={"day_sessions": 1}) as run:
        this = attempt_task(run)
        waiting = replace(run, progress=progress)
        assert spending.wait(waiting, this.task) > 0
    assert said[0].startswith("waiting until 2")
    assert "00:00: all 1 session of today are used" in said[0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("of this run", Kind.INTERRUPTED), ("of today", Kind.INTERRUPTED), ("of x", Kind.AGENT)],
)
def test_a_session_that_used_up_what_a_run_had_left_is_not_charged(name: str, kind: Kind) -> None:
    failure = Outcome(Kind.AGENT, "the session used up its budget")
    result = AgentResult(failure=failure, details={"subtype": spending.OVER_BUDGET})
    held = spending.Session(Cap(0.25, Budget(name, Spending(), usd=1.0)))
    judged = spending.judged(held, result).failure
    assert judged is not None
    assert judged.kind is kind
    assert "0.25 USD" in judged.summary
    own = spending.Session(Cap(0.25))
    assert spending.judged(own, result) is result, "its own limit"
    other = AgentResult(failure=failure, details={"subtype": "error_max_turns"})
    assert spending.judged(held, other) is other


def test_a_session_that_is_interrupted_has_cost_what_its_stream_says(repository: UserRepository) -> None:
    def agent(workspace: AgentWorkspace) -> None:
        streaming(INIT, said("m1", USAGE), said("m2", USAGE))(workspace)
        raise KeyboardInterrupt

    with opened(repository, agent, gates=GREEN) as run, pytest.raises(KeyboardInterrupt):
        attempt_task(run)
    with opened(repository) as run:
        history = run.journal.history
        assert history.ledger.of_day(day(time.time())) == Spending(
            sessions=1, usd=about(2 * EACH), estimated=1
        )
        assert history.ended["001-first"][-1].cost_usd == pytest.approx(2 * EACH)


def test_a_cost_that_nobody_knows_is_said_to_be_unknown(
    repository: UserRepository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(repository, gates=GREEN) as run:
        this = attempt_task(run)
        assert this.cost_usd is None
        assert run.journal.history.ledger.of_run(run.began) == Spending(sessions=1, unknown=1)
    monkeypatch.chdir(repository.path)
    assert main(["status"]) == 0
    assert "1 session, $0.00, 1 of unknown cost" in capsys.readouterr().out


def test_a_session_that_could_not_be_started_has_cost_nothing(repository: UserRepository) -> None:
    def agent(_workspace: AgentWorkspace) -> None:
        raise SetupError("no such agent")

    with opened(repository, agent, gates=GREEN) as run:
        with pytest.raises(SetupError):
            attempt_task(run)
        assert run.journal.history.ledger.of_run(run.began) == Spending(sessions=1)


def killed(run: Run, *events: object, owner: str = DEAD) -> None:
    """A process that was killed in a session whose stream says this."""
    task = task_of(run)
    logs = run.queue.logs / task.name
    logs.mkdir(parents=True, exist_ok=True)
    if events:
        (logs / "attempt-1.jsonl").write_bytes(b"".join(line(event) + b"\n" for event in events))
    other = Journal(run.journal.file, owner)
    other.write(SessionStarted(task=task.name, attempt=1, run=run.began, stem="attempt-1", cap_usd=1.0))
    run.journal.refresh()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((INIT, said("m1", USAGE)), Spending(sessions=1, usd=EACH, estimated=1)),
        ((INIT, said("m1", USAGE), DONE), Spending(sessions=1, usd=0.5)),
        ((INIT,), Spending(sessions=1, unknown=1)),
        ((), Spending(sessions=1, unknown=1)),
    ],
)
def test_what_a_killed_session_has_cost_is_found_by_the_next_start(
    repository: UserRepository, events: tuple[object, ...], expected: Spending
) -> None:
    with opened(repository, gates=GREEN) as run:
        killed(run, *events)
        assert run.journal.history.ledger.of_run(run.began).running == 1
        for _ in range(2):  # a second recovery adds nothing
            recovery.recover_all(run, lambda _: None)
            assert run.journal.history.ledger.of_run(run.began) == expected


def test_the_session_before_a_kill_at_the_gates_keeps_its_cost(repository: UserRepository) -> None:
    """Its end is written before anything else is done with it."""
    with opened(repository, costing(0.75), gates=GREEN) as run:
        attempt_task(run)
        names = [json.loads(each)["record"] for each in run.journal.file.read_bytes().splitlines()]
    order = ["session-started", "session-ended", "attempt-stored", "passed"]
    assert [name for name in names if name in order] == order


def test_a_session_waits_for_those_that_may_use_all_that_is_left(repository: UserRepository) -> None:
    said_: list[str] = []
    with opened(repository, gates=GREEN, budget={"usd": 1.0}) as run:
        killed(run, owner=this_process(7))  # which lives

        def progress(_task: str, now: Progress) -> None:
            said_.append(now.step)
            Journal(run.journal.file, this_process(7)).write(SessionEnded(of=this_process(7), cost_usd=0.25))

        spending.wait(replace(run, progress=progress), task_of(run))
        assert run.journal.history.ledger.of_run(run.began).usd == 0.25
    assert said_ == ["waiting for what other sessions leave of the budget of this run"]


def test_nobody_waits_for_the_dead(repository: UserRepository) -> None:
    with opened(repository, gates=GREEN, budget={"usd": 1.0}) as run:
        killed(run, INIT, said("m1", USAGE))
        spending.wait(run, task_of(run))
        assert run.journal.history.ledger.of_run(run.began).running == 0


def test_what_a_dead_worker_could_not_tell_is_in_the_journal(repository: UserRepository) -> None:
    with opened(repository) as run:
        other = Journal(run.journal.file, DEAD)
        for cost in (0.5, 0.25):
            other.write(SessionStarted(task="001-first", attempt=1, run=run.began, stem="attempt-1"))
            other.write(SessionEnded(of=DEAD, cost_usd=cost))
        member = Member("gw0", owner=DEAD, used=Used(sessions=1, landed=1, spent=0.5))
        assert untold(run, member) == Used(sessions=1, landed=0, spent=0.25)
        assert untold(run, Member("gw1")) == Used()


def test_reviews_are_sessions_with_caps_of_their_own(repository: UserRepository, tmp_path: Path) -> None:
    reviewer = FakeReviewer(tmp_path / "reviewer")
    reviewer.answers(APPROVAL)
    with opened(repository, costing(0.5), gates=[*GREEN, reviewer.gate], budget={"usd": 2.0}) as run:
        assert ended(attempt_task(run)).kind is Kind.LANDED
        assert run.journal.history.ledger.of_run(run.began) == Spending(sessions=2, usd=0.75)
    assert "--max-budget-usd=1.500000" in reviewer.arguments()


def test_a_journal_from_before_counts_what_its_attempts_say(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(AttemptStored(task="a", attempt=1, ref="r", tree="t"))
    journal.write(AttemptEnded(task="a", attempt=1, kind=Kind.GATE, summary="s", cost_usd=0.5))
    assert (journal.history.sessions, journal.history.spent_usd) == (1, 0.5)
    assert journal.history.ledger == Ledger()


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "UTC"])
def test_a_day_is_a_local_calendar_day(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        for text in ("2026-03-29 00:30", "2026-10-25 12:00", "2026-11-01 23:59", "2026-12-31 00:00"):
            moment = time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))
            assert day(moment) == text[:10]
            assert day(next_day(moment) - 1) == text[:10]
            assert day(next_day(moment)) > text[:10]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_nothing_is_asked_or_locked_without_a_budget(repository: UserRepository) -> None:
    with opened(repository, gates=GREEN) as run:
        attempt_task(run)
        assert not (run.repository.home / "budget.lock").exists()


def test_an_end_that_two_have_written_down_counts_once(repository: UserRepository) -> None:
    with opened(repository) as run:
        killed(run)
        for _ in range(2):
            run.journal.write(SessionEnded(of=DEAD, cost_usd=0.5))
        assert run.journal.history.ledger.of_run(run.began) == Spending(sessions=1, usd=0.5)
        assert run.journal.history.ledger.total == Spending(sessions=1, usd=0.5)
