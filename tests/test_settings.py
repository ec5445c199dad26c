"""agenttasks.yaml and the command line: one immutable record, or an error with file, line, key and remedy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pytest_agenttasks import settings_checks
from pytest_agenttasks.outcome import SetupError
from pytest_agenttasks.settings import AgentSettings, Settings, load, schema
from pytest_agenttasks.strict_yaml import MAX_BYTES, parse

CONTRACT = """\
agent: {name: claude, command: claude, model: null, allowed_tools: [Read, Edit, Write, Bash], bash_allow: null,
        max_turns: 100, timeout: 60m, stall_timeout: 12m, budget_usd: null, env: {}, env_pass: [], args: []}
gates:                       # in this order; cheap ones first
  - {name: lint, run: npm run lint, timeout: 2m}
  - {name: tests, run: npm test, cwd: null, junit: reports/junit.xml, env_pass: [DATABASE_URL], known_red: []}
max_attempts: 2
retry_delay: 30
retry_from: auto
protected: [src/core/billing/, migrations/]
tests: null
drop: [package-lock.json]
workspace: {setup: npm ci, setup_inputs: [package-lock.json], copy: [.env, node_modules], cache: [target], link: [],
            up: null, down: null}
memory: {file: CLAUDE.md, completed_log_limit: 30}
commit: {type: feat, trailers: true}
review: {every_tasks: 20, every_hours: 8}
budget: {usd: null, sessions: null}
sandbox: auto                # auto | bwrap | none
canary: warn                 # warn | strict | off
notify: null
"""
"""The example of the public contract, word for word but for line breaks and comments."""

Read = Callable[..., Settings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str | bytes, **overrides: object) -> Settings:
        file = tmp_path / "agenttasks.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(file, {key.replace("__", "."): value for key, value in overrides.items()})

    return read


def message(read: Read, text: str | bytes, **overrides: object) -> str:
    """What `load` says, without the folder."""
    with pytest.raises(SetupError) as caught:
        read(text, **overrides)
    return re.sub(r"^\S*/(?=agenttasks\.yaml)", "", str(caught.value))


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "agent:\n#  model: x\ngates:\nprotected:\nworkspace: {copy: }\n"])
def test_an_empty_file_and_emptied_sections_give_the_defaults(read: Read, text: str) -> None:
    assert read(text) == Settings()


def test_a_missing_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.yaml") == Settings()


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.agent.name, settings.agent.command, settings.agent.max_turns) == ("claude", "claude", 100)
    assert (settings.agent.timeout, settings.agent.stall_timeout) == (3600, 720)
    assert (settings.max_attempts, settings.retry_delay, settings.retry_from) == (2, 30, "auto")
    assert (settings.memory.file, settings.memory.completed_log_limit) == ("CLAUDE.md", 30)
    assert (settings.commit.type, settings.commit.trailers) == ("feat", True)


def test_what_is_written_is_what_counts(read: Read) -> None:
    settings = read(
        "agent: {command: [npx, claude], timeout: 1.5h, env: {PORT: '80'}, env_pass: [DB_URL, 'AWS_*']}\n"
        "gates:\n  - name: on\n    run: make off\n    timeout: 90s\n    cwd: web\n"
        "until: 17:30\nwait: 0\nretry_from: base\ntests: [t/*.x]\n"
    )
    assert settings.agent.command == ("npx", "claude")
    assert settings.agent.timeout == 5400
    assert settings.agent.env == {"PORT": "80"}
    assert settings.agent.env_pass == ("DB_URL", "AWS_*")
    assert [(g.name, g.run, g.timeout, g.cwd) for g in settings.gates] == [("on", "make off", 90, "web")]
    assert (settings.until, settings.wait, settings.retry_from, settings.tests) == ("17:30", 0, "base", ("t/*.x",))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().max_attempts = 3  # type: ignore[misc]


def test_the_command_line_wins_over_the_file_and_leaves_the_rest(read: Read) -> None:
    settings = read("agent: {name: command, model: m}\nmax_attempts: 5\n", agent__name="replay", budget__usd=3)
    assert (settings.agent.name, settings.agent.model) == ("replay", "m")
    assert (settings.max_attempts, settings.budget.usd) == (5, 3)


def test_the_command_line_reaches_into_emptied_sections(read: Read) -> None:
    assert read("agent:\n", agent__max_turns=7).agent == AgentSettings(max_turns=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent: {nam: x}", "agenttasks.yaml:1: unknown key `agent.nam`; did you mean `name`? (allowed here: allowed_tools, "),
        ("\ngate: []", "agenttasks.yaml:2: unknown key `gate`; did you mean `gates`? (allowed here: agent, budget"),
        ("gates:\n  - name: a\n    run: b\n    cmd: c", "agenttasks.yaml:4: unknown key `gates[0].cmd`; did you mean `cwd`?"),
        ("zzz: 1", "agenttasks.yaml:1: unknown key `zzz` (allowed here: agent, budget, canary, commit, drop, gates"),
        ("a b - at `$.x`: 1", "agenttasks.yaml:1: unknown key `a b - at `$.x``"),
        ("max_attempts: 0", "`max_attempts`: expected a whole number from 1 to 1000000, got 0"),
        ("max_attempts: '2'", '`max_attempts`: expected a whole number from 1 to 1000000, got the text "2"'),
        ("max_attempts: 2.5", "expected a whole number from 1 to 1000000, got 2.5"),
        ("max_attempts: true", "expected a whole number from 1 to 1000000, got true"),
        ("max_attempts: null", "expected a whole number from 1 to 1000000, got null"),
        ("agent: {budget_usd: 0}", "`agent.budget_usd`: expected a number above 0, or null, got 0"),
        ("commit: {trailers: yes}", '`commit.trailers`: expected true or false, got the text "yes"'),
        ("commit: {type: Feat}", "`commit.type`: expected a commit type of at most 20 lower-case letters"),
        ("agent: {model: 4}", "`agent.model`: expected text that is not empty, or null, got 4; put it in quotes"),
        ("agent:\n  env:\n    A: b\n    PORT: 80", "agenttasks.yaml:4: `agent.env.PORT`: expected text, got 80; put it in quotes"),
        ("agent: 3", "`agent`: expected keys and values (name, command, model,"),
        ("agent: {command: []}", "or a list of one or more of texts, such as [a, b], got an empty list"),
        ("protected: src/", '`protected`: expected a list of texts, such as [a, b], got the text "src/"; write [src/]'),
        ("protected: ['']", "`protected[0]`: expected text that is not empty, got the text"),
        ("gates: [{run: x}]", "`gates[0].name`: is missing; every entry needs `name` and `run`"),
        ("gates: {name: x, run: y}", "`gates`: expected a list of entries, each with name, run, got keys and values"),
        ("gates: [{name: a b, run: x}]", "`gates[0].name`: expected a name of at most 40 letters"),
        ("gates: [lint]", '`gates[0]`: expected keys and values (name, run, timeout, cwd, junit, env, env_pass, known_red), got'),
        ("retry_delay: 5x", "`retry_delay`: expected a duration: seconds, or a number with a unit such as 90s, 45m, 2h"),
        ("agent: {timeout: 0}", "`agent.timeout`: expected a duration: seconds, or a number with a unit"),
        ("agent: {stall_timeout: 0s}", "`agent.stall_timeout`: expected a duration"),
        ("gates: [{name: a, run: x, timeout: 0}]", "`gates[0].timeout`: expected a duration"),
        ("workspace: {setup_timeout: 0}", "`workspace.setup_timeout`: expected a duration"),
        ("until: 24:00", '`until`: expected a time of day from 00:00 to 23:59, such as 06:30, or null, got the text "24:00"'),
        ("retry_from: x", "`retry_from`: expected one of auto, base, got the text"),
        ("gates: [{name: a, run: x}, {name: A, run: y}]", "`gates[1].name`: `A` is used twice"),
        ("- 1", "agenttasks.yaml: expected keys and values, got a list; `agenttasks init` writes an example"),
        ("just text", 'expected keys and values, got the text "just text"'),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(read: Read, text: str, said: str) -> None:
    assert said in message(read, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent: {env: {2A: x}}", "`agent.env.2A`: not a variable's name"),
        ("agent: {env: {A-B: x}}", "`agent.env.A-B`: not a variable's name"),
        ("gates: [{name: a, run: x, env: {'': x}}]", "`gates[0].env.`: not a variable's name"),
        ("agent: {env: {AGENTTASKS_ACTIVE: '0'}}", "`AGENTTASKS_…` variables are set by the runner"),
        ("agent: {env_pass: [A, 'B C']}", "`agent.env_pass[1]`: `B C` is not a variable's name"),
        ("gates: [{name: a, run: x, env_pass: ['*_KEY']}]", "`gates[0].env_pass[0]`: `*_KEY` is not a variable's name"),
        ("agent: {env_pass: ['A\n']}", "is not a variable's name"),
    ],
)
def test_names_of_variables_are_checked(read: Read, text: str, said: str) -> None:
    assert said in message(read, text)


@pytest.mark.parametrize("key", ["protected", "drop", "workspace.copy", "workspace.cache", "workspace.link", "workspace.setup_inputs"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../x", "leaves the repository"),
        ("a/../../x", "leaves the repository"),
        ("/etc", "leaves the repository"),
        ("~/x", "leaves the repository"),
        (".git/hooks", "is inside `.git`"),
        ("a/.GIT", "is inside `.git`"),
        (".", "is the whole top folder"),
        ("./", "is the whole top folder"),
    ],
)
def test_paths_stay_inside_the_repository(read: Read, key: str, path: str, said: str) -> None:
    section, _, last = key.rpartition(".")
    text = f"{section}: {{{last}: [ok, {path}]}}" if section else f"{last}: [ok, {path}]"
    assert f"`{key}[1]`: `{path}` {said}" in message(read, text)


def test_a_gates_folder_and_the_memory_file_stay_inside_too(read: Read) -> None:
    assert "`gates[0].cwd`: `../x` leaves" in message(read, "gates: [{name: a, run: x, cwd: ../x}]")
    assert "`memory.file`: `../x` leaves" in message(read, "memory: {file: ../x}")
    assert "`memory.file`: `docs/` names a folder" in message(read, "memory: {file: docs/}")
    assert read("gates: [{name: a, run: x, cwd: .}]").gates[0].cwd == "."


def test_a_path_has_one_way_into_a_workspace(read: Read) -> None:
    said = message(read, "workspace: {copy: [a, b], cache: [./b/]}")
    assert "`workspace.cache[0]`: `./b/` is in `workspace.copy` too" in said
    read("workspace: {copy: [a], cache: [a/b]}")


@pytest.mark.parametrize("path", [".venv", ".venv/", "api/.venv", ".venv/lib"])
def test_an_environment_cannot_be_linked(read: Read, path: str) -> None:
    assert f"`workspace.link[0]`: `{path}` cannot be linked" in message(read, f"workspace: {{link: [{path}]}}")


NOT_YET = [
    ("sandbox: auto", "sandbox", "sandbox: none"),
    ("sandbox: bwrap", "sandbox", "sandbox: none"),
    ("canary: strict", "canary", "canary: off"),
    ("notify: beep", "notify", "notify: null"),
    ("review: {every_tasks: 20}", "review.every_tasks", "review: {every_tasks: null}"),
    ("review: {every_hours: 8}", "review.every_hours", "review: {every_hours: null}"),
    ("gates: [{name: a, run: x, junit: r.xml}]", "gates[0].junit", "gates: [{name: a, run: x, junit: null}]"),
    ("gates: [{name: a, run: x, known_red: [t]}]", "gates[0].known_red", "gates: [{name: a, run: x, known_red: []}]"),
]


@pytest.mark.parametrize(("asking", "key", "asking_nothing"), NOT_YET)
def test_a_key_of_a_later_version_is_refused_unless_it_asks_for_nothing(
    read: Read, asking: str, key: str, asking_nothing: str
) -> None:
    assert message(read, asking) == f"agenttasks.yaml:1: `{key}` is not supported by this version yet; remove it"
    read(asking_nothing)


def test_a_key_that_leaves_the_table_is_turned_on(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_checks, "NOT_YET", {})
    monkeypatch.setattr(settings_checks, "NOT_YET_IN_GATES", {})
    settings = read(CONTRACT)
    assert (settings.sandbox, settings.canary, settings.review.every_tasks) == ("auto", "warn", 20)
    assert settings.gates[1].junit == "reports/junit.xml"


def test_a_wrong_value_of_a_later_key_is_called_wrong(read: Read) -> None:
    assert "`sandbox`: expected one of auto, bwrap, none" in message(read, "sandbox: docker")


def test_an_error_of_the_command_line_is_said_to_be_one(read: Read) -> None:
    assert message(read, "max_attempts: 1", max_attempts=0).startswith("command line: `max_attempts`: expected")
    assert message(read, "", review__every_tasks=3).startswith("command line: `review.every_tasks` is not supported")
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


def conforms(value: Any, rule: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a JSON schema's rule allows a value; fails for a keyword that it does not know."""
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    for keyword, says in rule.items():
        match keyword:
            case "$ref":
                good = conforms(value, whole["$defs"][says.rpartition("/")[2]], whole)
            case "anyOf":
                good = any(conforms(value, each, whole) for each in says)
            case "enum":
                good = value in says
            case "type" if says in ("integer", "number"):
                good = isinstance(value, int if says == "integer" else int | float) and not isinstance(value, bool)
            case "type":
                good = isinstance(value, types[says])
            case "properties":
                good = all(conforms(value[key], each, whole) for key, each in says.items() if key in value)
            case "additionalProperties" if says is False:
                good = set(value) <= set(rule["properties"])
            case "additionalProperties":
                good = all(conforms(each, says, whole) for each in value.values())
            case "required":
                good = set(says) <= set(value)
            case "items":
                good = all(conforms(each, says, whole) for each in value)
            case "minItems" | "minLength":
                good = len(value) >= says
            case "minimum":
                good = value >= says
            case "maximum":
                good = value <= says
            case "exclusiveMinimum":
                good = value > says
            case "pattern":
                good = re.search(says, value) is not None
            case "title" | "description" | "default" | "$schema" | "$defs":
                good = True
            case _:
                raise AssertionError(f"unknown keyword {keyword}")
        if not good:
            return False
    return True


