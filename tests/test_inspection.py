from __future__ import annotations

import pytest

from pytest_agenttasks.agents.contract import AgentWorkspace
from pytest_agenttasks.outcome import Kind
from tests.opened import attempt_task, opened, outcome
from tests.user_repository import UserRepository


@pytest.mark.parametrize(
    ("path", "twin"),
    [
        ("src/A.txt", "a.txt"),
        ("SRC/new.txt", "src"),
        ("src/re\u0301sume\u0301.txt", "r\u00e9sum\u00e9.txt"),
    ],
)
def test_a_new_path_that_differs_in_case_or_composition_only_is_refused(
    repository: UserRepository, path: str, twin: str
) -> None:
    repository.commit("accents", **{"src/r\u00e9sum\u00e9.txt": "x\n"})

    def agent(workspace: AgentWorkspace) -> None:
        file = workspace.path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("twin\n")

    with opened(repository, agent, gates=[{"name": "tests", "run": "true"}]) as run:
        found = outcome(run, scope=("src/", "SRC/"))
        assert found.kind is Kind.SCOPE, found
        assert f"differs from `{twin}` in case or composition only" in found.evidence
        named = attempt_task(run, name="002-named", scope=("src/", path)).outcome
        assert named is not None
        assert named.landed, named


def test_twins_that_the_base_has_are_left_alone(repository: UserRepository) -> None:
    repository.commit("twins", **{"src/A.txt": "A\n"})
    with opened(repository, gates=[{"name": "tests", "run": "true"}]) as run:
        assert outcome(run, scope=("src/",)).landed
