"""The catalogue of mutants is whole and fits the source of today; `make mutants` plays them."""

from __future__ import annotations

from pathlib import Path

import pytest

import pytest_agenttasks
from tests.mutants.catalogue import MUTANTS, Mutant

SOURCE = Path(pytest_agenttasks.__file__).parent


def test_every_promise_has_a_mutant() -> None:
    assert {mutant.promise for mutant in MUTANTS} == {f"I{number}" for number in range(1, 15)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.promise}: {mutant.what}")
def test_what_is_broken_stands_in_the_source_once_and_its_tests_exist(mutant: Mutant) -> None:
    assert (SOURCE / mutant.file).read_text().count(mutant.old) == 1
    for node in mutant.tests:
        file, _, name = node.partition("::")
        text = (SOURCE.parent / file).read_text()
        assert not name or f"def {name}(" in text