def test_the_schema_allows_the_contracts_example() -> None:
    document = json.loads(json.dumps(schema()))
    assert conforms(parse(CONTRACT).value, document, document)


@pytest.mark.parametrize(
    "text",
    ["agent: {nam: x}", "max_attempts: 0", "gates: [{name: a}]", "retry_delay: 5x", "sandbox: docker", "until: 24:00", "drop: x"],
)
def test_the_schema_refuses_what_load_refuses(read: Read, text: str) -> None:
    document = schema()
    assert not conforms(parse(text).value, document, document)
    message(read, text)


def test_the_schema_says_what_each_key_is_for_and_its_default() -> None:
    document = schema()
    sections = {"agent", "workspace", "memory", "commit", "review", "budget"}
    for name, kind in document["$defs"].items():
        for key, rule in kind["properties"].items():
            assert key in sections or rule.get("description"), f"{name}.{key} has no description"
            assert key in sections or "default" in rule or key in kind["required"], f"{name}.{key} has no default"
    assert document["$defs"]["AgentSettings"]["properties"]["timeout"]["default"] == "1h"
    assert document["$defs"]["AgentSettings"]["properties"]["stall_timeout"]["default"] == "12m"


def test_every_default_of_the_schema_is_the_default(read: Read) -> None:
    for name, kind in schema()["$defs"].items():
        section = {"Settings": "", "GateSettings": None}.get(name, name.removesuffix("Settings").lower())
        for key, rule in kind["properties"].items() if section is not None else ():
            if "default" in rule:
                value = json.dumps(rule["default"])
                assert read(f"{section}: {{{key}: {value}}}" if section else f"{key}: {value}") == Settings()


def test_the_whole_record_can_be_stored() -> None:
    assert json.loads(msgspec.json.encode(Settings(), enc_hook=float))["agent"]["timeout"] == 3600
