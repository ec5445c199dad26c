"""Limits that hold for every program, with a sandbox or without."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.processes import caps
from pytest_agenttasks.processes.cgroups import NO_CGROUPS
from tests.living import Runner
from tests.opened import opened, outcome
from tests.user_repository import UserRepository


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path / "work") as run:
        yield run


def test_an_endless_writer_ends_at_the_limit_of_a_file(run: Runner) -> None:
    finished = run("sh", "-c", "exec yes > endless", caps={"RLIMIT_FSIZE": 100_000})
    assert (finished.signal, finished.stopped) == (signal.SIGXFSZ, None)
    assert (run.folder / "endless").stat().st_size == 100_000


def test_a_sparse_file_beyond_it_is_refused(run: Runner) -> None:
    assert not run("truncate", "-s", "5G", "sparse", caps=caps.LIMITS).ok
    assert run("truncate", "-s", "1G", "sparse", caps=caps.LIMITS).ok


def test_no_limit_is_raised(run: Runner) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert run("sh", "-c", "ulimit -Sn; ulimit -Hn", caps={"RLIMIT_NOFILE": hard * 2}).ok
    assert (run.folder / "out").read_text().split() == [str(soft), str(hard)]
    assert run("sh", "-c", "ulimit -Sn; ulimit -Hn", caps={"RLIMIT_NOFILE": 64}).ok
    assert (run.folder / "out").read_text().split() == ["64", "64"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_kernel_would_end_it_before_the_runner(run: Runner) -> None:
    assert run("cat", "/proc/self/oom_score_adj", caps=caps.LIMITS).ok
    assert int((run.folder / "out").read_text()) >= caps.OOM_SCORE


def test_a_full_disk_ends_the_program(run: Runner) -> None:
    finished = run("sh", "-c", "trap '' TERM; sleep 60; :", disk=(run.folder, 10**18))
    assert (finished.stopped, finished.signal) == ("disk", signal.SIGKILL)
    assert run("true", disk=(run.folder, 1)).ok
    assert run.living() == []


def test_a_gate_that_writes_without_end_is_red_and_the_run_goes_on(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "LIMITS", {**caps.LIMITS, "RLIMIT_FSIZE": 1_000_000})
    gate = {"name": "tests", "run": "if grep -q attempt src/a.txt; then exec yes > endless; fi"}
    with opened(repository, gates=[gate]) as run:
        found = outcome(run)
    assert found.kind is Kind.GATE
    assert "killed by signal 25" in found.summary


def test_a_disk_that_runs_full_stops_the_run_uncharged(
    repository: UserRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = {"name": "tests", "run": "if grep -q attempt src/a.txt; then sleep 60; fi"}
    with opened(repository, gates=[gate]) as run:
        monkeypatch.setattr(caps, "LEAST_FREE", 10**18)
        found = outcome(run)
    assert found.kind is Kind.DISK
    assert "no space left" in found.summary


def test_what_holds_is_described() -> None:
    assert "4 GiB" in "\n".join(caps.describe(root=False, groups=NO_CGROUPS))
    assert "does not hold for root" in "\n".join(caps.describe(root=True, groups=NO_CGROUPS))
