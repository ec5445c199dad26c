"""What `agenttasks init` reads out of a project's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.cli.init_files import example, scalar
from pytest_agenttasks.cli.recipes import Detected, Machine
from pytest_agenttasks.settings.strict_yaml import parse
from tests.detected import LOCKED, TEST, Found, finder, gates, package


@pytest.fixture
def found(tmp_path: Path) -> Found:
    return finder(tmp_path)


def test_nothing_is_found_in_an_empty_folder(found: Found) -> None:
    assert found({}) == Detected()
    assert found({"README.md": "x"}) == Detected()


@pytest.mark.parametrize("rule", ["test:\n", "test: build\n", "test lint: x\n", "test::\n", "a b test : c\n"])
def test_make_targets_are_gates(found: Found, rule: str) -> None:
    assert gates(found({"Makefile": rule + "\ttrue\n"}))["tests"] == "make test"


@pytest.mark.parametrize(
    "rule", ["test := 1\n", "test ::= 1\n", "\ttest: x\n", ".PHONY: test\n", "#test:\n", "build: test\n"]
)
def test_what_is_no_make_target_is_no_gate(found: Found, rule: str) -> None:
    assert found({"Makefile": rule}).gates == ()


def test_make_only_does_what_nothing_else_does(found: Found) -> None:
    detected = found({"Makefile": "test:\nlint:\n", "requirements.txt": "pytest", **TEST})
    assert gates(detected) == {
        "lint": 'PATH="$PWD/.venv/bin:$PATH" make lint',
        "tests": ".venv/bin/python -m pytest -q",
    }


def test_several_ecosystems_in_one_repository(found: Found) -> None:
    detected = found(
        {
            "package.json": package({"test": "x"}, dependencies={"a": "1"}),
            **LOCKED,
            "api/requirements.txt": "pytest",
            "api/tests/test_a.py": "import pytest",
            "packages/core lib/Cargo.toml": "[package]",
        },
        lacks=("clippy",),
    )
    assert [(g.name, g.run, g.cwd) for g in detected.gates] == [
        ("tests", "npm test", None),
        ("tests-api", ".venv/bin/python -m pytest -q", "api"),
        ("tests-packages-core-lib", "cargo test", "packages/core lib"),
    ]
    assert detected.setup is not None
    assert detected.setup.startswith("npm ci && (cd api && python3 -m venv .venv && ")
    assert detected.setup_inputs == ("package.json", "package-lock.json", "api/requirements.txt")
    assert detected.cache == ("packages/core lib/target",)


def test_two_ecosystems_in_one_folder_have_gates_of_different_names(found: Found) -> None:
    detected = found({"package.json": package({"test": "x"}), **TEST})
    assert gates(detected) == {"tests-node": "npm test", "tests-python": "python3 -m pytest -q"}


def test_long_folder_names_still_give_names_of_their_own(found: Found) -> None:
    folders = [f"a-very-long-name-of-a-folder-that-goes-on-and-on-{n}" for n in range(3)]
    detected = found({f"{folder}/go.mod": "module x" for folder in folders})
    assert len({gate.name for gate in detected.gates}) == 6


def test_a_workspaces_root_installs_for_its_members_and_runs_their_scripts(found: Found) -> None:
    detected = found(
        {
            "package.json": package({"test": "npm test -ws"}, workspaces=["packages/*", "!packages/old"]),
            **LOCKED,
            "packages/a/package.json": package({"test": "x", "lint": "y"}, dependencies={"b": "1"}),
            "packages/old/package.json": package({"test": "x"}, dependencies={"b": "1"}),
        }
    )
    assert [(g.name, g.cwd) for g in detected.gates] == [
        ("lint-packages-a", "packages/a"),
        ("tests", None),
        ("tests-packages-old", "packages/old"),
    ]
    assert detected.setup == "npm ci && (cd packages/old && npm install --no-package-lock)"
    assert "packages/a/package.json" in detected.setup_inputs


def test_a_pnpm_workspace_is_one_too(found: Found) -> None:
    detected = found(
        {
            "package.json": package(),
            "pnpm-lock.yaml": "",
            "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n",
            "apps/web/package.json": package({"test": "x"}, dependencies={"b": "1"}),
        }
    )
    assert detected.setup == "pnpm install --frozen-lockfile"
    assert [(g.name, g.run, g.cwd) for g in detected.gates] == [("tests-apps-web", "npm test", "apps/web")]


def test_folders_that_hold_no_project_of_their_own_are_left_alone(found: Found) -> None:
    skipped = ("node_modules/a", ".hidden", "vendor", "tests", "docs", "target")
    assert found({f"{folder}/go.mod": "module x" for folder in skipped}) == Detected()


def test_a_missing_program_is_pointed_out(found: Found) -> None:
    detected = found({"web/package.json": package({"test": "x"})}, lacks=("npm",))
    assert detected.notes == ("web/: `npm` is not on PATH; install it before you run the queue",)


@pytest.mark.parametrize(
    ("name", "command"), [("pom.xml", "mvn -q test"), ("Gemfile", "bundle exec rake test")]
)
def test_an_unknown_ecosystem_gets_a_suggestion(found: Found, name: str, command: str) -> None:
    detected = found({name: ""})
    assert detected.suggestion == command
    assert f"#    run: {command}\n" in example(detected)


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": "{"},
        {"package.json": "[]"},
        {"package.json": '{"scripts": [], "dependencies": 3, "workspaces": {"packages": 1}}'},
        {"package.json": "[" * 100_000},
        {"pyproject.toml": "["},
        {"pyproject.toml": "project = 3\ntool = 4\n"},
        {
            "pyproject.toml": "[project]\ndependencies = 3\noptional-dependencies = [1]\n[dependency-groups]\nx = 3\n"
        },
        {"Cargo.toml": "not toml", "Makefile": "\0\0:"},
        {"pnpm-workspace.yaml": "&a", "package.json": "{}"},
    ],
)
def test_broken_manifests_never_break_init(found: Found, files: dict[str, str]) -> None:
    found(files)


def test_scripts_of_an_unlikely_kind_survive_the_yaml(tmp_path: Path) -> None:
    for text in [
        "a: b # c",
        "- x",
        "'",
        '"',
        "true",
        "1.5",
        "ä\n",
        "",
        "*x",
        "a, b",
        "[x]",
        "a  b",
        ".5",
        "x\ty",
        "null",
        "~",
    ]:
        assert parse(f"run: {scalar(text)}\nin: [{scalar(text)}]").value == {"run": text, "in": [text]}


def test_the_machine_is_asked_without_the_project_being_able_to_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "importlib.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert Machine().python3_has("json")
    assert not Machine().python3_has("no_such_module_anywhere")
    assert not Machine().succeeds("no-such-program-anywhere")
    assert Machine().missing("no-such-program-anywhere")
    assert not Machine().missing("git")


def test_questions_are_asked_outside_the_project() -> None:
    assert Machine().succeeds("sh", "-c", 'test "$PWD" = /')


def test_a_makefile_below_counts_only_where_the_top_folder_has_no_tests(found: Found) -> None:
    assert gates(found({"lib/Makefile": "test:\n"})) == {"tests-lib": "make test"}
    assert gates(found({"Makefile": "test:\n"})) == {"tests": "make test"}


def test_a_uv_workspace_speaks_for_its_members(found: Found) -> None:
    toml = '[project]\nname = "x"\n[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    member = {"packages/a/pyproject.toml": "[project]\n", "packages/a/tests/test_a.py": "import pytest"}
    detected = found({"pyproject.toml": toml, "uv.lock": "", **member})
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}
    assert detected.setup == "uv sync --frozen --all-packages && uv pip install -q pytest"
