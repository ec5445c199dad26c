"""The board of `-n`: who does what and what waits for whom; it leaves nothing behind on a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from pytest_agenttasks.integration import wire
from pytest_agenttasks.integration.board import Board, _Above
from pytest_agenttasks.integration.crew import Crew
from pytest_agenttasks.integration.limits import OwnAccount, Used
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.report.summary import Row
from pytest_agenttasks.settings.records import BudgetSettings, Settings
from tests.nodes import FakeNode, join, scheduler, tasks
from tests.queue_runs import NO_OTHERS, OWN_PLUGINS, Project
from tests.test_several_agents import SCOPED, TOGETHER, files


def crew(settings: Settings | None = None) -> Crew:
    return Crew(OwnAccount(settings or Settings(), datetime(2026, 1, 1)))


def test_the_board_tells_of_every_worker_and_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_agenttasks.integration.crew.time.monotonic", lambda: 100.0)
    names = ["a", "b", "c", "d", "e", "f"]
    made = scheduler(tasks(names, {"c": ["a"], "e": ["c"]}, {"d": ["src/"], "f": ["src/b.txt", "src/d.txt"]}))
    workers = crew()
    hear = {name: workers.join(name, lambda _: None) for name in ("gw0", "gw1", "gw2")}
    for name in ("gw0", "gw1"):
        join(made, FakeNode(name), names)
    session: Any = None
    board = Board(session, workers, made)
    hear["gw0"](wire.message(wire.BEGAN, "a: attempt 1"))
    hear["gw0"](wire.message(wire.STEP, "Edit src/a.txt\x1b[2J", 0.5))
    hear["gw1"](wire.message(wire.BEGAN, "b: attempt 2"))
    hear["gw1"](wire.message(wire.PAUSE, "usage limit", 60.0))
    assert board.lines(130.0, 200) == [
        "gw0 a: attempt 1, 30 s, $0.50: Edit src/a.txt",
        "gw1 b: attempt 2, 30 s: waiting 30 s more: usage limit",
        "waiting: c (for a), d (shares files with a, b), e (for c) and 1 more",
    ]
    hear["gw0"](wire.message(wire.STEP, "\u6587" * 50, 0.5))
    assert board.lines(130.0, 40)[0] == f"gw0 a: attempt 1, 30 s, $0.50: {chr(0x6587) * 4}…", (
        "wide characters"
    )
    assert all(len(line) <= 40 for line in board.lines(130.0, 40))
    hear["gw0"](wire.message(wire.IDLE))
    workers.leave("gw1")
    made.stop("it is past 06:30")
    assert board.lines(130.0, 200) == ["4 not handed out: it is past 06:30"]


def test_what_workers_use_up_is_counted_and_answers_are_given() -> None:
    workers = crew(Settings(budget=BudgetSettings(sessions=3)))
    answers: list[object] = []
    hear = workers.join("gw0", answers.append)
    workers.account.hand_out(+1)
    hear(wire.message(wire.USED, 1, 0, 0.25))
    hear((wire.REPEAT,))
    workers.account.hand_out(+1)
    hear(wire.message(wire.USED, 1, 1, 0.25))
    hear((wire.REPEAT,))
    hear(wire.message(wire.USED, 1, 0, 0.0))
    hear((wire.REPEAT,))
    assert answers == [
        None,
        "other tasks may use all that is left",
        "3 sessions used, as many as this run may",
    ]
    assert workers.account.used == Used(3, 1, 0.5)


def test_notes_are_taken_once_and_reasons_to_stop_in_their_order() -> None:
    workers = crew()
    for name in ("gw0", "gw1"):
        hear = workers.join(name, lambda _: None)
        hear(wire.message(wire.NOTE, "--lf: gone"))
        hear(wire.message(wire.STOP, f"{name} says so"))
        hear(wire.message(wire.HELLO, 1, "1-2.0/3", 4, 5.0))
    assert workers.notes == ["--lf: gone"]
    assert workers.stops == ["gw0 says so", "gw1 says so"]
    assert workers.members["gw1"].helper == (4, 5.0)


def test_a_row_survives_the_wire() -> None:
    row = Row("001-a", Kind.GATE, 2, 1.5, 0.25, None, "gate red", denials=1, guarded="no")
    assert wire.row_of("001-a", wire.plain_row(row)) == row
    assert wire.plain_row(Row("x", Kind.AGENT, 1, 0, None, None, "cut \ud800"))["summary"] == "cut \\ud800"


def test_what_is_written_meanwhile_stands_above_the_board() -> None:
    file = io.StringIO()
    above = _Above(file)
    above.write("begun")
    above.draw(["one", "two"])
    above.write("a result\n")
    above.draw(["one"])
    above.draw([])
    assert shown(file.getvalue()) == ["begun", "a result", ""]


def shown(data: str) -> list[str]:
    """The lines that a terminal shows in the end, for the few controls that are used."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", data):
        if token == "\n":
            row, column = row + 1, 0
            if row == len(rows):
                rows.append("")
        elif token == "\r":
            column = 0
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= int(token[2:-1])
        elif token == "\x1b[J":
            rows[row] = rows[row][:column]
            del rows[row + 1 :]
        elif not token.startswith("\x1b"):
            text = rows[row].ljust(column)
            rows[row] = text[:column] + token + text[column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in rows]


