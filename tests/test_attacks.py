"""Every attack of the catalogue, played against a real run of a real queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.attack import Attack
from tests.attacks.catalogue import catalogue
from tests.attacks.oracle import complaints
from tests.attacks.play import play
from tests.attacks.table import documented, table


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pytest leaves compiled files of the project's own modules in the user's checkout, where nothing may appear."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


ATTACKS = catalogue()


def _marked(attack: Attack) -> object:
    marks = (
        [pytest.mark.xfail(strict=True, reason=attack.waits_for, raises=AssertionError)]
        if attack.waits_for
        else []
    )
    return pytest.param(attack, marks=marks, id=attack.name)


@pytest.mark.parametrize("attack", [_marked(attack) for attack in ATTACKS])
def test_attack(attack: Attack, tmp_path: Path, home: Path, request: pytest.FixtureRequest) -> None:
    if attack.needs_cgroup:
        request.getfixturevalue("own_cgroups")
    played = play(attack, tmp_path, home)
    found = complaints(played)
    assert not found, "\n".join([*found, played.result.output, played.log[-4000:]])
    if attack.check is not None:
        attack.check(played)


def test_the_document_has_the_table_of_today() -> None:
    assert documented() == table(), "python -m tests.attacks --write"


def test_names_are_unique() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names))
