from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.journal import Journal
from pytest_agenttasks.journal_records import (
    AttemptEnded,
    AttemptStarted,
    Failed,
    Forward,
    Forwarded,
    Landed,
    Passed,
    ProgramStarted,
    Recovered,
    Released,
    RunStarted,
)
from pytest_agenttasks.outcome import Kind, SetupError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agenttasks" / "journal.jsonl"


def started(number: int) -> AttemptStarted:
    return AttemptStarted(task="001-x", attempt=number, base="b" * 40, task_blob="t" * 40)


def ended(number: int, kind: Kind, cost: float | None = None) -> AttemptEnded:
    return AttemptEnded(task="001-x", attempt=number, kind=kind, summary="s", cost_usd=cost)


def test_the_history_survives_a_restart(file: Path) -> None:
    journal = Journal(file)
    journal.write(RunStarted(pid=1, queue="tasks", branch="refs/heads/work"))
    journal.write(started(1))
    journal.write(ended(1, Kind.GATE, 0.5))
    journal.write(started(2))
    journal.write(ended(2, Kind.USAGE_LIMIT, 0.25))
    history = Journal(file).history
    assert history.attempts == {"001-x": 2}
    assert history.charged == {"001-x": 1}
    assert history.spent_usd == 0.75


def test_a_verified_result_waits_until_it_has_landed(file: Path) -> None:
    journal = Journal(file)
    passed = Passed(
        task="001-x", attempt=1, old="o", new="n", commit="c", branch="b", task_blob="t", tracked=True
    )
    journal.write(passed)
    journal.write(Forward(old="o", new="n", branch="b", lock="token"))
    assert Journal(file).history.passed["001-x"].commit == "c"
    assert Journal(file).history.forward is not None
    journal.write(Forwarded(new="n"))
    journal.write(Landed(task="001-x", attempt=1, commit="c"))
    history = Journal(file).history
    assert (history.passed, history.forward) == ({}, None)
    assert history.landed["001-x"].commit == "c"


def test_a_failed_or_released_task_counts_anew(file: Path) -> None:
    journal = Journal(file)
    journal.write(started(1))
    journal.write(ended(1, Kind.SCOPE))
    journal.write(Failed(task="001-x"))
    assert journal.history.charged == {}
    assert journal.history.attempts == {"001-x": 1}
    journal.write(Landed(task="001-x", attempt=2, commit="c"))
    journal.write(Released(task="001-x"))
    assert journal.history.landed == {}


@pytest.mark.parametrize("cut", [2, 5, 20])
def test_a_torn_last_record_does_not_count_and_spoils_nothing(file: Path, cut: int) -> None:
    journal = Journal(file)
    journal.write(started(1))
    journal.write(ended(1, Kind.GATE))
    file.write_bytes(file.read_bytes()[:-cut])
    again = Journal(file)
    assert again.history.charged == {}
    again.write(ended(1, Kind.SCOPE))
    assert Journal(file).history.charged == {"001-x": 1}


@given(st.binary(max_size=60).filter(lambda data: b"{" not in data))
def test_rubbish_from_a_crash_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    file = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(file)
    journal.write(started(1))
    with file.open("ab") as stream:
        stream.write(rubbish)
    again = Journal(file)
    again.write(ended(1, Kind.GATE))
    assert Journal(file).history.charged == {"001-x": 1}


def test_a_record_of_another_version_stops_with_the_line(file: Path) -> None:
    journal = Journal(file)
    journal.write(started(1))
    with file.open("ab") as stream:
        stream.write(b'{"record": "from-the-future", "at": 1}\n')
    with pytest.raises(SetupError, match="line 2"):
        journal.write(ended(1, Kind.GATE))
    for _ in range(2):
        with pytest.raises(SetupError, match="line 2"):
            journal.refresh()
    with pytest.raises(SetupError, match="line 2"):
        Journal(file)


def test_each_reads_on_in_what_the_other_has_written(file: Path) -> None:
    one, other = Journal(file, "1-1.0/0"), Journal(file, "2-1.0/1")
    one.write(started(1))
    other.write(ended(1, Kind.GATE))
    assert other.history.attempts == {"001-x": 1}
    assert one.history.charged == {}
    one.refresh()
    assert one.history.charged == {"001-x": 1}
    assert one.history.running == {}


def test_what_is_open_is_kept_by_owner(file: Path) -> None:
    one, other = Journal(file, "1-1.0/0"), Journal(file, "2-1.0/1")
    one.write(started(1))
    one.write(ProgramStarted(pid=5, started=1.0))
    other.write(RunStarted(pid=2, queue="tasks", branch="refs/heads/work"))
    assert set(other.history.interrupted) == set(other.history.programs) == {one.owner}
    other.write(Recovered(of=one.owner))
    assert other.history.owners() == set()
    one.refresh()
    assert one.history.owners() == set()


def test_a_line_that_another_is_writing_is_read_when_it_is_whole(file: Path) -> None:
    reader, writer = Journal(file), Journal(file)
    writer.write(started(1))
    reader.refresh()
    writer.write(ended(1, Kind.GATE))
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    reader.refresh()
    assert reader.history.charged == {}
    with file.open("ab") as stream:
        stream.write(whole[-7:])
    reader.refresh()
    assert reader.history.charged == {"001-x": 1}


def test_a_record_never_joins_a_line_that_was_torn_meanwhile(file: Path) -> None:
    dead, living = Journal(file), Journal(file)
    dead.write(started(1))
    file.write_bytes(file.read_bytes()[:-7])
    living.write(started(2))
    living.write(ended(2, Kind.GATE))
    assert Journal(file).history.charged == {"001-x": 1}
    assert living.history.charged == {"001-x": 1}