@pytest.mark.parametrize("verbosity", ["-v", "-q"])
def test_a_terminal_shows_the_board_and_in_the_end_a_line_for_each_result(
    project: Project, verbosity: str
) -> None:
    files(project, "abc")
    seen = project.path.parent / "seen"
    wait = f"n=0; while [ ! -e {seen} ]; do sleep 0.02; n=$((n+1)); [ $n -lt 1000 ]; done"
    project.agent(
        f"case $AGENTTASKS_TASK in 001*|002*) {TOGETHER.format(count=2)} ;; esac\n"
        f"echo doing; {wait}; {SCOPED}\n[ $AGENTTASKS_TASK.$AGENTTASKS_ATTEMPT != 002-b.1 ]"
    )
    project.task("001-a", scope=("src/a.txt",))
    project.task("002-b", scope=("src/b.txt",))
    project.task("003-c", scope=("src/c.txt",), front="depends_on: [001-a]")
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *OWN_PLUGINS, "--agent-tasks", "tasks/pending", "-n2", verbosity],
        cwd=project.path,
        env={**os.environ, **NO_OTHERS, "COLUMNS": "120", "TERM": "xterm"},
        stdout=other,
        stderr=other,
    )
    os.close(other)
    data = b""
    try:
        while chunk := os.read(main, 65536):
            data += chunk
            if re.search(rb"gw\d 001-a: attempt 1, [^\r]*: doing", data):
                seen.touch()  # the agents go on
    except OSError:  # how a pty says that the other side is closed
        pass
    finally:
        os.close(main)
    assert process.wait(timeout=30) == 0, data.decode()
    text = data.decode()
    assert re.search(r"gw\d 001-a: attempt 1, [^\r]*: doing", text)
    assert "waiting: 003-c (for 001-a)" in text
    lines = shown(text)
    assert not [line for line in lines if re.match(r"gw\d |waiting: ", line)]
    results = [line for line in lines if re.match(r"\[\d/3\] ", line)]
    assert [line.split()[0] for line in results][-1] == "[3/3]"
    assert sorted(line.split("] ", 1)[1].split(" [gw")[0] for line in results) == [
        "PASSED 001-a",
        "PASSED 002-b",
        "PASSED 003-c",
        "RERUN 002-b",
    ]


def test_without_a_terminal_there_are_plain_lines(project: Project) -> None:
    project.task("001-a")
    result = project.run("-n", "2")
    assert result.outcomes == {"001-a": "landed"}, result.output
    assert "\r" not in result.output
    assert "\x1b" not in result.output
    assert re.search(r"^\[1/1\] PASSED 001-a \[gw\d\] .*: landed as ", result.output, re.M)
