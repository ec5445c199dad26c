"""What `agenttasks init` reads out of a project's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_agenttasks.cli.init_files import example, scalar
from pytest_agenttasks.cli.recipes import Detected, Machine, detect
from pytest_agenttasks.settings import load
from pytest_agenttasks.strict_yaml import parse

Project = Callable[..., Detected]
LOCKED = {"package-lock.json": "{}"}
TEST = {"tests/test_a.py": "import pytest\n\ndef test_a():\n    pass\n"}


@pytest.fixture
def found(tmp_path: Path) -> Project:
    """What is detected in a folder with these files, on a machine that has everything unless told otherwise."""

    def found(files: dict[str, str], lacks: tuple[str, ...] = ()) -> Detected:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

        def succeeds(*command: str) -> bool:
            return not any(word in part for word in lacks for part in command)

        detected = detect(tmp_path, Machine(has=lambda program: program not in lacks, succeeds=succeeds))
        settings = tmp_path / "written.yaml"
        settings.write_text(example(detected))
        read = load(settings)
        assert [(g.name, g.run, g.cwd, tuple(g.env.items())) for g in read.gates] == [
            (g.name, g.run, g.cwd, g.env) for g in detected.gates
        ]
        assert (read.workspace.setup, read.workspace.setup_inputs) == (detected.setup, detected.setup_inputs)
        assert read.workspace.cache == detected.cache
        settings.unlink()
        return detected

    return found


def gates(detected: Detected) -> dict[str, str]:
    return {gate.name: gate.run for gate in detected.gates}


def package(scripts: dict[str, str] | None = None, **more: object) -> str:
    return json.dumps({"scripts": scripts or {}, **more})


def test_nothing_is_found_in_an_empty_folder(found: Project) -> None:
    assert found({}) == Detected()
    assert found({"README.md": "x"}) == Detected()


@pytest.mark.parametrize(
    ("files", "test", "setup", "lock"),
    [
        ({"package-lock.json": ""}, "npm test", "npm ci", "package-lock.json"),
        ({"pnpm-lock.yaml": ""}, "pnpm run test", "pnpm install --frozen-lockfile", "pnpm-lock.yaml"),
        ({"yarn.lock": ""}, "yarn run test", "yarn install --frozen-lockfile", "yarn.lock"),
        ({"bun.lock": ""}, "bun run test", "bun install --frozen-lockfile", "bun.lock"),
    ],
)
def test_node_scripts_run_with_the_lock_files_manager(
    found: Project, files: dict[str, str], test: str, setup: str, lock: str
) -> None:
    detected = found({"package.json": package({"test": "x", "lint": "y"}, devDependencies={"a": "1"}), **files})
    assert gates(detected) == {"lint": test.replace("npm test", "npm run test").replace("test", "lint"), "tests": test}
    assert detected.setup == setup
    assert detected.setup_inputs == ("package.json", lock)


def test_modern_yarn_installs_immutably(found: Project) -> None:
    detected = found({"package.json": package({"test": "x"}, dependencies={"a": "1"}), "yarn.lock": "", ".yarnrc.yml": ""})
    assert detected.setup == "yarn install --immutable"
    assert ".yarnrc.yml" in detected.setup_inputs


def test_a_node_project_without_dependencies_has_no_setup(found: Project) -> None:
    detected = found({"package.json": package({"test": "node --test"}), **LOCKED})
    assert gates(detected) == {"tests": "npm test"}
    assert (detected.setup, detected.setup_inputs) == (None, ())


def test_a_node_project_without_a_lock_file_is_told_so(found: Project) -> None:
    detected = found({"package.json": package({"test": "x"}, dependencies={"a": "1"})})
    assert detected.setup == "npm install --no-package-lock"
    assert "no lock file" in detected.notes[0]


def test_npms_placeholder_is_no_test(found: Project) -> None:
    placeholder = 'echo "Error: no test specified" && exit 1'
    assert found({"package.json": package({"test": placeholder})}).gates == ()


@pytest.mark.parametrize("script", ["jest --watch", "jest --watchAll", "jest --watch=true"])
def test_a_script_that_watches_is_no_gate(found: Project, script: str) -> None:
    detected = found({"package.json": package({"test": script})})
    assert detected.gates == ()
    assert "never ends" in detected.notes[0]


@pytest.mark.parametrize("script", ["jest --watch=false", "jest --watchAll=false", "jest --watchman"])
def test_a_script_that_does_not_watch_is_a_gate(found: Project, script: str) -> None:
    assert gates(found({"package.json": package({"test": script})})) == {"tests": "npm test"}


@pytest.mark.parametrize(("script", "env"), [("vitest", (("CI", "true"),)), ("vitest run", ()), ("jest", ())])
def test_runners_that_would_watch_are_told_that_nobody_looks(
    found: Project, script: str, env: tuple[tuple[str, str], ...]
) -> None:
    assert found({"package.json": package({"test": script})}).gates[0].env == env


@pytest.mark.parametrize("name", ["typecheck", "type-check", "check-types", "tsc"])
def test_type_checks_come_between_lint_and_tests(found: Project, name: str) -> None:
    detected = found({"package.json": package({"test": "x", name: "y", "lint": "z"})})
    assert list(gates(detected)) == ["lint", "typecheck", "tests"]
    assert gates(detected)["typecheck"] == f"npm run {name}"


def test_uv_syncs_frozen(found: Project) -> None:
    toml = '[project]\nname = "x"\n[dependency-groups]\ndev = ["pytest>=8"]\n'
    detected = found({"pyproject.toml": toml, "uv.lock": "", **TEST})
    assert detected.setup == "uv sync --frozen"
    assert detected.setup_inputs == ("pyproject.toml", "uv.lock")
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


def test_uv_installs_the_extras_and_groups_that_hold_the_tools(found: Project) -> None:
    toml = (
        '[project]\nname = "x"\n[project.optional-dependencies]\ntest = ["pytest"]\ndocs = ["sphinx"]\n'
        '[dependency-groups]\ndev = ["mypy"]\nlint = ["ruff"]\n[tool.ruff]\n[tool.mypy]\nfiles = ["src"]\n'
    )
    detected = found({"pyproject.toml": toml, "uv.lock": "", **TEST})
    assert detected.setup == "uv sync --frozen --extra test --group lint"
    assert gates(detected) == {
        "lint": ".venv/bin/python -m ruff check .",
        "typecheck": ".venv/bin/python -m mypy",
        "tests": ".venv/bin/python -m pytest -q",
    }


def test_uv_adds_pytest_where_no_list_has_it(found: Project) -> None:
    detected = found({"pyproject.toml": '[project]\nname = "x"\n', "uv.lock": "", **TEST})
    assert detected.setup == "uv sync --frozen && uv pip install -q pytest"


@pytest.mark.parametrize(
    ("files", "installs", "inputs"),
    [
        ({"requirements.txt": "requests\npytest\n"}, "-r requirements.txt", ("requirements.txt",)),
        ({"requirements.txt": "# nothing\nrequests\n"}, "-r requirements.txt pytest", ("requirements.txt",)),
        (
            {"requirements.txt": "requests", "requirements-dev.txt": "pytest", "notes.txt": "pytest"},
            "-r requirements-dev.txt -r requirements.txt",
            ("requirements-dev.txt", "requirements.txt"),
        ),
        ({"pyproject.toml": '[project]\ndependencies = ["requests"]'}, "-e . pytest", ("pyproject.toml",)),
        (
            {"pyproject.toml": '[project]\n[project.optional-dependencies]\ndev = ["pytest", "x"]'},
            "-e '.[dev]'",
            ("pyproject.toml",),
        ),
        ({"setup.py": "", "setup.cfg": ""}, "-e . pytest", ("setup.py", "setup.cfg")),
    ],
)
def test_pip_installs_into_a_venv(
    found: Project, files: dict[str, str], installs: str, inputs: tuple[str, ...]
) -> None:
    detected = found({**files, **TEST})
    assert detected.setup == f"python3 -m venv .venv && .venv/bin/python -m pip install -q {installs}"
    assert detected.setup_inputs == inputs
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


def test_dependency_groups_need_a_new_pip(found: Project) -> None:
    detected = found({"pyproject.toml": '[dependency-groups]\ndev = ["pytest"]', **TEST})
    assert detected.setup is not None
    assert detected.setup.endswith("pip install -q --upgrade pip && .venv/bin/python -m pip install -q --group dev")


def test_plain_python_uses_the_pytest_that_is_there(found: Project) -> None:
    detected = found(TEST)
    assert gates(detected) == {"tests": "python3 -m pytest -q"}
    assert (detected.setup, detected.setup_inputs) == (None, ())


def test_plain_python_tests_for_pytest_get_a_venv_where_there_is_none(found: Project) -> None:
    detected = found(TEST, lacks=("pytest",))
    assert detected.setup == "python3 -m venv .venv && .venv/bin/python -m pip install -q pytest"
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"tests/test_a.py": "import unittest"}, "python3 -m unittest discover -s tests"),
        ({"tests/test_a.py": "import unittest", "tests/__init__.py": ""}, "python3 -m unittest discover -s tests -t ."),
        ({"test_a.py": "import unittest"}, "python3 -m unittest discover"),
    ],
)
def test_unittest_runs_what_was_written_for_it_where_pytest_is_missing(
    found: Project, files: dict[str, str], command: str
) -> None:
    assert gates(found(files, lacks=("pytest",))) == {"tests": command}
    assert gates(found(files)) == {"tests": "python3 -m pytest -q"}


def test_pytest_without_test_files_is_no_gate(found: Project) -> None:
    detected = found({"pytest.ini": ""})
    assert detected.gates == ()
    assert "no test file" in detected.notes[0]


def test_cargo_keeps_its_build_folder(found: Project) -> None:
    detected = found({"Cargo.toml": "[package]", "Cargo.lock": ""})
    assert gates(detected) == {"lint": "cargo clippy --all-targets --locked", "tests": "cargo test --locked"}
    assert detected.cache == ("target",)
    assert gates(found({}, lacks=("clippy",))) == {"tests": "cargo test --locked"}


def test_a_cargo_workspace_speaks_for_its_members(found: Project) -> None:
    detected = found({"Cargo.toml": "[workspace]", "crates/a/Cargo.toml": "[package]"}, lacks=("clippy",))
    assert gates(detected) == {"tests": "cargo test --workspace"}


def test_go_vets_and_tests(found: Project) -> None:
    assert gates(found({"go.mod": "module x"})) == {"lint": "go vet ./...", "tests": "go test ./..."}


@pytest.mark.parametrize("rule", ["test:\n", "test: build\n", "test lint: x\n", "test::\n", "a b test : c\n"])
def test_make_targets_are_gates(found: Project, rule: str) -> None:
    assert gates(found({"Makefile": rule + "\ttrue\n"}))["tests"] == "make test"


@pytest.mark.parametrize("rule", ["test := 1\n", "test ::= 1\n", "\ttest: x\n", ".PHONY: test\n", "#test:\n", "build: test\n"])
def test_what_is_no_make_target_is_no_gate(found: Project, rule: str) -> None:
    assert found({"Makefile": rule}).gates == ()


def test_make_only_does_what_nothing_else_does(found: Project) -> None:
    detected = found({"Makefile": "test:\nlint:\n", "requirements.txt": "pytest", **TEST})
    assert gates(detected) == {
        "lint": 'PATH="$PWD/.venv/bin:$PATH" make lint',
        "tests": ".venv/bin/python -m pytest -q",
    }


def test_several_ecosystems_in_one_repository(found: Project) -> None:
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


def test_two_ecosystems_in_one_folder_have_gates_of_different_names(found: Project) -> None:
    detected = found({"package.json": package({"test": "x"}), **TEST})
    assert gates(detected) == {"tests-node": "npm test", "tests-python": "python3 -m pytest -q"}


def test_long_folder_names_still_give_names_of_their_own(found: Project) -> None:
    folders = [f"a-very-long-name-of-a-folder-that-goes-on-and-on-{n}" for n in range(3)]
    detected = found({f"{folder}/go.mod": "module x" for folder in folders})
    assert len({gate.name for gate in detected.gates}) == 6


def test_a_workspaces_root_installs_for_its_members_and_runs_their_scripts(found: Project) -> None:
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


def test_a_pnpm_workspace_is_one_too(found: Project) -> None:
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


def test_folders_that_hold_no_project_of_their_own_are_left_alone(found: Project) -> None:
    skipped = ("node_modules/a", ".hidden", "vendor", "tests", "docs", "target")
    assert found({f"{folder}/go.mod": "module x" for folder in skipped}) == Detected()


def test_a_missing_program_is_pointed_out(found: Project) -> None:
    detected = found({"web/package.json": package({"test": "x"})}, lacks=("npm",))
    assert detected.notes == ("web/: `npm` is not on PATH; install it before you run the queue",)


@pytest.mark.parametrize(("name", "command"), [("pom.xml", "mvn -q test"), ("Gemfile", "bundle exec rake test")])
def test_an_unknown_ecosystem_gets_a_suggestion(found: Project, name: str, command: str) -> None:
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
        {"pyproject.toml": "[project]\ndependencies = 3\noptional-dependencies = [1]\n[dependency-groups]\nx = 3\n"},
        {"Cargo.toml": "not toml", "Makefile": "\0\0:"},
        {"pnpm-workspace.yaml": "&a", "package.json": "{}"},
    ],
)
def test_broken_manifests_never_break_init(found: Project, files: dict[str, str]) -> None:
    found(files)


def test_scripts_of_an_unlikely_kind_survive_the_yaml(tmp_path: Path) -> None:
    for text in ["a: b # c", "- x", "'", '"', "true", "1.5", "ä\n", "", "*x", "a, b", "[x]", "a  b", ".5", "x\ty", "null", "~"]:
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
    assert Machine().missing("no-such-program-anywhere") and not Machine().missing("git")
