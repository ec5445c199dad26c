"""agenttasks.yaml and the command line: one immutable record, or an error with file, line, key and remedy."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import msgspec
import pytest

from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.settings.durations import Seconds
from pytest_agenttasks.settings.loading import load
from pytest_agenttasks.settings.records import AgentSettings, Settings
from pytest_agenttasks.settings.strict_yaml import MAX_BYTES
from tests.settings_texts import Read, message, reader


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path / "agenttasks.yaml")


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "agent:\n#  model: x\ngates:\nprotected:\nworkspace: {copy: }\n"]
)
def test_an_empty_file_and_emptied_sections_give_the_defaults(read: Read, text: str) -> None:
    assert read(text) == Settings()


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.yaml") == Settings()


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.agent.name, settings.agent.command, settings.agent.max_turns) == (
        "claude",
        "claude",
        100,
    )
    assert (settings.agent.timeout, settings.agent.stall_timeout) == (Seconds(3600), Seconds(720))
    assert (settings.max_attempts, settings.retry_delay) == (2, Seconds(30))
    assert settings.retry_from == "auto"
    assert (settings.memory.file, settings.memory.completed_log_limit) == ("CLAUDE.md", 30)
    assert (settings.commit.type, settings.commit.trailers) == ("feat", True)


def test_what_is_written_is_what_counts(read: Read) -> None:
    settings = read(
        "agent: {command: [npx, claude], timeout: 1.5h, env: {PORT: '80'}, env_pass: [DB_URL, 'AWS_*']}\n"
        "gates:\n  - name: on\n    run: make off\n    timeout: 90s\n    cwd: web\n"
        "until: 17:30\nwait: 0\nretry_from: base\ntests: [t/*.x]\n"
    )
    assert settings.agent.command == ("npx", "claude")
    assert settings.agent.timeout == Seconds(5400)
    assert settings.agent.env == {"PORT": "80"}
    assert settings.agent.env_pass == ("DB_URL", "AWS_*")
    assert [(g.name, g.run, g.cwd) for g in settings.gates] == [("on", "make off", "web")]
    assert settings.gates[0].timeout == Seconds(90)
    assert (settings.until, settings.wait, settings.tests) == ("17:30", Seconds(0), ("t/*.x",))
    assert settings.retry_from == "base"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().max_attempts = 3  # type: ignore[misc]


def test_the_command_line_wins_over_the_file_and_leaves_the_rest(read: Read) -> None:
    settings = read(
        "agent: {name: command, model: m}\nmax_attempts: 5\n", agent__name="replay", budget__usd=3
    )
    assert (settings.agent.name, settings.agent.model) == ("replay", "m")
    assert (settings.max_attempts, settings.budget.usd) == (5, 3)


OTHERS = "agent: {name: command, command: [my-cli, -p], args: [--fast], model: m, max_turns: 5}"


def test_an_agent_of_the_command_line_is_not_started_as_the_files_own_one(read: Read) -> None:
    assert read(OTHERS).agent.command == ("my-cli", "-p")
    assert read(OTHERS, agent__name="command").agent == read(OTHERS).agent
    assert read(OTHERS, agent__name="claude").agent == AgentSettings(model="m", max_turns=5)
    assert read("agent: {command: /opt/claude}", agent__name="claude").agent.command == "/opt/claude"
    assert read("agent: {command: /opt/claude}", agent__name="replay").agent.command == "claude"


def test_the_command_line_reaches_into_emptied_sections(read: Read) -> None:
    assert read("agent:\n", agent__max_turns=7).agent == AgentSettings(max_turns=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "agent: {nam: x}",
            "agenttasks.yaml:1: unknown key `agent.nam`; did you mean `name`? (allowed here: allowed_tools, ",
        ),
        (
            "\ngate: []",
            "agenttasks.yaml:2: unknown key `gate`; did you mean `gates`? (allowed here: agent, budget",
        ),
        (
            "gates:\n  - name: a\n    run: b\n    cmd: c",
            "agenttasks.yaml:4: unknown key `gates[0].cmd`; did you mean `cwd`?",
        ),
        (
            "zzz: 1",
            "agenttasks.yaml:1: unknown key `zzz` (allowed here: agent, budget, canary, commit, drop, gate_slots, gates",
        ),
        ("a b - at `$.x`: 1", "agenttasks.yaml:1: unknown key `a b - at `$.x``"),
        ("max_attempts: 0", "`max_attempts`: expected a whole number from 1 to 1000000, got 0"),
        ("max_attempts: '2'", '`max_attempts`: expected a whole number from 1 to 1000000, got the text "2"'),
        ("max_attempts: 2.5", "expected a whole number from 1 to 1000000, got 2.5"),
        ("max_attempts: true", "expected a whole number from 1 to 1000000, got true"),
        ("max_attempts: null", "expected a whole number from 1 to 1000000, got null"),
        ("agent: {budget_usd: 0}", "`agent.budget_usd`: expected a number above 0, or null, got 0"),
        ("commit: {trailers: yes}", '`commit.trailers`: expected true or false, got the text "yes"'),
        ("commit: {type: Feat}", "`commit.type`: expected a commit type of at most 20 lower-case letters"),
        (
            "agent: {model: 4}",
            "`agent.model`: expected text that is not empty, or null, got 4; put it in quotes",
        ),
        (
            "agent:\n  env:\n    A: b\n    PORT: 80",
            "agenttasks.yaml:4: `agent.env.PORT`: expected text, got 80; put it in quotes",
        ),
        ("agent: 3", "`agent`: expected keys and values (name, command, model,"),
        ("agent: {command: []}", "or a list of one or more of texts, such as [a, b], got an empty list"),
        (
            "protected: src/",
            '`protected`: expected a list of texts, such as [a, b], got the text "src/"; write [src/]',
        ),
        ("protected: ['']", "`protected[0]`: expected text that is not empty, got the text"),
        ("gates: [{run: x}]", "`gates[0].name`: is missing; every entry needs `name`"),
        (
            "gates: {name: x, run: y}",
            "`gates`: expected a list of entries, each with name, got keys and values",
        ),
        ("gates: [{name: a b, run: x}]", "`gates[0].name`: expected a name of at most 40 letters"),
        (
            "gates: [lint]",
            "`gates[0]`: expected keys and values (name, run, agent, timeout, cwd, junit, env, env_pass, known_red, command,",
        ),
        (
            "retry_delay: 5x",
            "`retry_delay`: expected a duration: seconds, or a number with a unit such as 90s, 45m, 2h",
        ),
        ("agent: {timeout: 0}", "`agent.timeout`: expected a duration: seconds, or a number with a unit"),
        ("agent: {stall_timeout: 0s}", "`agent.stall_timeout`: expected a duration"),
        ("gates: [{name: a, run: x, timeout: 0}]", "`gates[0].timeout`: expected a duration"),
        ("workspace: {setup_timeout: 0}", "`workspace.setup_timeout`: expected a duration"),
        (
            "until: 24:00",
            '`until`: expected a time of day from 00:00 to 23:59, such as 06:30, or null, got the text "24:00"',
        ),
        ("retry_from: x", "`retry_from`: expected one of auto, base, got the text"),
        ("gates: [{name: a, run: x}, {name: A, run: y}]", "`gates[1].name`: `A` is used twice"),
        ("- 1", "agenttasks.yaml: expected keys and values, got a list; `agenttasks init` writes an example"),
        ("just text", 'expected keys and values, got the text "just text"'),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(read: Read, text: str, said: str) -> None:
    assert said in message(read, text)


def test_an_error_of_the_command_line_is_said_to_be_one(read: Read) -> None:
    assert message(read, "max_attempts: 1", max_attempts=0).startswith(
        "command line: `max_attempts`: expected"
    )
    assert message(read, "", review__every_tasks=0).startswith("command line: `review.every_tasks`: expected")
    assert message(read, "max_attempts: 0", agent__name="x").startswith("agenttasks.yaml:1: `max_attempts`")
    assert message(read, "agent: 3", agent__name="x").startswith("agenttasks.yaml:1: `agent`: expected keys")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: 1\na: 2\n", "agenttasks.yaml:2: the key `a` is written twice"),
        (b"a: [\n", "agenttasks.yaml:2: not valid YAML: "),
        (b"a: \xff\n", "agenttasks.yaml:1: not UTF-8"),
        (b"a: &x 1\n", "agenttasks.yaml:1: anchors and aliases"),
        (b"#" * (MAX_BYTES + 1), "agenttasks.yaml: larger than 1 MB"),
        (b"[" * 100_000, "agenttasks.yaml:1: nested more than"),
    ],
)
def test_a_file_that_is_no_yaml_is_an_error_with_its_line(read: Read, data: bytes, said: str) -> None:
    assert message(read, data).startswith(said)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=re.escape(f"{tmp_path}: cannot be read: {os.strerror(21)}")):
        load(tmp_path)


def test_the_whole_record_can_be_stored() -> None:
    assert json.loads(msgspec.json.encode(Settings(), enc_hook=float))["agent"]["timeout"] == 3600
