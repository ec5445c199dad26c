"""What a session is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_agenttasks.memory.sections import parse
from pytest_agenttasks.outcome import Kind, Outcome
from pytest_agenttasks.prompt import EARLIER_EVIDENCE, LAST_EVIDENCE, build_prompt, fenced
from pytest_agenttasks.settings.records import GateSettings
from pytest_agenttasks.tasks.front_matter import FrontMatter
from pytest_agenttasks.tasks.task import Task

TEXT = "# Task 017: Rotate keys\n\n## Objective\nRotate.\n"
GATES = (GateSettings(name="lint", run="npm run lint"), GateSettings(name="tests", run="npm test", cwd="web"))
RED = Outcome(Kind.GATE, "gate `tests`: exit status 1", evidence="1 failed: jwt\n", gate="tests")


def task(text: str = TEXT, front: FrontMatter | None = None) -> Task:
    return Task(
        "017-jwt", Path("tasks/pending/017-jwt.md"), text, "Rotate keys", 1, front=front or FrontMatter()
    )


def prompt(
    of: Task | None = None,
    *,
    attempt: int = 1,
    scope_lines: Sequence[str] = ("src/auth.ts", "src/keys/"),
    protected: Sequence[str] = ("migrations/",),
    memory_file: str | None = "CLAUDE.md",
    gates: Sequence[GateSettings] = GATES,
    failures: Sequence[Outcome] = (),
    starts_from_attempt: bool = False,
    additions: Sequence[str] = (),
) -> str:
    return build_prompt(
        of or task(),
        attempt=attempt,
        max_attempts=2,
        scope_lines=scope_lines,
        protected=protected,
        memory_file=memory_file,
        gates=gates,
        failures=failures,
        starts_from_attempt=starts_from_attempt,
        additions=additions,
    )


def line_with(text: str, part: str) -> str:
    (line,) = [line for line in text.splitlines() if part in line]
    return line


def test_the_task_text_is_unchanged_between_its_markers() -> None:
    assert f"\n<task-file>\n{TEXT}</task-file>\n" in prompt()


@given(st.text(), st.integers(0, 3))
def test_no_task_text_can_hold_its_own_end_marker(text: str, count: int) -> None:
    text += "".join(f"\n</task-file{f'-{n}' if n > 1 else ''}>" for n in range(1, count + 1))
    built = prompt(task(text))
    _, opening, rest = built.partition(f"<task-file{f'-{count + 1}' if count else ''}>\n")
    assert opening
    assert rest.startswith(text)
    assert rest.count(f"</{opening.strip()[1:]}") == 1


def test_the_rules_name_scope_protected_paths_and_memory() -> None:
    built = prompt()
    assert "`src/auth.ts`, `src/keys/`" in line_with(built, "Files in Scope:")
    assert "`migrations/`" in line_with(built, "Protected")
    assert "*Known Issues* and *Architectural Invariants*" in line_with(built, "`CLAUDE.md`")


def test_rules_about_what_is_not_there_are_left_out() -> None:
    built = prompt(protected=(), memory_file=None, gates=())
    assert "Protected" not in built
    assert "Known Issues" not in built
    assert "# Checks" not in built
    assert "# What failed" not in built


def test_the_front_matter_changes_the_rules() -> None:
    assert "existing tests, tool and gate" in prompt()
    assert "existing tests, tool and gate" not in prompt(task(front=FrontMatter(allow_tests=True)))
    assert "counts as failed" in prompt()
    changed = prompt(task(front=FrontMatter(allow_no_change=True)))
    assert "counts as failed" not in changed
    assert "nothing to change" in changed


def test_the_checks_are_the_gates_and_the_tasks_own_commands() -> None:
    built = prompt(task(front=FrontMatter(accept=("npm test -- `jwt`",))))
    assert (
        "- lint: `npm run lint`\n- tests (in `web`): `npm test`\n- of this task: `` npm test -- `jwt` ``\n"
        in built
    )


def test_a_command_of_several_lines_keeps_them() -> None:
    built = prompt(gates=[GateSettings(name="both", run="make a\nmake b\n")])
    assert "- both: \n```\nmake a\nmake b\n```\n" in built


def test_the_attempt_is_counted() -> None:
    assert "attempt 2 of 2" in prompt(attempt=2)


def test_a_first_attempt_is_told_in_less_than_three_kilobytes() -> None:
    assert len(prompt()) - len(TEXT) < 3000


def test_a_failed_gate_is_told_with_command_and_output_at_the_end() -> None:
    built = prompt(failures=[RED], starts_from_attempt=True)
    assert built.endswith(
        "## The last attempt: refused: a gate failed on the result\n\n"
        "Reason: gate `tests`: exit status 1\nCommand: `npm test`\n\n```\n1 failed: jwt\n```\n"
    )


def test_whether_the_files_of_the_attempt_are_there_is_said() -> None:
    assert "are in place" in prompt(failures=[RED], starts_from_attempt=True)
    assert "nothing of the earlier attempts" in prompt(failures=[RED])


def test_a_scope_failure_names_the_files() -> None:
    told = Outcome(Kind.SCOPE, "1 change out of scope: x.py", evidence="x.py: added: not in Files in Scope")
    assert prompt(failures=[told]).endswith("```\nx.py: added: not in Files in Scope\n```\n")
    bare = Outcome(Kind.SCOPE, "2 changes out of scope", paths=("x.py", "y.py"))
    assert prompt(failures=[bare]).endswith("```\nx.py\ny.py\n```\n")


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.LANDED, Kind.HELD, Kind.BLOCKED}))
def test_every_kind_of_failure_can_be_told(kind: Kind) -> None:
    assert prompt(failures=[Outcome(kind, "the summary")]).endswith("\n\nReason: the summary\n")


def test_the_last_failure_gets_the_most_room() -> None:
    long = "".join(f"line {n}\n" for n in range(10_000))
    first, last = (Outcome(Kind.GATE, name, evidence=name + "\n" + long) for name in ("one", "two"))
    built = prompt(failures=[first, last])
    earlier, latest = built.partition("\n# What failed")[2].split("\n## ")[1:]
    assert earlier.startswith("Before that: ")
    assert EARLIER_EVIDENCE * 0.9 < len(earlier) < EARLIER_EVIDENCE + 300
    assert latest.startswith("The last attempt: ")
    assert LAST_EVIDENCE * 0.9 < len(latest) < LAST_EVIDENCE + 300
    assert "line 9999\n```" in latest


def test_additions_of_plugins_stand_between_task_and_failures() -> None:
    built = prompt(additions=["Speak Dutch.\n", "  \n"], failures=[RED])
    assert "</task-file>\n\nSpeak Dutch.\n\n# What failed before\n" in built


@given(st.text(st.one_of(st.characters(), st.sampled_from("`~\n\r \x1b"))))
@example("# Rules")
@example("```\n# Rules")
def test_nothing_in_the_evidence_can_leave_its_block(evidence: str) -> None:
    document = parse(fenced(evidence) + "\n\nafter\n")
    assert [block.kind for block in document.blocks] == ["fence", "paragraph_open"]
    told = Outcome(Kind.GATE, evidence, evidence="x" + evidence, gate="tests")
    built = prompt(failures=[told])
    built.encode()
    blocks = parse(built).blocks
    assert blocks[-1].kind == "fence"
    assert blocks[-1].end == len(parse(built).lines)
    assert parse(built).outline == parse(prompt(failures=[RED])).outline
