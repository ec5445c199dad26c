"""The --agent-… options: each overrides its key in agenttasks.yaml, and a bad value names the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.plugin import OPTIONS
from pytest_agenttasks.settings.records import Settings
from tests.queue_runs import Project

pytest_plugins = ["pytester"]


class Spy:
    """Keeps the settings that a run works with."""

    settings: Settings | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        protocol = session.config.pluginmanager.get_plugin("agenttasks-protocol")
        self.settings = protocol.queue_session.settings if protocol else None


@pytest.fixture
def spy(
    project: Project, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, home: Path
) -> pytest.Pytester:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project.path)
    project.task("001-first")
    return pytester


ARGUMENTS = ("--agent-tasks", "tasks/pending", "--collect-only", "-p", "no:asyncio", "-p", "no:randomly")
GIVEN = {
    "--agent": ("replay", "agent.name", "replay"),
    "--agent-max-attempts": ("7", "max_attempts", 7),
    "--agent-retry-delay": ("2m", "retry_delay", 120.0),
    "--agent-budget-usd": ("2.5", "budget.usd", 2.5),
    "--agent-max-sessions": ("9", "budget.sessions", 9),
    "--agent-wait": ("3h", "wait", 10800.0),
    "--agent-until": ("06:30", "until", "06:30"),
}


def test_each_option_overrides_its_key(project: Project, spy: pytest.Pytester) -> None:
    project.configure("max_attempts: 3\nbudget: {usd: 1, sessions: 1}\nwait: 1\nuntil: '01:00'\n")
    untouched, overridden = Spy(), Spy()
    spy.inline_run(*ARGUMENTS, plugins=[untouched])
    typed = [f"{flag}={value}" for flag, (value, _, _) in GIVEN.items()]
    spy.inline_run(*ARGUMENTS, *typed, plugins=[overridden])
    assert overridden.settings is not None
    for flag, (_, key, expected) in GIVEN.items():
        before, after = (untouched.settings, overridden.settings)
        for part in key.split("."):
            before, after = getattr(before, part), getattr(after, part)
        assert after == expected, flag
        assert before != expected, flag
    assert overridden.settings.gates, "the rest is the file's"
    assert {flag for flag, _, _, key in OPTIONS if key} == {*GIVEN, "--agent-review-every"}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--agent-max-attempts=0", "--agent-max-attempts 0: "),
        ("--agent-max-attempts=two", "--agent-max-attempts two: "),
        ("--agent-max-attempts=1.5", "--agent-max-attempts 1.5: "),
        ("--agent-retry-delay=soon", "--agent-retry-delay soon: expected a duration"),
        ("--agent-retry-delay=-1", "--agent-retry-delay -1: expected a duration"),
        ("--agent-budget-usd=-3", "--agent-budget-usd -3: "),
        ("--agent-budget-usd=nan", "--agent-budget-usd nan: "),
        ("--agent-max-sessions=many", "--agent-max-sessions many: "),
        ("--agent-wait=ever", "--agent-wait ever: expected a duration"),
        ("--agent-until=25:00", "--agent-until 25:00: "),
        ("--agent-until=6", "--agent-until 6: "),
        ("--agent=", "--agent : "),
        ("--agent-config=none.yaml", "--agent-config none.yaml: no such file"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_option(spy: pytest.Pytester, option: str, words: str) -> None:
    done = spy.runpytest_inprocess(*ARGUMENTS, option)
    assert done.ret == 4
    lines = [line for line in done.errlines if words in line]
    assert len(lines) == 1, done.errlines
    assert "Traceback" not in str(done.stderr)


def test_an_unknown_agent_is_blamed_on_what_named_it(project: Project) -> None:
    project.task("001-first")
    result = project.run("--agent", "clade")
    assert result.status == 4
    assert (
        "ERROR: command line: no agent named `clade`; did you mean `claude`? use claude, command or replay"
        in result.output
    )
    project.repository.commit(
        "settings", **{"agenttasks.yaml": "agent: {name: nobody}\ngates: [{name: a, run: 'true'}]\n"}
    )
    assert "agenttasks.yaml: no agent named `nobody`; use claude" in project.run().output
    hook = "def pytest_agenttasks_run_agent(task):\n    return None\n"
    project.repository.commit("an agent of its own", **{"tasks/conftest.py": hook})
    result = project.run("--agent", "clade")
    assert "command line: no agent named `clade`" in result.output
    assert result.status == 2


def test_waiting_has_no_limit_but_in_ci(spy: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there, said = Spy(), Spy(), Spy()
    spy.inline_run(*ARGUMENTS, plugins=[here])
    monkeypatch.setenv("CI", "true")
    spy.inline_run(*ARGUMENTS, plugins=[there])
    spy.inline_run(*ARGUMENTS, "--agent-wait=1h", plugins=[said])
    waits = [found.settings.wait for found in (here, there, said) if found.settings is not None]
    assert waits == [None, 0.0, 3600.0]


def test_another_settings_file(project: Project, spy: pytest.Pytester) -> None:
    (project.path.parent / "other.yaml").write_text("max_attempts: 5\n")
    found = Spy()
    spy.inline_run(*ARGUMENTS, "--agent-config=../other.yaml", plugins=[found])
    assert found.settings is not None
    assert found.settings.max_attempts == 5
