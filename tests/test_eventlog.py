"""One line per event, whatever the values hold and however many processes write."""

from __future__ import annotations

import enum
import errno
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.report import eventlog
from pytest_agenttasks.report.eventlog import LONGEST_VALUE, EventLog

NOW = datetime(2026, 11, 22, 14, 5, 9, 123456, tzinfo=timezone(timedelta(hours=1)))
STAMP = "2026-11-22T14:05:09.123+01:00"


class Level(enum.Enum):
    HIGH = 3


def log_at(folder: Path, records: list[dict[str, Any]] | None = None) -> EventLog:
    return EventLog(
        folder / "logs" / "orchestration.log", [] if records is None else [records.append], lambda: NOW
    )


def lines(log: EventLog) -> list[str]:
    return log.path.read_bytes().decode().split("\n")[:-1]


def test_an_event_is_a_line_and_a_record(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    log = log_at(tmp_path, records)
    log.write(
        "attempt-ended", task="017-jwt", outcome=Kind.GATE, seconds=12.5, cost_usd=None, why="it is red"
    )
    assert lines(log) == [f'{STAMP} attempt-ended 017-jwt outcome=gate seconds=12.5 why="it is red"']
    assert records == [
        {
            "time": STAMP,
            "event": "attempt-ended",
            "task": "017-jwt",
            "outcome": "gate",
            "seconds": 12.5,
            "why": "it is red",
        }
    ]


def test_an_event_of_no_task_has_a_dash(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.write("run-started", tasks=3, ok=True)
    assert lines(log) == [f"{STAMP} run-started - tasks=3 ok=true"]


def test_the_time_has_an_offset(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.write("x")
    when = datetime.fromisoformat(lines(log)[0].split()[0])
    assert when.utcoffset() is not None
    assert abs(when - datetime.now().astimezone()) < timedelta(minutes=1)


def test_the_folder_ignores_itself(tmp_path: Path) -> None:
    log_at(tmp_path).write("x")
    assert (tmp_path / "logs" / ".gitignore").read_text() == "*\n"


def test_a_folder_that_is_there_gets_its_ignore_file_but_keeps_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log_at(tmp_path).write("x")
    ignore = tmp_path / "logs" / ".gitignore"
    assert ignore.read_text() == "*\n"
    ignore.write_text("!keep\n")
    log_at(tmp_path).write("x")
    assert ignore.read_text() == "!keep\n"


def test_a_folder_that_is_cleaned_away_is_made_again(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.write("one")
    log.path.unlink()
    (tmp_path / "logs" / ".gitignore").unlink()
    (tmp_path / "logs").rmdir()
    log.write("two")
    assert len(lines(log)) == 1
    assert (tmp_path / "logs" / ".gitignore").exists()


@pytest.mark.parametrize(
    ("value", "word", "plain"),
    [
        ("a b", '"a b"', "a b"),
        ("", '""', ""),
        ('say "x"=1', '"say \\"x\\"=1"', 'say "x"=1'),
        ("two\nlines\tand\x1b[31m red\x00", '"two\\nlines\\tand red\\\\x00"', "two\nlines\tand red\\x00"),
        ("a\u2028b\x85", '"a\\\\u2028b\\\\u0085"', "a\\u2028b\\u0085"),
        ("\ud800", '"\\\\ud800"', "\\ud800"),
        (["a", 1, None], '"[\\"a\\", 1, null]"', ["a", 1, None]),
        (("a",), '"[\\"a\\"]"', ["a"]),
        ({"b", "a"}, '"[\\"a\\", \\"b\\"]"', ["a", "b"]),
        ({"k": Path("x/y")}, '"{\\"k\\": \\"x/y\\"}"', {"k": "x/y"}),
        (Path("x/y"), "x/y", "x/y"),
        (Level.HIGH, "3", 3),
        (b"caf\xe9", '"caf\\\\xe9"', "caf\\xe9"),
        (float("nan"), "nan", "nan"),
        (float("-inf"), "-inf", "-inf"),
    ],
)
def test_values_are_quoted_in_the_line_and_plain_in_the_record(
    tmp_path: Path, value: object, word: str, plain: object
) -> None:
    records: list[dict[str, Any]] = []
    log = log_at(tmp_path, records)
    log.write("x", value=value)
    assert lines(log) == [f"{STAMP} x - value={word}"]
    assert records[0]["value"] == plain
    assert json.loads(json.dumps(records[0], allow_nan=False)) == records[0]


def test_a_long_value_is_cut_in_the_line_only(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    log = log_at(tmp_path, records)
    log.write("x", value="y" * 2000)
    assert len(lines(log)[0]) < LONGEST_VALUE + 100
    assert lines(log)[0].endswith('yyy…"')
    assert records[0]["value"] == "y" * 2000


@given(
    task=st.text(), value=st.one_of(st.text(), st.binary(), st.lists(st.text()), st.floats(), st.integers())
)
def test_any_value_is_one_physical_line(
    tmp_path_factory: pytest.TempPathFactory, task: str, value: object
) -> None:
    log = log_at(tmp_path_factory.getbasetemp())
    log.path.unlink(missing_ok=True)
    records: list[dict[str, Any]] = []
    EventLog(log.path, [records.append], lambda: NOW).write("x", task=task, value=value)
    text = log.path.read_bytes().decode()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    json.dumps(records, allow_nan=False).encode()


@pytest.mark.parametrize("key", ["time", "event"])
def test_a_value_cannot_take_the_place_of_the_events_own(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        log_at(tmp_path).write("x", **{key: "y"})


def test_events_go_on_after_a_torn_line(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    log.write("one")
    with log.path.open("ab") as file:
        file.write(b"2026-11-22T14:0")
    log.write("two")
    log.write("three")
    assert lines(log) == [f"{STAMP} one -", "2026-11-22T14:0", f"{STAMP} two -", f"{STAMP} three -"]


def test_processes_that_write_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from pytest_agenttasks.report.eventlog import EventLog\n"
        "log = EventLog(pathlib.Path(sys.argv[1]))\n"
        "for n in range(200): log.write('x', who=sys.argv[2], n=n, fill='f' * 300)"
    )
    path = tmp_path / "logs" / "orchestration.log"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(who)]) for who in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = [line.split()[3:] for line in path.read_text().splitlines() if line]
    fill = "fill=" + "f" * 300
    assert sorted(found) == sorted([f"who={who}", f"n={n}", fill] for who in range(3) for n in range(200))


def test_a_full_disk_is_an_error_and_tells_nobody_of_the_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[dict[str, Any]] = []
    log = log_at(tmp_path, records)
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match=r"orchestration\.log") as caught:
        log.write("x")
    assert caught.value.errno == errno.ENOSPC
    assert records == []


def test_a_large_log_goes_on_in_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "LARGE", 200)
    log = log_at(tmp_path)
    for number in range(20):
        log.write("x", n=number)
    parts = eventlog.rotated(log.path)
    assert [part.name for part in parts] == [f"orchestration.{n}.log" for n in range(1, len(parts) + 1)]
    assert len(parts) > 2
    found = [line for file in (*parts, log.path) if file.exists() for line in file.read_text().splitlines()]
    assert found == [f"{STAMP} x - n={number}" for number in range(20)]


def test_processes_that_rotate_at_once_lose_no_line(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from pytest_agenttasks.report import eventlog\n"
        "eventlog.LARGE = 3000\n"
        "log = eventlog.EventLog(pathlib.Path(sys.argv[1]))\n"
        "for n in range(300): log.write('x', who=sys.argv[2], n=n)"
    )
    path = tmp_path / "logs" / "orchestration.log"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(who)]) for who in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [*eventlog.rotated(path), *([path] if path.exists() else [])]
    assert len(files) > 3
    found = [line.split()[3:] for file in files for line in file.read_text().splitlines() if line]
    assert sorted(found) == sorted([f"who={who}", f"n={n}"] for who in range(3) for n in range(300))
