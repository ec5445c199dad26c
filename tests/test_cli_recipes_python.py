"""Python, Rust and Go projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detected import TEST, Found, finder, gates


@pytest.fixture
def found(tmp_path: Path) -> Found:
    return finder(tmp_path)


def test_uv_syncs_frozen(found: Found) -> None:
    toml = '[project]\nname = "x"\n[dependency-groups]\ndev = ["pytest>=8"]\n'
    detected = found({"pyproject.toml": toml, "uv.lock": "", **TEST})
    assert detected.setup == "uv sync --frozen"
    assert detected.setup_inputs == ("pyproject.toml", "uv.lock")
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


def test_uv_installs_the_extras_and_groups_that_hold_the_tools(found: Found) -> None:
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


def test_uv_adds_pytest_where_no_list_has_it(found: Found) -> None:
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
    found: Found, files: dict[str, str], installs: str, inputs: tuple[str, ...]
) -> None:
    detected = found({**files, **TEST})
    assert detected.setup == f"python3 -m venv .venv && .venv/bin/python -m pip install -q {installs}"
    assert detected.setup_inputs == inputs
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


def test_dependency_groups_need_a_new_pip(found: Found) -> None:
    detected = found({"pyproject.toml": '[dependency-groups]\ndev = ["pytest"]', **TEST})
    assert detected.setup is not None
    assert detected.setup.endswith(
        "pip install -q --upgrade pip && .venv/bin/python -m pip install -q --group dev"
    )


def test_plain_python_uses_the_pytest_that_is_there(found: Found) -> None:
    detected = found(TEST)
    assert gates(detected) == {"tests": "python3 -m pytest -q"}
    assert (detected.setup, detected.setup_inputs) == (None, ())


def test_plain_python_tests_for_pytest_get_a_venv_where_there_is_none(found: Found) -> None:
    detected = found(TEST, lacks=("pytest",))
    assert detected.setup == "python3 -m venv .venv && .venv/bin/python -m pip install -q pytest"
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"tests/test_a.py": "import unittest"}, "python3 -m unittest discover -s tests"),
        (
            {"tests/test_a.py": "import unittest", "tests/__init__.py": ""},
            "python3 -m unittest discover -s tests -t .",
        ),
        ({"test_a.py": "import unittest"}, "python3 -m unittest discover"),
    ],
)
def test_unittest_runs_what_was_written_for_it_where_pytest_is_missing(
    found: Found, files: dict[str, str], command: str
) -> None:
    assert gates(found(files, lacks=("pytest",))) == {"tests": command}
    assert gates(found(files)) == {"tests": "python3 -m pytest -q"}


def test_pytest_without_test_files_is_no_gate(found: Found) -> None:
    detected = found({"pytest.ini": ""})
    assert detected.gates == ()
    assert "no test file" in detected.notes[0]


def test_cargo_keeps_its_build_folder(found: Found) -> None:
    detected = found({"Cargo.toml": "[package]", "Cargo.lock": ""})
    assert gates(detected) == {"lint": "cargo clippy --all-targets --locked", "tests": "cargo test --locked"}
    assert detected.cache == ("target",)
    assert gates(found({}, lacks=("clippy",))) == {"tests": "cargo test --locked"}


def test_a_cargo_workspace_speaks_for_its_members(found: Found) -> None:
    detected = found({"Cargo.toml": "[workspace]", "crates/a/Cargo.toml": "[package]"}, lacks=("clippy",))
    assert gates(detected) == {"tests": "cargo test --workspace"}


def test_go_vets_and_tests(found: Found) -> None:
    assert gates(found({"go.mod": "module x"})) == {"lint": "go vet ./...", "tests": "go test ./..."}


def test_dependencies_that_only_the_build_knows_are_installed(found: Found) -> None:
    detected = found({"pyproject.toml": '[project]\ndynamic = ["dependencies"]\n', **TEST})
    assert detected.setup is not None
    assert detected.setup.endswith("pip install -q -e . pytest")


def test_tests_without_any_framework_are_pytests(found: Found) -> None:
    detected = found({"tests/test_a.py": "def test_a():\n    assert True\n"}, lacks=("pytest",))
    assert gates(detected) == {"tests": ".venv/bin/python -m pytest -q"}
