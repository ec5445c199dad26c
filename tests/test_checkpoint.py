"""Stopping for a person: when, over restarts, with several agents, and what starts the counting anew."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pytest_agenttasks.approvals import Approved, Awaiting, encode
from pytest_agenttasks.checkpoint import Checkpoint, due, oldest
from pytest_agenttasks.history import History
from pytest_agenttasks.journal_records import Failed, Landed
from pytest_agenttasks.settings.records import ReviewSettings
from tests.opened import opened
from tests.queue_runs import Project, Result
from tests.test_approvals import GATES, land, now
from tests.user_repository import UserRepository

NAMES = [f"00{n}-{letter}" for n, letter in enumerate("abcde", 1)]
WORDS = "time for a review; `agenttasks review` shows it, `agenttasks approve` lets the next run go on"


def found(landed: int = 0, failed: tuple[str, ...] = ()) -> Awaiting:
    results = tuple(Landed(task=f"t{n}", attempt=1, commit="a" * 40, at=1000.0 + n) for n in range(landed))
    return Awaiting(landed=results, elsewhere=(), failed=failed)


def test_tasks_that_are_being_worked_on_may_all_land() -> None:
    every_two = ReviewSettings(every_tasks=2)
    assert due(every_two, found(), None, 0) is None
    assert due(every_two, found(1), 1000, 1e9) is None
    assert due(every_two, found(1), 1000, 1e9, more=1) is not None
    assert due(every_two, found(), None, 0, more=2) is not None
    assert str(due(every_two, found(3), 1000, 0)).startswith("3 tasks have landed since the last approval")
    assert str(due(ReviewSettings(every_tasks=1), found(1), 1000, 0)).startswith("1 task has landed")


def test_hours_count_from_the_oldest_result_that_is_not_approved() -> None:
    wanted = ReviewSettings(every_hours=0.5)
    assert due(wanted, found(), None, 1e9) is None, "a queue that did nothing grows no older"
    assert due(wanted, found(1), 1000, 1000 + 1799) is None
    said = due(wanted, found(1), 1000, 1000 + 1800)
    assert said is not None
    assert said.startswith("what landed or failed 30m 00s ago is not approved yet (review.every_hours: 0.5)")


def test_a_failed_task_ages_too() -> None:
    history = History()
    assert oldest(history, found()) is None
    assert oldest(history, found(failed=("x",))) is None, "the journal does not know since when"
    history.add(Failed(task="x", at=500.0))
    assert oldest(history, found(1, failed=("x",))) == 500.0
    assert oldest(history, found(1)) == 1000.0


def approve(project: Project) -> None:
    """What `agenttasks approve` does, by hand."""
    line = encode(Approved(at=now(), by="me", up_to=project.repository.head())).decode()
    file = project.path / "tasks/reviews.jsonl"
    project.repository.commit(
        "approved", **{"tasks/reviews.jsonl": (file.read_text() if file.exists() else "") + line}
    )


def landed(result: Result) -> list[str]:
    return [name for name, outcome in result.outcomes.items() if outcome == "landed"]


def each_its_own_file(project: Project) -> None:
    project.agent('echo x > "src/$AGENTTASKS_TASK.txt"')
    for name in NAMES:
        project.task(name, scope=(f"src/{name}.txt",))


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["serial", "n2"])
def test_two_sessions_around_a_review(project: Project, options: tuple[str, ...]) -> None:
    project.configure("review: {every_tasks: 2}")
    each_its_own_file(project)
    first = project.run(*options)
    assert first.status == 2, first.output
    assert len(landed(first)) == 2
    assert f"2 tasks have landed since the last approval (review.every_tasks: 2): {WORDS}" in first.output
    again = project.run(*options)
    assert (again.status, landed(again)) == (2, []), again.output
    assert WORDS in again.output
    approve(project)
    second = project.run(*options)
    assert (second.status, len(landed(second))) == (2, 2), second.output
    approve(project)
    last = project.run(*options)
    assert (last.status, len(landed(last))) == (0, 1), last.output
    events = (project.path / "tasks/logs/orchestration.log").read_text()
    assert events.count(" checkpoint ") == 3


def test_the_count_goes_on_over_restarts(project: Project) -> None:
    each_its_own_file(project)
    assert landed(project.run("-k", "001")) == ["001-a"]
    second = project.run("--agent-review-every=3")
    assert (second.status, landed(second)) == (2, ["002-b", "003-c"]), second.output


def test_an_approval_while_a_run_goes_on_starts_the_count_anew(project: Project, tmp_path: Path) -> None:
    each_its_own_file(project)
    line = encode(Approved(at=now(), by="me", up_to="0" * 40)).decode()
    project.agent(
        f"""
        echo x > "src/$AGENTTASKS_TASK.txt"
        if [ $AGENTTASKS_TASK = 002-b ]; then
            cd {project.path}
            printf '%s' '{line.strip()}' | sed "s/0000*/$(git rev-parse HEAD)/" > tasks/reviews.jsonl
            git add tasks && git commit -qm approved
        fi
        """
    )
    result = project.run("--agent-review-every=3")
    assert (result.status, landed(result)) == (2, NAMES[:4]), result.output


def test_what_is_in_flight_is_finished_before_the_stop(project: Project) -> None:
    """The second task is half-way when the first has landed: it lands too, and no third begins."""
    project.configure("review: {every_hours: 0.0000001}")
    each_its_own_file(project)
    project.agent(
        f"""
        if [ $AGENTTASKS_TASK = 002-b ]; then
            n=0; until [ -e {project.path}/tasks/done/001-a.md ] || [ $n = 300 ]; do n=$((n + 1)); sleep 0.1; done
        fi
        echo x > "src/$AGENTTASKS_TASK.txt"
        """
    )
    result = project.run("-n2")
    assert (result.status, landed(result)) == (2, ["001-a", "002-b"]), result.output
    assert "is not approved yet (review.every_hours: 1e-07): time for a review" in result.output


def test_an_untracked_queue_has_its_checkpoints_too(project: Project) -> None:
    project.repository.git("rm", "-rq", "--cached", "tasks")
    project.repository.commit("no queue", **{".gitignore": "tasks/\n*.log\n"})
    for folder in ("pending", "done", "failed"):
        (project.path / "tasks" / folder).mkdir(parents=True, exist_ok=True)
    each_its_own_file(project)
    for expected in (NAMES[:2], []):
        result = project.run("--agent-review-every=2")
        assert (result.status, landed(result)) == (2, expected), result.output
    private = project.path / ".git/agenttasks/reviews.jsonl"
    private.write_bytes(encode(Approved(at=now(), by="me", up_to=project.repository.head())))
    assert landed(project.run("--agent-review-every=2")) == NAMES[2:4]


def test_records_that_cannot_be_read_stop_a_start_that_counts_by_them(project: Project) -> None:
    each_its_own_file(project)
    project.repository.commit("broken", **{"tasks/reviews.jsonl": "{}\n"})
    refused = project.run("--agent-review-every=2")
    assert (refused.status, landed(refused)) == (4, [])
    assert "tasks/reviews.jsonl (as committed), line 1: not a record of a review" in refused.output


def test_only_what_this_branch_holds_counts(repository: UserRepository) -> None:
    with opened(repository, gates=GATES, review={"every_tasks": 1}) as run:
        before = repository.head()
        asked = Checkpoint(run)
        assert asked() is None
        land(run, "001-first")
        assert asked() is not None
        repository.git("switch", "-q", "-c", "other", before)
        assert asked() is None
        repository.git("switch", "-q", "work")
        assert asked() is not None
        repository.git("reset", "-q", "--hard", before)
        assert asked() is None


def test_records_that_break_while_a_run_goes_on_stop_it(repository: UserRepository) -> None:
    with opened(repository, gates=GATES, review={"every_tasks": 9}) as run:
        asked = Checkpoint(run)
        assert asked() is None
        repository.commit("broken", **{"tasks/reviews.jsonl": "x\n"})
        assert "tasks/reviews.jsonl (as committed), line 1: not a record" in str(asked())


def test_a_week_without_a_run_is_no_reason_to_stop(project: Project) -> None:
    project.configure("review: {every_hours: 1}")
    each_its_own_file(project)
    line = json.loads(encode(Approved(at=now(), by="me", up_to=project.repository.head())))
    line["at"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 8 * 86400))
    project.repository.commit("approved", **{"tasks/reviews.jsonl": json.dumps(line) + "\n"})
    assert project.run().status == 0
