from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_agenttasks.processes.search_paths import search_paths
from tests.virtual_environments import install_editable, virtual_environment


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The user's checkout, with the packages that the tests import."""
    return package(tmp_path / "checkout")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace of it."""
    return package(tmp_path / "place")


def package(folder: Path) -> Path:
    for name in ("src/pkg", "lib/pkg", "pkg"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    return folder


def imported(place: Path, paths: dict[str, str], module: str = "pkg") -> str:
    """The file of the module that Python imports with these search paths, from some other folder."""
    asked = subprocess.run(
        ["python3", "-c", f"import {module}; print({module}.__file__)"],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **paths}, cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return os.path.relpath(asked.stdout.strip(), place)


@pytest.mark.parametrize("how", ["pth", "finder", "redirector"])
@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("folder", ["src/pkg", "lib/pkg", "pkg"])
def test_an_editable_install_leads_to_the_place(
    tmp_path: Path, top: Path, place: Path, how: str, where: str, folder: str
) -> None:
    environment = (top if where == "inside" else tmp_path) / ".venv"
    install_editable(virtual_environment(environment), how, top / folder)
    path = f"{environment}/bin:{os.environ['PATH']}"
    assert imported(top, {"PATH": path}) == f"{folder}/__init__.py"
    found = search_paths(top, place, {"PATH": path}, {})
    assert imported(place, found) == f"{folder}/__init__.py"


def test_the_users_own_python_path_leads_to_the_place_and_foreign_entries_are_left_out(
    top: Path, place: Path
) -> None:
    callers = {"PYTHONPATH": f"/usr/share/foreign:{top}/lib:relative:{top}/missing::"}
    found = search_paths(top, place, {"PATH": "/usr/bin:/bin"}, callers)
    assert found["PYTHONPATH"] == f"{place}/lib:{place}/src:{place}"
    (place / "relative").mkdir()
    assert (
        f"{place}/lib:{place}/relative:{place}/src"
        in search_paths(top, place, {"PATH": "/usr/bin"}, callers)["PYTHONPATH"]
    )


def test_installed_packages_come_from_their_own_interpreter(top: Path, place: Path) -> None:
    virtual_environment(place / ".venv")
    install_editable(virtual_environment(top / ".venv"), "pth", top / "lib/pkg")
    found = search_paths(top, place, {"PATH": f"{top}/.venv/bin"}, {})
    assert found["PATH"] == f"{place}/.venv/bin:{top}/.venv/bin"
    assert found["PYTHONPATH"] == f"{place}/lib:{place}/src:{place}"


def test_a_value_of_the_settings_stays(top: Path, place: Path) -> None:
    (place / "pyproject.toml").touch()
    assert "PYTHONPATH" not in search_paths(top, place, {"PATH": os.environ["PATH"], "PYTHONPATH": ""}, {})


def test_a_python_project_gets_src_and_top_and_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    variables = {"PATH": os.environ["PATH"]}
    assert "PYTHONPATH" not in search_paths(Path("/nowhere"), tmp_path, variables, {})
    (tmp_path / "pyproject.toml").touch()
    assert (
        search_paths(Path("/nowhere"), tmp_path, variables, {})["PYTHONPATH"] == f"{tmp_path}/src:{tmp_path}"
    )


def test_folders_of_the_path_come_after_their_counterparts(top: Path, place: Path) -> None:
    for folder in ("node_modules/.bin", ".venv/bin", "tools"):
        (top / folder).mkdir(parents=True)
    (place / ".venv/bin").mkdir(parents=True)
    (place / "tools").mkdir()
    path = f"{top}/.venv/bin:{top}/node_modules/.bin:/usr/bin:{top}/tools/:relative:/bin"
    assert search_paths(top, place, {"PATH": path}, {})["PATH"].split(":") == [
        f"{place}/.venv/bin", f"{top}/.venv/bin", f"{top}/node_modules/.bin", "/usr/bin",
        f"{place}/tools", f"{top}/tools/", "relative", "/bin",
    ]  # fmt: skip


def test_without_python_on_the_path_nothing_is_asked(top: Path, place: Path) -> None:
    assert search_paths(top, place, {"PATH": "relative:"}, {}) == {"PATH": "relative:"}


def test_a_checkout_reached_by_a_link_is_the_same_checkout(tmp_path: Path, top: Path, place: Path) -> None:
    (tmp_path / "linked").symlink_to(top)
    found = search_paths(top, place, {"PATH": "/usr/bin"}, {"PYTHONPATH": f"{tmp_path}/linked/lib"})
    assert found["PYTHONPATH"].split(":")[0] == f"{place}/lib"
