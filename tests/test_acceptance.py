from __future__ import annotations

from tests.queue_runs import Project


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
