"""The gate of the soak's project notices what agents get wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from soak import project
from soak.project import Feature, Task, tasks

SEED, COUNT = 5, 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in project.files(SEED, COUNT).items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def green(folder: Path) -> bool:
    return subprocess.run(["sh", "check.sh"], cwd=folder, capture_output=True, timeout=30).returncode == 0


def put(folder: Path, feature: Feature, text: str) -> None:
    (folder / feature.path).parent.mkdir(exist_ok=True)
    (folder / feature.path).write_text(text)


def some(kind: str) -> Task:
    return next(task for task in tasks(SEED, COUNT) if task.kind == kind)


def test_it_is_green_before_after_and_in_between(folder: Path) -> None:
    assert green(folder)
    for task in tasks(SEED, COUNT):
        if task.kind != "refused":
            port = 8000 + task.number if task.kind == "port" else None
            put(folder, task.feature, task.feature.text(task.version, "a test", port=port))
            assert green(folder), task.name


def test_a_wrong_result_is_red(folder: Path) -> None:
    feature = some("new").feature
    put(folder, feature, feature.text(1, "a test", wrong=True))
    assert not green(folder)


def test_a_file_that_cannot_be_loaded_is_red(folder: Path) -> None:
    feature = some("new").feature
    put(folder, feature, f"{feature.name}() {{ result=$(( $1\n")
    assert not green(folder)


def test_two_on_one_port_are_red(folder: Path) -> None:
    first, second = [task.feature for task in tasks(SEED, COUNT) if task.kind in ("new", "port")][:2]
    put(folder, first, first.text(1, "a test", port=8000))
    assert green(folder)
    put(folder, second, second.text(1, "a test", port=8000))
    assert not green(folder)


def test_a_list_that_names_what_is_not_there_is_red(folder: Path) -> None:
    feature = some("listed").feature
    with (folder / feature.listing).open("a") as file:
        file.write("# a remark\n")
    assert green(folder)
    with (folder / feature.listing).open("a") as file:
        file.write(f"{feature.name}\n")
    assert not green(folder)
    put(folder, feature, feature.text(1, "a test"))
    assert green(folder)
