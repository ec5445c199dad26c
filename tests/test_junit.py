"""The JUnit report: one testcase a task, the contract's properties, legal XML whatever an agent or a gate says."""

from __future__ import annotations

import re

import pytest

from tests.junit import cases_of, properties
from tests.queue_runs import Project
from tests.user_repository import task_text

HOSTILE = r"esc \033[31mred\033]0;title\007 nul \000 bell \007 cdata ]]> <b>&amp;</b> cut \355\240\200 \357\277\276 \377 end"
"""For printf: escapes, controls, markup, a lone surrogate, a non-character, no UTF-8."""
AGENT_HOOK = """
import pytest
from pytest_agenttasks.agents.contract import AgentResult
from pytest_agenttasks.outcome import Kind, Outcome

NASTY = "\\x00\\x1b[2J]]><\\ud800\\ufffe\\U000e0041 end"

@pytest.hookimpl(tryfirst=True)
def pytest_agenttasks_run_agent(task, workspace):
    if task.name == "005-plugin":
        failure = Outcome(Kind.AGENT, f"gave up {NASTY}", evidence=f"saw {NASTY}", advice=f"do {NASTY}")
        return AgentResult(failure=failure, session=f"id {NASTY}", cost_usd=0.25, turns=7)
"""
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@pytest.mark.parametrize(("family", "logging"), [("xunit1", "all"), ("xunit2", "no")])
def test_a_report_of_all_kinds_of_outcomes_is_legal_and_complete(
    project: Project, family: str, logging: str
) -> None:
    project.configure(gate=f"printf '{HOSTILE}\\n'; ! grep -q bad src/a.txt")
    project.repository.commit("agent", **{"tasks/conftest.py": AGENT_HOOK})
    project.agent(
        f"printf '{HOSTILE}\\n'; printf '{HOSTILE}\\n' >&2\n"
        'case "$AGENTTASKS_TASK.$AGENTTASKS_ATTEMPT" in\n'
        "  001*.1) echo bad > src/a.txt ;;\n"
        "  001*) echo good > src/a.txt ;;\n"
        "  002*) echo bad >> src/a.txt ;;\n"
        "  004*) name=$(printf 'src/x\\001\\033[31m\\n]]>\\377'); touch \"$name\" ;;\n"
        "  *) exit 3 ;;\n"
        "esac"
    )
    project.task("001-landed")
    project.task("002-gate", front="max_attempts: 1")
    project.task("003-blocked", front="depends_on: [002-gate]")
    project.task("004-scope", front="max_attempts: 1")
    project.task("005-plugin", front="max_attempts: 1")
    project.task("006-refused", "# Refused \x07 ]]>\n")
    project.task("007-agent", front="max_attempts: 1")
    result = project.run("-o", f"junit_family={family}", "-o", f"junit_logging={logging}")
    assert result.status == 1, result.output
    cases = cases_of(result.junit)
    found = {name: properties(case) for name, case in cases.items()}
    assert {name: one["outcome"] for name, one in found.items()} == {
        "001-landed": "landed",
        "002-gate": "gate",
        "003-blocked": "blocked",
        "004-scope": "scope",
        "005-plugin": "agent",
        "006-refused": "refused",
        "007-agent": "agent",
    }
    assert not ILLEGAL.search(result.junit.read_text(encoding="utf-8"))
    assert not ILLEGAL.search(result.output)

    landed = found["001-landed"]
    assert list(landed) == ["outcome", "attempts", "attempt.1", "attempt.2", "commit", "log"]
    assert landed["attempts"] == "2"
    assert landed["attempt.1"].startswith("gate: gate `tests`: ")
    assert landed["attempt.2"].startswith("landed: ")
    assert project.repository.git("log", "-1", "--format=%s", landed["commit"]).startswith(
        "feat: complete 001-landed "
    )
    assert landed["log"] == str(project.path / "tasks/logs/001-landed")
    assert {child.tag for child in cases["001-landed"]} <= {"properties", "system-out", "system-err"}

    assert list(found["005-plugin"]) == [
        "outcome",
        "attempts",
        "attempt.1",
        "cost_usd",
        "turns",
        "session",
        "denials",
        "log",
    ]
    assert (found["005-plugin"]["cost_usd"], found["005-plugin"]["turns"]) == ("0.2500", "7")
    assert found["005-plugin"]["session"] == "id \\x00]]><\\ud800\\ufffe\\U000e0041 end"
    assert found["003-blocked"] == {"outcome": "blocked", "attempts": "0"}
    assert found["006-refused"]["attempts"] == "0"

    failure = cases["002-gate"].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert (failure.get("message") or "").startswith("gate: gate `tests`: ")
    assert "\n" not in (failure.get("message") or "")
    for words in ("  | esc red nul \\x00 bell \\x07 cdata ]]> <b>&amp;</b>", "\nlog: ", "\nnext: "):
        assert words in failure.text
    scope = cases["004-scope"].find("failure")
    assert scope is not None
    assert "src/x\\x01" in (scope.text or "")
    skipped = cases["003-blocked"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "blocked: waits for 002-gate, which has not landed"


def test_a_report_is_written_when_the_run_cannot_start(project: Project) -> None:
    project.repository.commit("break", **{"src/broken.txt": "x"})
    project.task("001-first", task_text())
    result = project.run()
    assert result.status == 4
    assert cases_of(result.junit) == {}
