"""What types cannot say: names, paths, contradictions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.settings_texts import CONTRACT, Read, message, reader


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path / "agenttasks.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent: {env: {2A: x}}", "`agent.env.2A`: not a variable's name"),
        ("agent: {env: {A-B: x}}", "`agent.env.A-B`: not a variable's name"),
        ("gates: [{name: a, run: x, env: {'': x}}]", "`gates[0].env.`: not a variable's name"),
        ("agent: {env: {AGENTTASKS_ACTIVE: '0'}}", "`AGENTTASKS_…` variables are set by the runner"),
        ("agent: {env_pass: [A, 'B C']}", "`agent.env_pass[1]`: `B C` is not a variable's name"),
        (
            "gates: [{name: a, run: x, env_pass: ['*_KEY']}]",
            "`gates[0].env_pass[0]`: `*_KEY` is not a variable's name",
        ),
        ("workspace: {env_pass: ['*A']}", "`workspace.env_pass[0]`: `*A` is not a variable's name"),
        ("agent: {env_pass: ['A\n']}", "is not a variable's name"),
    ],
)
def test_names_of_variables_are_checked(read: Read, text: str, said: str) -> None:
    assert said in message(read, text)


@pytest.mark.parametrize(
    "key",
    ["protected", "drop", "workspace.copy", "workspace.cache", "workspace.link", "workspace.setup_inputs"],
)
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


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("name: a", "`gates[1].run`: is missing; a gate needs `run`, a shell line, or `agent: claude`"),
        ("name: a, run: x, agent: claude", "`gates[1].agent`: a gate has either `run` or `agent`"),
        ("name: a, agent: command", "`gates[1].agent`: expected claude (a review needs a read-only session"),
        ("name: a, agent: claude, cwd: x", "`gates[1].cwd`: belongs to gates with `run`"),
        ("name: a, agent: claude, env: {A: b}", "`gates[1].env`: belongs to gates with `run`"),
        ("name: a, run: x, model: y", "`gates[1].model`: belongs to gates with `agent`"),
        ("name: a, run: x, instructions: y", "`gates[1].instructions`: belongs to gates with `agent`"),
        ("name: a, agent: claude, timeout: 0", "`gates[1].timeout`: expected a duration"),
        ("name: TESTS, agent: claude", "`gates[1].name`: `TESTS` is used twice"),
    ],
)
def test_a_gate_is_a_shell_line_or_a_review(read: Read, gate: str, said: str) -> None:
    text = f"gates:\n- {{name: tests, run: x}}\n- {{{gate}}}\n"
    assert message(read, text).startswith("agenttasks.yaml:3: ")
    assert said in message(read, text)


def test_a_gates_folder_and_the_memory_file_stay_inside_too(read: Read) -> None:
    assert "`gates[0].cwd`: `../x` leaves" in message(read, "gates: [{name: a, run: x, cwd: ../x}]")
    assert "`memory.file`: `../x` leaves" in message(read, "memory: {file: ../x}")
    assert "`memory.file`: `docs/` names a folder" in message(read, "memory: {file: docs/}")
    assert read("gates: [{name: a, run: x, cwd: .}]").gates[0].cwd == "."


@pytest.mark.parametrize("path", ["codex", "~", "~/", "~/.", "/", "~other/x", "~/../x", "/home/../etc"])
def test_an_agents_own_files_have_a_place(read: Read, path: str) -> None:
    assert f"`agent.writable[1]`: `{path}` is no place" in message(
        read, f"agent: {{writable: [~/.codex, '{path}']}}"
    )
    assert read("agent: {writable: [~/.codex, /opt/x]}").agent.writable == ("~/.codex", "/opt/x")


def test_a_report_is_a_file_or_a_glob_of_files(read: Read) -> None:
    def junit(path: str) -> str:
        return f"gates: [{{name: a, run: x, junit: '{path}'}}]"

    assert "`gates[0].junit`: `../x.xml` leaves" in message(read, junit("../x.xml"))
    assert "`gates[0].junit`: `reports/` names a folder" in message(read, junit("reports/"))
    assert "`gates[0].junit`: `a**/x.xml`: `**` stands for folders" in message(read, junit("a**/x.xml"))
    assert read(junit("**/TEST-*.xml")).gates[0].junit == "**/TEST-*.xml"


def test_a_path_has_one_way_into_a_workspace(read: Read) -> None:
    said = message(read, "workspace: {copy: [a, b], cache: [./b/]}")
    assert "`workspace.cache[0]`: `./b/` is in `workspace.copy` too" in said
    read("workspace: {copy: [a], cache: [a/b]}")


@pytest.mark.parametrize("path", [".venv", ".venv/", "api/.venv", ".venv/lib"])
def test_an_environment_cannot_be_linked(read: Read, path: str) -> None:
    assert f"`workspace.link[0]`: `{path}` cannot be linked" in message(
        read, f"workspace: {{link: [{path}]}}"
    )


@pytest.mark.parametrize("name", ["setup", "Accept-1"])
def test_a_gate_cannot_be_called_like_a_check_of_the_runners(read: Read, name: str) -> None:
    assert "choose another name" in message(read, f"gates: [{{name: {name}, run: x}}]")


def test_every_key_of_the_contract_is_read(read: Read) -> None:
    settings = read(CONTRACT)
    assert (settings.sandbox, settings.canary, settings.review.every_tasks) == ("auto", "warn", 20)
    assert settings.gates[1].junit == "reports/junit.xml"


def test_a_wrong_value_is_called_wrong(read: Read) -> None:
    assert "`sandbox`: expected one of auto, bwrap, none" in message(read, "sandbox: docker")


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("zzz: 1", {"sandbox", "canary", "notify", "review", "workspace"}),
        ("workspace: {zzz: 1}", {"up", "down", "setup"}),
        ("workspace: 5", {"up", "down", "setup"}),
        ("review: {zzz: 1}", {"every_tasks", "every_hours"}),
    ],
)
def test_the_allowed_keys_are_listed(read: Read, text: str, listed: set[str]) -> None:
    assert listed <= set(re.split(r"[(), ]+", message(read, text)))
