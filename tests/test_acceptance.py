from __future__ import annotations

from pathlib import Path

from pytest_agenttasks.attempt import attempt
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.tasks.task import read
from tests.opened import opened, outcome
from tests.queue_runs import Project
from tests.user_repository import UserRepository, task_text


def test_what_was_red_and_becomes_green_lands(project: Project) -> None:
    project.task("001-first", front="accept: [grep -q 'by 001' src/a.txt]")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output


def test_what_holds_already_is_refused_unspent(project: Project) -> None:
    project.agent("touch ../ran; echo x >> src/a.txt")
    project.task("001-done", front="accept: [grep -q a src/a.txt]")
    result = project.run()
    assert result.outcomes == {"001-done": "refused"}
    assert "holds already" in result.output
    assert project.where("001-done") == ["failed"]
    assert not list(project.path.parent.rglob("ran"))
    assert project.repository.read("src/a.txt") == "a\n"


def test_a_missing_program_proves_nothing(project: Project) -> None:
    project.task("001-typo", front="accept: [no-such-program --check]")
    result = project.run()
    assert result.outcomes == {"001-typo": "refused"}
    assert "a program that is not there" in result.output


def test_a_command_that_kills_the_supervisor_before_the_session_is_not_the_agents_fault(
    project: Project,
) -> None:
    project.agent("touch ../ran; echo x >> src/a.txt")
    project.task("001-first", front="accept: ['kill -KILL $PPID; sleep 600']")
    result = project.run()
    assert result.outcomes == {"001-first": "base-red"}, result.output
    assert "killed before the session" in result.output
    assert project.where("001-first") == ["pending"]
    assert not list(project.path.parent.rglob("ran"))


def test_what_stays_red_is_charged_and_told_to_the_next_session(project: Project) -> None:
    project.agent(
        "if [ $AGENTTASKS_ATTEMPT = 1 ]; then echo wrong >> src/a.txt; else echo right >> src/a.txt; fi"
    )
    project.task("001-first", front="accept: ['cat src/a.txt; grep -q right src/a.txt']")
    result = project.run()
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.properties["001-first"]["attempt.1"].startswith("accept")
    prompt = (project.path / "tasks/logs/001-first/attempt-2.prompt.md").read_text()
    assert "grep -q right" in prompt
    assert "wrong" in prompt


def test_a_set_up_that_fails_proves_nothing(repository: UserRepository, tmp_path: Path) -> None:
    repository.commit("ignore", **{".gitignore": "deps/\n"})
    mark = tmp_path / "failed-once"
    setup = f"test -e {mark} && mkdir -p deps || {{ touch {mark}; exit 1; }}"
    with opened(repository, gates=[{"name": "t", "run": "true"}]) as run:
        assert outcome(run).landed  # the base is known to be green
    with opened(repository, gates=[{"name": "t", "run": "true"}], workspace={"setup": setup}) as run:
        mark.unlink(missing_ok=True)
        file = run.queue.pending / "002-second.md"
        file.write_text(task_text("Second", front="accept: ['true']"))
        task = read(file)
        found = attempt(run, task).outcome
        assert found is not None
        assert found.kind is Kind.BASE_RED, found


def test_a_gate_of_the_tasks_needs_a_name_of_its_own(project: Project) -> None:
    project.task("001-twin", front="gates: [{name: Tests, run: 'true'}]")
    result = project.run()
    assert result.outcomes == {"001-twin": "refused"}
    assert "two gates are called `Tests`" in result.output
    assert project.repository.read("src/a.txt") == "a\n"
