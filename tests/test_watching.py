"""What follows a run that `agenttasks watch` has begun, and what could run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_agenttasks.history import History
from pytest_agenttasks.journal_records import Landed
from pytest_agenttasks.last_run import LastRun
from pytest_agenttasks.queue import open_queue
from pytest_agenttasks.trees.repository import discover
from pytest_agenttasks.watching import Again, Course, End, Stamp, Step, Wait, could_run, look
from tests.user_repository import UserRepository, task_text

A: Mapping[str, Stamp] = {"a": (1, 1, 1)}
AB: Mapping[str, Stamp] = {**A, "b": (2, 1, 1)}


def after(
    status: int,
    stopped: str | None = None,
    *,
    before: Mapping[str, Stamp] = A,
    now: Mapping[str, Stamp] = A,
    runnable: str = "a",
    landed: int = 0,
    resumes_in: float | None = None,
    course: Course | None = None,
) -> Step:
    last = LastRun(pid=1, began=0.0, status=status, stopped=stopped, why=f"why {stopped}", landed=landed)
    return (course or Course(5.0)).after(
        status, last, before=before, now=now, runnable=frozenset(runnable), resumes_in=resumes_in
    )


def test_after_all_has_landed_it_waits_for_a_task() -> None:
    assert after(0, now={}, runnable="") == Wait("nothing to run")
    assert after(5, before={}, now={}, runnable="") == Wait("nothing to run")


def test_a_task_that_came_meanwhile_runs_at_once() -> None:
    assert after(1, before=A, now={"b": (2, 1, 1)}, runnable="b") == Again()
    assert after(0, before=A, now={"a": (1, 2, 1)}) == Again()  # edited


def test_blocked_and_held_tasks_wait_for_a_change() -> None:
    assert after(1, before=AB, now=AB, runnable="") == Wait("nothing to run")


def test_a_task_that_was_left_although_it_could_run_is_tried_again_less_and_less_often() -> None:
    course = Course(5.0)
    waits = []
    for _ in range(10):
        step = after(1, course=course)
        assert isinstance(step, Wait)
        assert step.person
        waits.append(step.seconds)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    assert course.fresh("a", A) == set()
    assert course.fresh("a", {"a": (1, 2, 1)}) == {"a"}
    assert course.fresh("ab", AB) == {"b"}


def test_deselected_tasks_are_not_run_again_and_again() -> None:
    assert after(0) == after(5) == Wait("nothing to run")


def test_a_queue_that_a_run_changes_without_working_it_off_does_not_spin() -> None:
    course = Course(5.0)
    stamps: list[Mapping[str, Stamp]] = [{"a": (1, n, 1)} for n in range(4)]
    steps = [after(1, before=stamps[n], now=stamps[n + 1], course=course) for n in range(3)]
    assert steps[0] == Again()
    assert isinstance(steps[1], Wait)
    assert steps[1].seconds == 60
    assert isinstance(steps[2], Wait)
    assert steps[2].seconds == 120


@pytest.mark.parametrize("status", [2, 3, 4, -9])
def test_errors_back_off_by_doubling_up_to_an_hour(status: int) -> None:
    course = Course(5.0)
    waits = [after(status, "setup", course=course) for _ in range(9)]
    assert [step.seconds for step in waits if isinstance(step, Wait)] == [
        60, 120, 240, 480, 960, 1920, 3600, 3600, 3600
    ]  # fmt: skip
    after(0, now={}, runnable="", course=course)
    assert after(status, course=course) == Wait("why None", 60, person=True)


def test_a_checkpoint_waits_for_a_review_whatever_is_in_the_queue() -> None:
    step = after(2, "review", before=A, now=AB, runnable="ab")
    assert step == Wait("why review", approval=True)


def test_a_budget_waits_for_a_review_or_other_settings() -> None:
    assert after(2, "budget", now=AB, runnable="ab") == Wait("why budget", person=True, approval=True)


def test_a_days_budget_waits_for_the_next_day() -> None:
    step = after(2, "budget", resumes_in=3600, now=AB, runnable="ab")
    assert step == Wait("why budget", 3605, person=True, tasks=False)


def test_a_service_that_is_out_is_waited_for() -> None:
    step = after(2, "usage-limit", resumes_in=1000, now=AB, runnable="ab")
    assert step == Wait("why usage-limit", 1005, person=True, tasks=False)
    assert after(2, "overloaded") == Wait("why overloaded", 60, person=True)


@pytest.mark.parametrize("stopped", ["interrupted", "time"])
def test_it_ends_where_a_person_or_the_clock_ended_the_run(stopped: str) -> None:
    assert isinstance(after(2, stopped), End)


def test_a_run_that_wrote_nothing_down_backs_off() -> None:
    step = Course(5.0).after(4, None, before=A, now=A, runnable=frozenset("a"))
    assert step == Wait("exit status 4", 60, person=True)


def could(repository: UserRepository, history: History | None = None) -> set[str]:
    found = discover(repository.path)
    return set(could_run(found, open_queue(found, repository.path / "tasks/pending"), history or History()))


def test_what_could_run(repository: UserRepository) -> None:
    def task(name: str, front: str = "", folder: str = "pending") -> None:
        repository.write(f"tasks/{folder}/{name}.md", task_text(name, ("src/a.txt",), front))

    task("001-done", folder="done")
    task("002-failed", folder="failed")
    task("003-free")
    task("004-after-done", "depends_on: [001-done]")
    task("005-after-failed", "depends_on: [002-failed]")
    task("006-after-blocked", "depends_on: [005-after-failed, 003-free]")
    task("007-after-free", "depends_on: [003-free]")
    task("008-after-nobody", "depends_on: [no-such]")
    repository.write("tasks/pending/009-refused.md", "# nothing\n")
    repository.write("tasks/pending/010-x.report.md", "no task\n")
    assert could(repository) == {
        "003-free", "004-after-done", "007-after-free", "008-after-nobody", "009-refused"
    }  # fmt: skip
    history = History()
    history.add(Landed(task="003-free", attempt=1, commit=repository.git("rev-parse", "HEAD")))
    assert could(repository, history) == {"004-after-done", "008-after-nobody", "009-refused"}


def test_a_look_notices_tasks_commits_settings_and_reviews(repository: UserRepository) -> None:
    found = discover(repository.path)
    queue = open_queue(found, repository.path / "tasks/pending")
    settings = repository.path / "agenttasks.yaml"
    seen = [look(found, queue, settings)]
    file = repository.write("tasks/pending/001-a.md", "x\n")
    seen.append(look(found, queue, settings))
    os.replace(repository.write("tasks/pending/.new", "y\n"), file)
    seen.append(look(found, queue, settings))
    assert [set(one.tasks) for one in seen] == [set(), {"001-a"}, {"001-a"}]
    assert seen[1].tasks != seen[2].tasks
    assert seen[0].person == seen[2].person
    settings.write_text("gates: []\n")
    seen.append(look(found, queue, settings))
    assert seen[2].settings != seen[3].settings
    repository.git("commit", "-q", "--allow-empty", "-m", "x")
    seen.append(look(found, queue, settings))
    assert seen[3].person != seen[4].person
    assert look(found, queue, settings) == seen[4]
    Path(found.home).mkdir(exist_ok=True)
    (found.home / "reviews.jsonl").write_text("{}\n")
    assert look(found, queue, settings).person != seen[4].person
