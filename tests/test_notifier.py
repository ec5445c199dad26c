"""The `notify` command: told of each event once, never waited for, ended for sure, and never failing in silence."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_agenttasks import notifier as notifier_module
from pytest_agenttasks.notifier import Notifier


def notifier(folder: Path, line: str, **variables: str) -> Notifier:
    return Notifier(line, folder, {**os.environ, **variables})


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


def test_each_event_is_one_line_of_json_on_standard_input_in_order(tmp_path: Path) -> None:
    made = notifier(tmp_path, "cat >> told")
    events = [{"version": 1, "event": "task-ended", "n": n, "summary": "ü\n'\"$(x)"} for n in range(5)]
    for event in events:
        made.tell(event)
    assert made.close() is None
    assert told(tmp_path) == events
    assert len((tmp_path / "told").read_text().splitlines()) == 5


def test_the_command_inherits_what_the_run_was_started_with(tmp_path: Path) -> None:
    made = notifier(tmp_path, 'printf %s "$HOOK_TOKEN" > token; pwd > where', HOOK_TOKEN="s3cret")
    made.tell({"event": "x"})
    assert made.close() is None
    assert (tmp_path / "token").read_text() == "s3cret"
    assert Path((tmp_path / "where").read_text().strip()).samefile(tmp_path)


def test_a_command_that_fails_is_one_line_with_what_it_said(tmp_path: Path) -> None:
    made = notifier(tmp_path, "echo 'no such host\x1b[31m' >&2; exit 7")
    for number in range(3):
        made.tell({"event": "x", "n": number})
    note = made.close()
    assert note is not None
    assert "\x1b" not in note
    assert "was not told of 3 of 3 events: exit status 7: no such host" in note


def test_one_failure_among_others_is_counted(tmp_path: Path) -> None:
    made = notifier(tmp_path, "! grep -q bad")
    for name in ("good", "bad", "good"):
        made.tell({"event": name})
    assert "was not told of 1 of 3 events: exit status 1" in (made.close() or "")


def test_nothing_is_started_where_nothing_is_told(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    assert notifier(tmp_path, "touch here").close() is None
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not (tmp_path / "here").exists()


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "TIMEOUT", 0.5)
    made = notifier(tmp_path, "setsid sleep 600 & echo $! > daemon; cat > told; sleep 600")
    made.tell({"event": "x"})
    note = made.close()
    assert note is not None
    assert "ended after 0.5 s" in note
    assert not psutil.pid_exists(int((tmp_path / "daemon").read_text()))


def test_telling_takes_no_time_and_the_end_waits_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "FAREWELL", 0.5)
    monkeypatch.setattr(notifier_module, "MOST_WAITING", 3)
    made = notifier(tmp_path, "sleep 600")
    began = time.monotonic()
    for number in range(10):
        made.tell({"event": "x", "n": number})
    assert time.monotonic() - began < 0.4
    note = made.close()
    assert time.monotonic() - began < 8
    assert note is not None
    assert "10 of 10 events" in note
    assert "slower than the events: 3 were waiting" in note
    assert not [child for child in psutil.Process().children(recursive=True) if child.name() == "sleep"]
