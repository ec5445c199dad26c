"""Memory of a run: what is counted, and what growth is."""

from __future__ import annotations

import os
from pathlib import Path

from soak.ledger import Ledger, blob
from soak.processes import Memory, Sample, below, marked
from tests.user_repository import UserRepository


def test_growth_is_of_the_start_that_went_on_for_longest() -> None:
    memory = Memory()
    memory.samples += [Sample(n, 1, 900) for n in range(5)]
    memory.samples += [Sample(n, 2, 100 + 10 * n) for n in range(20)]
    assert memory.peak == 900
    assert memory.growth == (120, 19.0)  # 4 samples from 260 on, less 4 from 140 on


def test_no_samples_are_no_growth() -> None:
    assert Memory().growth == (0, 0.0)
    assert Memory().peak == 0


def test_a_process_is_found_by_what_it_has_inherited(tmp_path: Path) -> None:
    assert marked("SOAK_TEST", tmp_path) == []
    assert next(process.pid for process in below(os.getpid())) == os.getpid()


def test_a_blob_has_the_id_that_git_gives_it(repository: UserRepository) -> None:
    data = "some\nlines\n"
    assert blob(data.encode()) == repository.git("hash-object", "--stdin", stdin=data)


def test_sessions_are_counted_for_each_task(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    begun = [ledger.begin(task) for task in ("a", "b", "a")]
    assert [(session.index, session.number) for session in begun] == [(1, 1), (2, 1), (3, 2)]
    assert ledger.sessions() == begun
    assert ledger.begun() == 3
