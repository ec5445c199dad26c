from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_agenttasks import gates, pause, preflight
from pytest_agenttasks.accounts import pause_file
from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.attempt_record import Attempt
from pytest_agenttasks.outcome import Kind, Outcome, SetupError
from pytest_agenttasks.pause import Pause
from pytest_agenttasks.run import Run
from pytest_agenttasks.settings.records import AgentSettings
from pytest_agenttasks.state_file import load
from pytest_agenttasks.tasks.task import read
from tests.fake_reviewer import APPROVAL, REFUSAL, FakeReviewer
from tests.opened import append, attempt_task, events, opened
from tests.user_repository import UserRepository

TESTS = {"name": "tests", "run": "true"}


@pytest.fixture
def reviewer(tmp_path: Path) -> FakeReviewer:
    made = FakeReviewer(tmp_path / "reviewer")
    made.answers(APPROVAL)
    return made


def again(run: Run, *failures: Outcome) -> Attempt:
    """One more attempt, as the next one of the same run."""
    return attempt(run, read(run.queue.pending / "001-first.md"), failures)


def kind(this: Attempt) -> Kind:
    assert this.outcome is not None
    return this.outcome.kind


def test_it_is_held_last_wherever_it_is_written(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(repository, gates=[reviewer.gate, TESTS]) as run:
        this = attempt_task(run, front="accept: [grep -q attempt src/a.txt]")
        assert kind(this) is Kind.LANDED
        assert [verdict.gate for verdict in this.verdicts] == ["tests", "accept-1", "review"]
        names = events(run)
        assert names.index("review-started") > max(n for n, e in enumerate(names) if e == "gate-ended")
    assert "Agent-Gates: tests, review" in repository.git("log", "-1", "--format=%(trailers)")


def test_it_is_never_held_on_the_base(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(
        repository, gates=[reviewer.gate, {"name": "tests", "run": "! grep -q attempt src/a.txt"}]
    ) as run:
        this = attempt_task(run)
        assert kind(this) is Kind.GATE  # which asks the base again
        head = run.repository.tip()
        tree = run.repository.tree_of(head)
        assert gates.green_base(run, run.settings.gates, tree, head) is None
        gates.check(run, run.settings.gates, tree, head, run.queue.logs, "x", trust=False)
        gates.inherit(run, run.settings.gates, tree, tree)
    assert reviewer.sessions == 0


def test_its_session_may_read_and_nothing_else(repository: UserRepository, reviewer: FakeReviewer) -> None:
    gate = {
        **reviewer.gate,
        "model": "opus",
        "max_turns": 7,
        "budget_usd": 0.5,
        "instructions": "Look twice.",
    }
    with opened(repository, gates=[TESTS, gate]) as run:
        attempt_task(run)
    arguments = reviewer.arguments()
    assert arguments[arguments.index("--tools") + 1] == "Read,Glob,Grep"
    allowed = arguments.index("--allowedTools")
    assert arguments[allowed + 1 : allowed + 4] == ["Read(/**)", "Glob(/**)", "Grep(/**)"]
    assert arguments[arguments.index("--setting-sources") + 1] == "user"
    assert json.loads(arguments[arguments.index("--settings") + 1]) == {"disableAllHooks": True}
    assert arguments[arguments.index("--max-turns") + 1] == "7"
    assert "--model=opus" in arguments
    assert "--max-budget-usd=0.500000" in arguments
    assert "Look twice." in reviewer.prompt()


def test_it_has_an_agents_login_and_not_a_gates_environment(
    repository: UserRepository, reviewer: FakeReviewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "the key")
    monkeypatch.setenv("OTHER_TOKEN", "secret")
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        attempt_task(run)
    found = (reviewer.folder / "environment-1").read_text()
    assert "ANTHROPIC_API_KEY=the key" in found
    assert "AGENTTASKS_ROLE=review" in found
    assert "OTHER_TOKEN" not in found


def test_its_folder_holds_what_would_land_and_nothing_it_does_there_counts(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    reviewer.answers(APPROVAL, before='cp src/a.txt "$cd_to/seen"; ls -A > "$cd_to/listed"')
    with opened(repository, gates=[{**TESTS, "run": "touch left.log"}, reviewer.gate]) as run:
        assert kind(attempt_task(run)) is Kind.LANDED
    assert (reviewer.folder / "seen").read_text() == "a\nattempt 1\n"
    assert (reviewer.folder / "listed").read_text().split() == [
        ".gitignore",
        "agenttasks.yaml",
        "src",
        "tasks",
    ]


@pytest.mark.parametrize("line", ["echo x >> src/b.txt", "touch new.txt", "touch made.log", "rm src/b.txt"])
def test_an_approval_with_a_change_is_none(
    repository: UserRepository, reviewer: FakeReviewer, line: str
) -> None:
    reviewer.answers(APPROVAL, before=line)
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        this = attempt_task(run)
    assert this.outcome is not None
    assert this.outcome.kind is Kind.REVIEW
    assert "changed files that it was to read" in this.outcome.summary
    assert reviewer.sessions == 2
    assert repository.read("src/a.txt") == "a\n"
    assert repository.read("src/b.txt") == "b\n"


@pytest.mark.parametrize("answer", [None, {}, {**APPROVAL, "approve": 1}, {**APPROVAL, "more": 1}, []])
def test_no_valid_answer_is_not_charged_and_keeps_the_result(
    repository: UserRepository, reviewer: FakeReviewer, answer: Any
) -> None:
    reviewer.answers(answer, answer, APPROVAL)
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        first = attempt_task(run)
        assert kind(first) is Kind.REVIEW
        assert not kind(first).charged
        second = again(run)
        assert kind(second) is Kind.LANDED
        assert second.agent is None
        assert second.number == first.number
        assert (first.cost_usd, second.cost_usd) == (0.5, 0.25)
        assert run.journal.history.spent_usd == 0.75
        record = json.loads((run.queue.logs / "001-first/attempt-1.json").read_text())
    assert (record["cost_usd"], record["turns"], len(record["reviews"])) == (0.75, 6, 3)
    assert "Agent-Cost-USD: 0.7500" in repository.git("log", "-1", "--format=%(trailers)")


def test_a_refusal_is_charged_and_forgets_the_result(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    reviewer.answers(REFUSAL, APPROVAL)
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        first = attempt_task(run)
        assert first.outcome is not None
        assert (first.outcome.kind, first.outcome.gate) == (Kind.GATE, "review")
        assert "src/a.txt, line 2: wrong" in first.outcome.evidence
        assert "the right word" in first.outcome.evidence
        assert run.journal.history.passed == {}
        second = again(run, first.outcome)
        assert kind(second) is Kind.LANDED
        prompt = (run.queue.logs / "001-first/attempt-2.prompt.md").read_text()
    assert "the right word" in prompt
    assert "a reviewer who knows only the task and your changes must approve" in prompt


def in_the_way(run: Run, repository: UserRepository) -> None:
    """One attempt that is verified and approved, but cannot land: the user has edited the file, and edits it back."""
    repository.write("src/a.txt", "edited\n")
    repository.git("update-index", "--assume-unchanged", "src/a.txt")
    assert kind(attempt_task(run)) is Kind.CHECKOUT
    repository.git("update-index", "--no-assume-unchanged", "src/a.txt")
    repository.git("checkout", "-q", "src/a.txt")


def test_an_approval_is_not_paid_for_twice(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        in_the_way(run, repository)
        repository.commit("another", **{"src/b.txt": "changed\n"})
        this = again(run)
        assert kind(this) is Kind.LANDED
        assert [(verdict.gate, verdict.cached) for verdict in this.verdicts] == [
            ("tests", False),
            ("review", True),
        ]
    assert reviewer.sessions == 1


def same(workspace: AgentWorkspace) -> None:
    (workspace.path / "src/a.txt").write_text("the same\n")


def test_the_same_change_to_another_text_of_the_task_is_reviewed_again(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    with opened(repository, same, gates=[TESTS, reviewer.gate]) as run:
        in_the_way(run, repository)
        task = run.queue.pending / "001-first.md"
        task.write_text(task.read_text() + "- and more\n")
        preflight.check(run, lambda line: None)
        assert kind(again(run)) is Kind.LANDED
    assert reviewer.sessions == 2
    assert "- and more" in reviewer.prompt(2)


def test_another_change_for_the_same_task_is_reviewed_again(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        in_the_way(run, repository)
        repository.commit("another", **{"src/a.txt": "changed\n"})
        assert kind(again(run)) is Kind.LANDED
    assert reviewer.sessions == 2
    assert repository.read("src/a.txt") == "changed\nattempt 2\n"


def test_another_reviewer_reviews_again(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        in_the_way(run, repository)
    with opened(repository, gates=[TESTS, {**reviewer.gate, "model": "another"}]) as run:
        assert kind(again(run)) is Kind.LANDED
    assert reviewer.sessions == 2


def test_a_refusal_stands_for_each_gate_by_its_name(
    repository: UserRepository, tmp_path: Path, reviewer: FakeReviewer
) -> None:
    strict = FakeReviewer(tmp_path / "strict")
    strict.answers({**APPROVAL, "missed": ["a test"]})  # an approval that misses something is none
    with opened(repository, gates=[TESTS, reviewer.gate, {**strict.gate, "name": "strict"}]) as run:
        this = attempt_task(run)
        assert this.outcome is not None
        assert this.outcome.summary == "gate `strict`: the review refused the change: a test"
        assert (run.queue.logs / "001-first/attempt-1.review-strict.jsonl").exists()
    assert (reviewer.sessions, strict.sessions) == (1, 1)


def test_a_task_may_ask_for_a_review_of_its_own(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(repository, gates=[TESTS]) as run:
        this = attempt_task(run, front=f"gates: [{json.dumps(reviewer.gate)}]")
        assert kind(this) is Kind.LANDED
    assert reviewer.sessions == 1


def test_that_nothing_is_to_be_changed_is_reviewed_too(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    with opened(repository, lambda workspace: None, gates=[TESTS, reviewer.gate]) as run:
        assert kind(attempt_task(run, front="allow_no_change: true")) is Kind.LANDED
    assert "the session found nothing to change" in reviewer.prompt()


def test_a_review_alone_verifies_nothing(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with (
        opened(repository, gates=[reviewer.gate]) as run,
        pytest.raises(SetupError, match="no gate with `run`"),
    ):
        preflight.check(run, lambda line: None)


def test_a_reviewer_that_is_not_there_is_said_before_anything(repository: UserRepository) -> None:
    gate = {"name": "review", "agent": "claude", "command": "/nowhere/claude"}
    with (
        opened(repository, gates=[TESTS, gate]) as run,
        pytest.raises(
            SetupError, match=r"(?s)review gate `review`: .*/nowhere/claude.*`command` of the gate `review`"
        ),
    ):
        preflight.check(run, lambda line: None)


def test_what_a_reviewer_lacks_is_said_before_anything(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    program = reviewer.folder / "claude"
    program.write_text(program.read_text().replace(" --json-schema", ""))
    said: list[str] = []
    with (
        opened(repository, gates=[TESTS, reviewer.gate]) as run,
        pytest.raises(SetupError, match="does not know --json-schema"),
    ):
        preflight.check(run, said.append)


def test_it_is_said_which_review_will_be_held(repository: UserRepository, reviewer: FakeReviewer) -> None:
    said: list[str] = []
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        preflight.check(run, said.append)
    assert "review gate review: 2.1.197 (fake)" in said


def test_what_a_session_appends_is_what_is_shown(repository: UserRepository, reviewer: FakeReviewer) -> None:
    with opened(repository, append, gates=[TESTS, reviewer.gate]) as run:
        attempt_task(run)
    prompt = reviewer.prompt()
    assert "+attempt 1" in prompt
    assert "tasks/done" not in prompt  # the task file's move is not the session's work
    assert "- tests: passed" in prompt


def test_a_pause_of_its_account_is_respected_and_the_result_kept(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    limit = Outcome(Kind.USAGE_LIMIT, "usage limit reached", resumes_at=time.time() + 3600)
    with opened(repository, gates=[TESTS, reviewer.gate], wait=60) as run:
        pause.announce(run, "009-other", limit, AgentSettings())
        first = attempt_task(run)
        assert kind(first) is Kind.USAGE_LIMIT
        assert first.outcome is not None
        assert first.outcome.resumes_at is not None
        assert reviewer.sessions == 0
        pause_file(AgentSettings(), os.environ).unlink()
        second = again(run)
        assert (kind(second), second.agent, reviewer.sessions) == (Kind.LANDED, None, 1)


def test_an_outage_that_it_meets_pauses_its_account(
    repository: UserRepository, reviewer: FakeReviewer
) -> None:
    reviewer.answers(APPROVAL)
    refused = {"type": "assistant", "error": "server_error", "message": {"id": "m", "content": []}}
    ended = {"type": "result", "subtype": "success", "is_error": True, "api_error_status": 529}
    (reviewer.folder / "answer-1").write_text("".join(json.dumps(event) + "\n" for event in (refused, ended)))
    with opened(repository, gates=[TESTS, reviewer.gate]) as run:
        first = attempt_task(run)
    assert kind(first) is Kind.OVERLOADED
    assert first.outcome is not None
    assert first.outcome.summary.startswith("review `review`: ")
    known = load(pause_file(AgentSettings(), os.environ), Pause)
    assert known is not None
    assert (known.kind, known.count) == (Kind.OVERLOADED, 0)
