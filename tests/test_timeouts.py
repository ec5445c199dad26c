"""Time limits of pytest-timeout: typed ones limit a session, those of the project are for its tests."""

from __future__ import annotations

import time

import pytest

from tests.queue_runs import Project

SLOW = "echo x >> src/a.txt\nsleep {seconds}\n"


def test_a_typed_timeout_ends_the_session_not_the_run(project: Project) -> None:
    project.agent('[ "$AGENTTASKS_TASK" = 002-quick ] || sleep 30\necho x >> src/a.txt')
    project.task("001-slow", front="max_attempts: 1")
    project.task("002-quick")
    began = time.monotonic()
    result = project.run("--timeout=2", "--timeout-method=signal")
    assert time.monotonic() - began < 20
    assert result.outcomes == {"001-slow": "agent", "002-quick": "landed"}, result.output
    assert result.status == 1
    assert result.properties["001-slow"]["attempt.1"] == "agent: the session was not done after 2 s"
    assert "Failed: Timeout" not in result.output
    assert "Stack of" not in result.output


def test_the_shortest_limit_counts(project: Project) -> None:
    project.configure(gate="sleep 1; test ! -e src/broken.txt")
    project.agent(SLOW.format(seconds=0.5))
    project.task("001-own", front="timeout: 0.1\nmax_attempts: 1")
    project.task("002-gates-take-longer")
    result = project.run("--timeout=20")
    assert result.outcomes == {"001-own": "agent", "002-gates-take-longer": "landed"}, result.output


def test_limits_of_the_projects_tests_do_not_reach_sessions_or_gates(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.configure(gate="sleep 0.3")
    limits = "timeout = 0.1\ntimeout_func_only = true\nsession_timeout = 0.1\nfaulthandler_timeout = 0.1"
    project.repository.commit("ini", **{"pytest.ini": f"[pytest]\n{limits}\n"})
    monkeypatch.setenv("PYTEST_TIMEOUT", "0.1")
    project.agent(SLOW.format(seconds=0.3))
    project.task("001-first")
    project.task("002-second")
    result = project.run()
    assert result.outcomes == {"001-first": "landed", "002-second": "landed"}, result.output
    assert result.status == 0
    assert "Timeout (" not in result.output, "faulthandler's dump"


def test_a_typed_session_timeout_hands_out_no_more(project: Project) -> None:
    project.task("001-first")
    project.task("002-second")
    result = project.run("--session-timeout=0.1")
    assert result.outcomes == {"001-first": "landed"}, result.output
    assert result.status == 1
    assert "session-timeout" in result.output
    assert "not run, still pending (1): 002-second" in result.output
