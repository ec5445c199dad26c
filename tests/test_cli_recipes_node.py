"""package.json: scripts, managers, installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detected import LOCKED, Found, finder, gates, package


@pytest.fixture
def found(tmp_path: Path) -> Found:
    return finder(tmp_path)


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
    found: Found, files: dict[str, str], test: str, setup: str, lock: str
) -> None:
    detected = found(
        {"package.json": package({"test": "x", "lint": "y"}, devDependencies={"a": "1"}), **files}
    )
    assert gates(detected) == {
        "lint": test.replace("npm test", "npm run test").replace("test", "lint"),
        "tests": test,
    }
    assert detected.setup == setup
    assert detected.setup_inputs == ("package.json", lock)


def test_modern_yarn_installs_immutably(found: Found) -> None:
    detected = found(
        {"package.json": package({"test": "x"}, dependencies={"a": "1"}), "yarn.lock": "", ".yarnrc.yml": ""}
    )
    assert detected.setup == "yarn install --immutable"
    assert ".yarnrc.yml" in detected.setup_inputs


def test_a_node_project_without_dependencies_has_no_setup(found: Found) -> None:
    detected = found({"package.json": package({"test": "node --test"}), **LOCKED})
    assert gates(detected) == {"tests": "npm test"}
    assert (detected.setup, detected.setup_inputs) == (None, ())


def test_a_node_project_without_a_lock_file_is_told_so(found: Found) -> None:
    detected = found({"package.json": package({"test": "x"}, dependencies={"a": "1"})})
    assert detected.setup == "npm install --no-package-lock"
    assert "no lock file" in detected.notes[0]


def test_npms_placeholder_is_no_test(found: Found) -> None:
    placeholder = 'echo "Error: no test specified" && exit 1'
    assert found({"package.json": package({"test": placeholder})}).gates == ()


@pytest.mark.parametrize("script", ["jest --watch", "jest --watchAll", "jest --watch=true"])
def test_a_script_that_watches_is_no_gate(found: Found, script: str) -> None:
    detected = found({"package.json": package({"test": script})})
    assert detected.gates == ()
    assert "never ends" in detected.notes[0]


@pytest.mark.parametrize("script", ["jest --watch=false", "jest --watchAll=false", "jest --watchman"])
def test_a_script_that_does_not_watch_is_a_gate(found: Found, script: str) -> None:
    assert gates(found({"package.json": package({"test": script})})) == {"tests": "npm test"}


@pytest.mark.parametrize(("script", "env"), [("vitest", (("CI", "true"),)), ("vitest run", ()), ("jest", ())])
def test_runners_that_would_watch_are_told_that_nobody_looks(
    found: Found, script: str, env: tuple[tuple[str, str], ...]
) -> None:
    assert found({"package.json": package({"test": script})}).gates[0].env == env


@pytest.mark.parametrize("name", ["typecheck", "type-check", "check-types", "tsc"])
def test_type_checks_come_between_lint_and_tests(found: Found, name: str) -> None:
    detected = found({"package.json": package({"test": "x", name: "y", "lint": "z"})})
    assert list(gates(detected)) == ["lint", "typecheck", "tests"]
    assert gates(detected)["typecheck"] == f"npm run {name}"


def test_the_named_manager_wins_over_the_lock_file(found: Found) -> None:
    manifest = package({"test": "x"}, dependencies={"a": "1"}, packageManager="pnpm@9.1.0")
    detected = found({"package.json": manifest, **LOCKED})
    assert gates(detected) == {"tests": "pnpm run test"}
    assert detected.setup == "pnpm install --no-lockfile"
