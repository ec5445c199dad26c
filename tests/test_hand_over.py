"""A plan, handed over as plain values, is the same plan: whatever names, texts and settings it has."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import execnet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.integration.hand_over import from_plain, to_plain
from pytest_agenttasks.integration.plan import Plan, naming
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.queue import Queue
from pytest_agenttasks.settings.records import AgentSettings, GateSettings, Settings
from pytest_agenttasks.tasks.scope import Rules
from pytest_agenttasks.tasks.task import Problem, parse
from tests.user_repository import task_text

PENDING = Path("/somewhere/tasks/pending")


def plan(*names: str) -> Plan:
    made = [parse(PENDING / f"{name}.md", task_text(name).encode()) for name in names]
    return Plan(
        queue=Queue(PENDING, "tasks", tracked=True),
        settings=Settings(
            agent=AgentSettings(timeout=90.0, env={"A": "1"}),  # type: ignore[arg-type]
            gates=(GateSettings(name="tests", run="true", timeout=5.0),),  # type: ignore[arg-type]
        ),
        settings_file=Path("/somewhere/agenttasks.yaml"),
        typed=frozenset({"max_attempts"}),
        rules=Rules(protected=("LICENSE",), tests=("t/*.py",), drop=("lock",)),
        folder="tasks/pending",
        tasks=tuple(made),
        began=datetime(2026, 1, 2, 3, 4, 5, 6),
    )


def handed(given: Plan) -> Plan:
    """Through the serialisation that xdist uses."""
    return from_plain(execnet.loads(execnet.dumps(to_plain(given))))


def test_the_same_plan_arrives() -> None:
    made = plan("001-a", "002-b")
    assert handed(made) == made
    assert handed(replace(made, named=frozenset({"002-b"}))).selected == [made.tasks[1]]


@given(data=st.binary(max_size=200), message=st.text())
def test_whatever_a_task_file_holds(data: bytes, message: str) -> None:
    path = PENDING / "na\udcff\nme.md"
    task = replace(parse(path, data), problems=(Problem(1, message + "\ud800"), Problem(0, "h", hint=True)))
    made = replace(plan(), tasks=(task,), named=frozenset({task.name}))
    assert handed(made) == made


def test_named_are_what_pytest_would_find() -> None:
    made = plan("001-a", "002-b")
    assert naming(made, [str(PENDING)]).named is None
    assert naming(made, [f"{PENDING}/001-a.md", f"{PENDING}/002-b.md::002-b"]).named == frozenset(
        {"001-a", "002-b"}
    )
    for wrong in ("001-a.md::other", "003-c.md"):
        with pytest.raises(SetupError, match="not found: "):
            naming(made, [f"{PENDING}/{wrong}"])
